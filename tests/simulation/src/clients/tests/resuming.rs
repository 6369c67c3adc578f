//! Coming back: exactly what is missing is read, over cuts, gaps, resets and releases.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::fake::Push;
use super::{Try, with};
use crate::history::What;
use crate::plan::{Behaviour, Hangup, Operation};

const PAIR: [(Behaviour, bool); 2] = [(Behaviour::Correct, false), (Behaviour::Correct, true)];

fn heard(run: &Try, kind: &str) -> Vec<(u64, Value)> {
    run.log.borrow().heard.iter().filter(|(_, frame)| frame["type"] == kind).cloned().collect()
}

#[test]
fn a_gap_in_live_events_is_read_and_nothing_else() {
    let run = with(10, &PAIR, |run| async move {
        run.lobby().await;
        run.log.borrow_mut().heard.clear();
        run.log.borrow_mut().lose_events = 2;
        for body in ["lost", "lost too", "came"] {
            run.log.borrow_mut().say("lobby", "founder", body);
        }
        run.settle().await;
        run
    });
    assert_eq!(run.shown(0), run.logged());
    assert_eq!(run.shown(1), run.logged());
    let ranges: Vec<_> = heard(&run, "sync").into_iter().map(|(_, frame)| frame["ranges"].clone()).collect();
    for range in ranges.iter().flat_map(|ranges| ranges.as_array().unwrap()) {
        let (after, limit) = (range["after"].as_u64().unwrap(), range["limit"].as_u64().unwrap());
        assert!(after >= 1 && after + limit <= 3, "{range}");
    }
}

#[test]
fn a_device_that_was_away_resumes_from_its_cursor() {
    for how in [Hangup::Close, Hangup::Reset, Hangup::Vanish] {
        let run = with(11, &PAIR, |run| async move {
            run.lobby().await;
            run.send(0, 4);
            sleep(Duration::from_secs(2)).await;
            run.log.borrow_mut().heard.clear();
            run.devices[1].perform(Operation::Disconnect { how });
            sleep(Duration::from_millis(40)).await;
            for number in 0..20 {
                run.log.borrow_mut().say("lobby", "founder", &format!("away {number}"));
            }
            run.settle().await;
            run
        });
        assert_eq!(run.shown(1), run.logged(), "{how:?}");
        let hellos = heard(&run, "hello");
        assert!(
            !hellos.is_empty() && hellos.iter().all(|(_, hello)| hello["cursor"].is_string()),
            "{hellos:?}"
        );
        let first = heard(&run, "sync")
            .into_iter()
            .map(|(_, sync)| sync["ranges"][0]["after"].clone())
            .min_by_key(|after| after.as_u64());
        assert_eq!(first, Some(json!(5)), "{how:?}");
    }
}

#[test]
fn a_connection_that_brings_nothing_any_more_is_left() {
    let run = with(16, &PAIR, |run| async move {
        run.lobby().await;
        run.log.borrow_mut().heard.clear();
        run.log.borrow().tell(|| Push::Vanish);
        run.log.borrow_mut().say("lobby", "founder", "not heard");
        // The device that nobody looks at waits for as long as a heartbeat.
        run.until("both are back", |run| heard(run, "hello").len() == 2).await;
        assert!((25_000..40_000).contains(&run.history.now_ms()), "{}", run.history.now_ms());
        run.settle().await;
        run
    });
    assert_eq!(run.shown(0), run.logged());
    assert_eq!(run.shown(1), run.logged());
}

#[test]
fn after_a_reset_everything_is_read_again_and_recent_messages_are_sent_again() {
    let run = with(12, &PAIR, |run| async move {
        run.lobby().await;
        run.send(0, 4);
        run.send(1, 4);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(run.logged().len(), 8);
        run.log.borrow_mut().lose("lobby", 5);
        run.log.borrow_mut().say("lobby", "founder", "in another log");
        run.log.borrow().tell(|| Push::Close(1011));
        run.settle().await;
        run
    });
    assert_eq!(run.logged().len(), 9);
    assert_eq!(run.shown(0), run.logged());
    assert_eq!(run.shown(1), run.logged());
}

#[test]
fn a_release_hands_the_session_over_and_the_old_connection_stays_until_the_welcome() {
    let run = with(13, &PAIR, |run| async move {
        run.lobby().await;
        run.log.borrow_mut().heard.clear();
        let frame = json!({"type": "reconnect", "after_ms": 2_000, "deadline_ms": 20_000, "handover": true});
        run.log.borrow().tell(|| Push::Frame(frame.clone()));
        for _ in 0..10 {
            run.send(0, 1);
            sleep(Duration::from_millis(400)).await;
        }
        run.settle().await;
        assert_that_two_stay_open(&run);
        run
    });
    assert_eq!(run.logged().len(), 10);
    assert_eq!(run.shown(0), run.logged());
    assert_eq!(run.shown(1), run.logged());
    let hellos = heard(&run, "hello");
    assert_eq!(hellos.len(), 2);
    assert!(hellos.iter().all(|(_, hello)| hello["handover"].as_str().unwrap().starts_with("session ")));
}

/// No connection of two devices ends before there is another one.
fn assert_that_two_stay_open(run: &Try) {
    let mut open = 0;
    for entry in run.history.take() {
        match entry.what {
            What::Opened { .. } => open += 1,
            What::Closed { .. } => {
                open -= 1;
                assert!(open >= 2, "a connection ended before another one was open");
            }
            _ => {}
        }
    }
}

#[test]
fn a_conversation_that_may_not_be_read_is_found_and_dropped() {
    let run = with(14, &[(Behaviour::Correct, false)], |run| async move {
        run.lobby().await;
        run.log.borrow_mut().make("hall", &[]);
        run.log.borrow_mut().make("attic", &[]);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(run.devices[0].copy().conversations.len(), 3);
        for id in ["lobby", "hall", "attic"] {
            run.log.borrow_mut().lose_events = 1;
            run.log.borrow_mut().say(id, "founder", "lost");
        }
        run.log.borrow_mut().members.get_mut("hall").unwrap().clear();
        for id in ["lobby", "attic"] {
            run.log.borrow_mut().say(id, "founder", "after a gap");
        }
        let head =
            json!({"type": "heads", "heads": [{"conversation": "hall", "kind": "group", "last_seq": 9}]});
        run.log.borrow().tell(|| Push::Frame(head.clone()));
        run.settle().await;
        run
    });
    let copy = run.devices[0].copy();
    assert_eq!(copy.conversations.keys().collect::<Vec<_>>(), ["attic", "lobby"]);
    assert_eq!(run.shown(0), run.logged());
}

#[test]
fn the_same_seed_is_the_same_history() {
    let history = || {
        let hash = Rc::new(Cell::new(0));
        with(15, &PAIR, |run| {
            let hash = Rc::clone(&hash);
            async move {
                run.lobby().await;
                run.send(0, 10);
                run.devices[1].perform(Operation::Disconnect { how: Hangup::Reset });
                run.settle().await;
                hash.set(run.history.hash());
                run
            }
        });
        hash.get()
    };
    assert_eq!(history(), history());
}
