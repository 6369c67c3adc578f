//! Every abuse runs to its end with any answer of the server.

use std::time::Duration;

use tokio::time::sleep;

use super::super::hostile::NAMES;
use super::with;
use crate::history::What;
use crate::plan::{Behaviour, Operation};

#[test]
fn every_abuse_begins_and_ends() {
    for msgpack in [false, true] {
        let devices = [(Behaviour::Hostile, msgpack), (Behaviour::Correct, false)];
        let run = with(20, &devices, |run| async move {
            run.lobby().await;
            run.send(1, 3);
            for kind in 0..NAMES.len() {
                run.devices[0].perform(Operation::Abuse { kind: u16::try_from(kind).unwrap() });
                sleep(Duration::from_secs(130)).await;
            }
            run.settle().await;
            run
        });
        let begun = run
            .entries()
            .into_iter()
            .filter(|entry| matches!(&entry.what, What::Noted { text } if text.starts_with("abuse: ")));
        assert_eq!(begun.count(), NAMES.len());
        assert_eq!(run.devices[1].copy().conversations["lobby"].position, run.last_seq());
    }
}
