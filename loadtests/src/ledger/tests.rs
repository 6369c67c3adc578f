//! Hand-made histories: a clean one stays green, and each anomaly alone turns the ledger red.

use uuid::Uuid;

use super::{
    Ledger,
    history::{Ack, History, LogCopy, Logged, Mark, Outcome, Own, Reader, Said, What},
};

const HELLO: u64 = 100;
const AGAIN: u64 = 101;

fn key(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

fn said(n: u8, sender: &str, body_hash: u64, seq: u64) -> Said {
    let ack = Ack { conversation: "c".into(), seq, duplicate: false, at_us: 5 };
    Said {
        sender: sender.into(),
        client_id: key(n),
        body_hash,
        intended_us: 0,
        order: u64::from(n),
        connection: 1,
        attempts: 1,
        outcome: Outcome::Acked(ack),
    }
}

fn logged(seq: u64, sender: &str, what: What) -> Logged {
    Logged { seq, sender: Some(sender.into()), identity: 1000 + seq, what }
}

fn live(connection: u32, seq: u64) -> Mark {
    Mark::Live { connection, seq, identity: 1000 + seq, at_us: 9 }
}

fn synced(request: u64, seq: u64) -> Mark {
    Mark::Synced { request, seq, identity: 1000 + seq }
}

fn announced(connection: u32, last_seq: u64) -> Mark {
    Mark::Announced { connection, last_seq }
}

fn reader(user: &str, marks: Vec<Mark>) -> Reader {
    Reader {
        user: user.into(),
        name: user.to_owned(),
        streams: [("c".into(), marks)].into(),
        due: vec!["c".into()],
        own: Vec::new(),
        steady: false,
        stalls: Vec::new(),
    }
}

/// ann and bob join at 1 and 2, ann says two lines at 3 and 5, bob one at 4. ann sees all of it live, bob
/// loses his connection after 3 and syncs 4 and 5.
fn clean() -> History {
    let events = vec![
        logged(1, "ann", What::Joined("ann".into())),
        logged(2, "bob", What::Joined("bob".into())),
        logged(3, "ann", What::Message(HELLO)),
        logged(4, "bob", What::Message(HELLO)),
        logged(5, "ann", What::Message(AGAIN)),
    ];
    let mut ann = reader("ann", vec![live(1, 1), live(1, 2), live(1, 3), live(1, 4), live(1, 5)]);
    ann.own =
        [(1, 3), (2, 5)].map(|(n, seq)| Own { client_id: key(n), conversation: "c".into(), seq }).into();
    let bob = reader(
        "bob",
        vec![
            announced(1, 2),
            synced(1, 1),
            synced(1, 2),
            live(1, 3),
            announced(2, 5),
            synced(2, 4),
            synced(2, 5),
        ],
    );
    History {
        planned: 3,
        said: vec![said(1, "ann", HELLO, 3), said(2, "ann", AGAIN, 5), said(3, "bob", HELLO, 4)],
        readers: vec![ann, bob],
        logs: vec![LogCopy { server: "one".into(), conversation: "c".into(), events }],
        made_live: std::collections::HashSet::new(),
    }
}

/// Judges the clean history after one change and returns the anomalies found, by name.
fn red(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = clean();
    change(&mut history);
    let ledger = Ledger::judge(&history);
    assert!(!ledger.clean(), "the change must turn the ledger red");
    assert!(!ledger.findings.is_empty(), "and be spelled out");
    ledger.anomalies().iter().filter(|(_, count)| *count > 0).map(|(name, _)| *name).collect()
}

fn marks<'a>(history: &'a mut History, user: &str) -> &'a mut Vec<Mark> {
    let reader = history.readers.iter_mut().find(|reader| reader.user.as_str() == user).unwrap();
    reader.streams.get_mut("c").unwrap()
}

#[test]
fn a_clean_run_is_green() {
    let ledger = Ledger::judge(&clean());
    assert!(ledger.clean(), "{:#?}", ledger.findings);
    assert_eq!((ledger.sent, ledger.acked, ledger.delivered, ledger.synced), (3, 3, 10, 4));
}

#[test]
fn a_repeated_send_that_is_one_event_is_green() {
    let mut history = clean();
    history.said[0].attempts = 3;
    let Outcome::Acked(ack) = &mut history.said[0].outcome else { panic!("acked") };
    ack.duplicate = true;
    let ledger = Ledger::judge(&history);
    assert!(ledger.clean(), "{:#?}", ledger.findings);
    assert_eq!(ledger.repeated, 2);
}

#[test]
fn an_unanswered_send_may_be_stored_but_is_told() {
    assert_eq!(red(|run| run.said[2].outcome = Outcome::Unanswered), ["unanswered"]);
}

#[test]
fn an_acked_send_that_is_not_in_the_log_is_lost() {
    assert_eq!(red(|run| run.said.push(said(4, "bob", 102, 6))), ["lost"]);
}

#[test]
fn two_sends_acked_at_one_place_lose_one() {
    assert_eq!(red(|run| run.said.push(Said { order: 0, ..said(4, "ann", HELLO, 3) })), ["lost"]);
}

#[test]
fn another_event_at_an_acked_place_is_divergent() {
    let found = red(|run| run.logs[0].events[3].what = What::Message(AGAIN));
    assert!(found.contains(&"divergent"), "{found:?}");
}

#[test]
fn a_retry_stored_twice_is_doubled() {
    let found = red(|run| {
        run.logs[0].events.push(logged(6, "bob", What::Message(HELLO)));
        marks(run, "ann").push(live(1, 6));
        marks(run, "bob").push(live(2, 6));
    });
    assert_eq!(found, ["doubled"]);
}

#[test]
fn a_key_seen_at_two_places_is_doubled() {
    let found = red(|run| {
        run.readers[0].own.push(Own { client_id: key(1), conversation: "c".into(), seq: 5 });
    });
    assert!(found.contains(&"doubled"), "{found:?}");
}

#[test]
fn an_event_pushed_twice_is_doubled() {
    assert_eq!(red(|run| marks(run, "ann").push(live(1, 5))), ["doubled"]);
}

#[test]
fn an_event_both_synced_and_pushed_is_doubled() {
    assert_eq!(red(|run| marks(run, "bob").push(live(2, 5))), ["doubled"]);
}

#[test]
fn two_events_pushed_in_the_wrong_order_are_reordered() {
    let found = red(|run| marks(run, "ann").swap(3, 4));
    assert!(found.contains(&"reordered"), "{found:?}");
}

#[test]
fn an_answer_that_is_not_ascending_is_reordered() {
    assert_eq!(red(|run| marks(run, "bob").swap(5, 6)), ["reordered"]);
}

#[test]
fn lines_of_one_sender_in_the_wrong_order_are_reordered() {
    let found = red(|run| {
        let (first, second) = (run.said[0].order, run.said[1].order);
        (run.said[0].order, run.said[1].order) = (second, first);
    });
    assert_eq!(found, ["reordered"]);
}

#[test]
fn a_hole_in_a_live_stream_is_a_gap_even_when_healed() {
    let found = red(|run| {
        marks(run, "ann").remove(3);
        marks(run, "ann").push(synced(1, 4));
    });
    assert_eq!(found, ["gaps"]);
}

#[test]
fn a_hole_announced_by_heads_is_none() {
    let mut history = clean();
    let ann = marks(&mut history, "ann");
    ann.splice(3..4, [announced(1, 4), synced(1, 4)]);
    let ledger = Ledger::judge(&history);
    assert!(ledger.clean(), "{:#?}", ledger.findings);
}

#[test]
fn a_hole_in_the_log_is_a_gap() {
    let found = red(|run| run.logs[0].events.iter_mut().skip(4).for_each(|event| event.seq = 6));
    assert!(found.contains(&"gaps"), "{found:?}");
}

#[test]
fn an_event_that_never_arrives_is_missed() {
    let found = red(|run| marks(run, "bob").truncate(6));
    assert_eq!(found, ["missed"]);
}

#[test]
fn a_reader_that_sees_something_else_is_divergent() {
    let found = red(|run| {
        marks(run, "bob")[6] = Mark::Synced { request: 2, seq: 5, identity: 7 };
    });
    assert_eq!(found, ["divergent"]);
}

#[test]
fn two_servers_that_disagree_are_divergent() {
    let found = red(|run| {
        let mut events = run.logs[0].events.clone();
        events[2].identity = 7;
        run.logs.push(LogCopy { server: "two".into(), conversation: "c".into(), events });
    });
    assert_eq!(found, ["divergent"]);
}

#[test]
fn a_message_nobody_said_is_a_phantom() {
    let found = red(|run| {
        run.logs[0].events.push(logged(6, "bob", What::Message(999)));
        marks(run, "ann").push(live(1, 6));
        marks(run, "bob").push(live(2, 6));
    });
    assert_eq!(found, ["phantom"]);
}

#[test]
fn an_event_outside_the_log_is_a_phantom() {
    assert_eq!(red(|run| marks(run, "ann").push(live(1, 6))), ["phantom"]);
}

#[test]
fn a_refused_send_that_was_stored_is_told_twice() {
    let found = red(|run| run.said[0].outcome = Outcome::Refused("forbidden".into()));
    assert!(found.contains(&"phantom") && found.contains(&"refused"), "{found:?}");
}

/// bob leaves at 6, ann speaks at 7, bob comes back at 8.
fn with_absence(run: &mut History, bob_sees: Vec<Mark>) {
    run.logs[0].events.extend([
        logged(6, "bob", What::Left("bob".into())),
        logged(7, "ann", What::Message(103)),
        logged(8, "bob", What::Joined("bob".into())),
    ]);
    run.said.push(said(4, "ann", 103, 7));
    marks(run, "ann").extend([live(1, 6), live(1, 7), live(1, 8)]);
    marks(run, "bob").extend(bob_sees);
}

#[test]
fn an_absence_explains_the_hole_it_makes() {
    let mut history = clean();
    with_absence(&mut history, vec![live(2, 8), synced(3, 6), synced(3, 7)]);
    let ledger = Ledger::judge(&history);
    assert!(ledger.clean(), "{:#?}", ledger.findings);
}

/// bob's connection is down when he leaves; he comes back to the conversation on a new one.
#[test]
fn a_stream_begins_anew_where_its_reader_joins() {
    let mut history = clean();
    with_absence(&mut history, vec![live(2, 8), synced(3, 6), synced(3, 7)]);
    let bob = marks(&mut history, "bob");
    bob.retain(|mark| !matches!(mark, Mark::Live { seq: 5, .. } | Mark::Synced { seq: 5, .. }));
    bob.push(synced(4, 5));
    let ledger = Ledger::judge(&history);
    assert!(ledger.clean(), "{:#?}", ledger.findings);
}

#[test]
fn an_event_pushed_during_an_absence_is_leaked() {
    assert_eq!(red(|run| with_absence(run, vec![live(2, 6), live(2, 7), live(2, 8)])), ["leaked"]);
}

#[test]
fn who_is_added_while_connected_is_told_live() {
    let steady = |run: &mut History| {
        run.made_live.insert("c".into());
        run.readers.iter_mut().for_each(|reader| reader.steady = true);
    };
    let mut history = clean();
    steady(&mut history);
    // What was said before he was added he reads afterwards.
    *marks(&mut history, "bob") =
        [2, 3, 4, 5].map(|seq| live(1, seq)).into_iter().chain([synced(4, 1)]).collect();
    assert!(Ledger::judge(&history).clean());
    let unannounced = |run: &mut History| {
        steady(run);
        *marks(run, "bob") =
            [1, 2].map(|seq| synced(4, seq)).into_iter().chain([3, 4, 5].map(|seq| live(1, seq))).collect();
    };
    assert_eq!(red(unannounced), ["unannounced"]);
}

#[test]
fn a_line_that_nobody_came_to_say_is_unanswered() {
    assert_eq!(red(|run| run.planned = 4), ["unanswered"]);
}

#[test]
fn a_reader_that_skipped_the_history_is_held_to_the_rest() {
    let mut history = clean();
    let skipped = [Mark::Skipped { upto: 3 }, announced(1, 3)];
    *marks(&mut history, "bob") = skipped.into_iter().chain([live(1, 4), live(1, 5)]).collect();
    assert!(Ledger::judge(&history).clean());
    marks(&mut history, "bob").pop();
    assert_eq!(Ledger::judge(&history).missed, 1);
}

#[test]
fn nothing_proves_nothing() {
    let ledger = Ledger::judge(&History::default());
    assert!(!ledger.clean() && ledger.vacuous);
    let mut no_acks = clean();
    no_acks.said.clear();
    no_acks.logs[0].events.truncate(2);
    no_acks.readers.truncate(1);
    no_acks.readers[0].own.clear();
    marks(&mut no_acks, "ann").truncate(2);
    let ledger = Ledger::judge(&no_acks);
    assert!(!ledger.clean() && ledger.vacuous, "deliveries without an ack are vacuous");
}

/// bob is put into a group and never told of 4; the event at 5 is the last.
fn with_group(run: &mut History, last: What) {
    let events = vec![
        logged(1, "ann", What::Joined("ann".into())),
        logged(2, "ann", What::Joined("bob".into())),
        logged(3, "ann", What::Joined("cid".into())),
        logged(4, "ann", What::Left("cid".into())),
        logged(5, "ann", last),
    ];
    run.logs.push(LogCopy { server: "one".into(), conversation: "g_1".into(), events });
    let bob = run.readers.iter_mut().find(|reader| reader.name == "bob").expect("bob reads");
    bob.streams.insert("g_1".into(), [2, 3, 5].map(|seq| live(1, seq)).into());
}

#[test]
fn not_even_a_removal_from_a_group_explains_what_was_lacked_before_it() {
    for last in [What::Left("bob".into()), What::Joined("cid".into())] {
        assert_eq!(red(|run| with_group(run, last.clone())), ["gaps"]);
    }
}
