//! Section 5: messages in fragments, control frames between them, and fragments that belong to nothing.

use super::case::{Case, Chop, json_ping, ping_frame};
use crate::support::raw::{CONTINUATION, Frame, PING, PONG, TEXT, fragments};

const CHOPS: [Chop; 3] = [Chop::Whole, Chop::Frames, Chop::Octets(1)];

/// The cases of the section.
pub fn cases() -> Vec<Case> {
    let message = json_ping("e", 64);
    let halves = fragments(TEXT, &message, &[30]);
    let (first, second) = (halves[0].clone(), halves[1].clone());
    let orphan = |fin| Frame::new(CONTINUATION, "non-continuation payload").fin(fin);
    let mut cases = Vec::new();

    for (number, opcode) in [(1, PING), (2, PONG)] {
        let frames = [Frame::new(opcode, "frag").fin(false), Frame::new(CONTINUATION, "ment")];
        cases.push(Case::new(format!("5.{number}")).send(Chop::Whole, &frames).fails(&[1002]));
    }
    for (number, chop) in CHOPS.into_iter().enumerate() {
        let id = |from: usize| format!("5.{}", from + number);
        cases.push(Case::new(id(3)).send(chop, &halves).echo("e"));
        let with_ping = [first.clone(), Frame::new(PING, "between"), second.clone()];
        cases.push(Case::new(id(6)).send(chop, &with_ping).pong(b"between").echo("e"));
        cases.push(Case::new(id(9)).send(chop, &[orphan(true), ping_frame("late")]).fails(&[1002]));
        cases.push(Case::new(id(12)).send(chop, &[orphan(false), ping_frame("late")]).fails(&[1002]));
    }
    let after_message = [first.clone(), second.clone(), orphan(false), ping_frame("late")];
    cases.push(Case::new("5.15").send(Chop::Whole, &after_message).echo("e").fails(&[1002]));
    for (number, fin) in [(16, false), (17, true)] {
        let around = [orphan(fin), first.clone(), second.clone()];
        let frames = [around.clone(), around].concat();
        cases.push(Case::new(format!("5.{number}")).send(Chop::Whole, &frames).fails(&[1002]));
    }
    let nested = [first.clone(), Frame::new(TEXT, message[30..].to_vec())];
    cases.push(Case::new("5.18").send(Chop::Whole, &nested).fails(&[1002]));
    let unfinished = [first, ping_frame("late")];
    cases.push(Case::new("own.nested_whole_message").send(Chop::Frames, &unfinished).fails(&[1002]));

    let mut five = fragments(TEXT, &message, &[10, 10, 10, 10]);
    five.insert(4, Frame::new(PING, "second"));
    five.insert(2, Frame::new(PING, "first"));
    for (id, chop) in [("5.19", Chop::Frames), ("5.20", Chop::Octets(1)), ("own.five_at_once", Chop::Whole)] {
        cases.push(Case::new(id).send(chop, &five).pong(b"first").pong(b"second").echo("e"));
    }
    let mut empties = fragments(TEXT, &message, &[0, 0, 20, 0, 20, 0]);
    empties.push(ping_frame("next"));
    cases.push(Case::new("own.empty_fragments").send(Chop::Whole, &empties).echo("e").echo("next"));
    cases
}
