//! The outbox: what the user did is repeated until the answer is definite.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::fake::Push;
use super::with;
use crate::history::What;
use crate::plan::{Behaviour, Operation};

#[test]
fn a_send_whose_ack_is_lost_is_repeated_with_its_key() {
    for msgpack in [false, true] {
        let devices = [(Behaviour::Correct, msgpack), (Behaviour::Correct, !msgpack)];
        let run = with(1, &devices, |run| async move {
            run.lobby().await;
            run.log.borrow_mut().lose_acks = 3;
            run.send(0, 5);
            run.settle().await;
            run
        });
        assert_eq!(run.log.borrow().lose_acks, 0);
        assert_eq!(run.logged().len(), 5);
        assert_eq!(run.shown(0), run.logged());
        assert_eq!(run.shown(1), run.logged());
    }
}

#[test]
fn rest_sends_are_repeated_too_and_everything_is_read() {
    let run = with(2, &[(Behaviour::Rest, false), (Behaviour::Correct, false)], |run| async move {
        run.lobby().await;
        run.log.borrow_mut().lose_acks = 2;
        run.send(0, 3);
        run.send(1, 3);
        run.settle().await;
        run
    });
    assert_eq!(run.logged().len(), 6);
    assert_eq!(run.shown(0), run.logged());
    assert_eq!(run.shown(1), run.logged());
}

#[test]
fn the_wait_of_a_refusal_is_kept_and_what_is_refused_for_good_is_not_repeated() {
    let run = with(3, &[(Behaviour::Correct, false)], |run| async move {
        run.lobby().await;
        // The last one comes first.
        run.log.borrow_mut().refusals = vec![
            json!({"code": "muted", "retryable": false, "definite": true, "retry_after_ms": 1}),
            json!({"code": "rate_limited", "retryable": true, "definite": true, "retry_after_ms": 9_000}),
        ];
        run.send(0, 1);
        run.until("a refusal", |run| run.log.borrow().refusals.len() == 1).await;
        let limited = run.history.now_ms();
        run.until("another try", |run| run.log.borrow().refusals.is_empty()).await;
        assert!(run.history.now_ms() - limited >= 8_900);
        run.settle().await;
        run
    });
    assert_eq!(run.logged().len(), 0);
}

#[test]
fn after_a_close_the_client_does_what_the_code_says() {
    let run = with(4, &[(Behaviour::Correct, false)], |run| async move {
        run.lobby().await;
        let closed = run.history.now_ms();
        run.log.borrow_mut().close_hellos = vec![1011, 4401];
        run.log.borrow().tell(|| Push::Close(4429));
        run.until("a hello", |run| run.log.borrow().close_hellos.is_empty()).await;
        assert!(run.history.now_ms() - closed >= 60_000);
        run.settle().await;
        run.log.borrow().tell(|| Push::Close(4400));
        sleep(Duration::from_secs(1)).await;
        run
    });
    assert_eq!(run.devices[0].copy().stopped, Some(4400));
    let refreshed = run
        .entries()
        .into_iter()
        .any(|entry| matches!(entry.what, What::Called { path, .. } if path == "/v1/tokens/refresh"));
    assert!(refreshed, "4401 is answered with a new token");
}

#[test]
fn the_last_send_again_is_the_same_message() {
    let run = with(5, &[(Behaviour::Correct, false), (Behaviour::Rest, false)], |run| async move {
        run.lobby().await;
        run.send(0, 1);
        run.send(1, 1);
        sleep(Duration::from_secs(1)).await;
        for device in [0, 0, 0, 0, 1] {
            run.devices[device].perform(Operation::SendAgain);
            sleep(Duration::from_secs(5)).await;
        }
        run.settle().await;
        run
    });
    assert_eq!(run.logged().len(), 2);
}

#[test]
fn a_request_without_an_answer_is_noted_and_made_again_elsewhere() {
    let run = with(6, &[(Behaviour::Correct, true)], |run| async move {
        run.lobby().await;
        run.log.borrow_mut().ignore_sends = 1;
        run.send(0, 1);
        run.settle().await;
        run
    });
    assert_eq!(run.logged().len(), 1);
    let stuck = |what: &What| matches!(what, What::Noted { text } if text.starts_with("unanswered request"));
    assert_eq!(run.entries().iter().filter(|entry| stuck(&entry.what)).count(), 1);
}
