//! Section 7: the closing handshake, its codes and reasons.

use super::case::{Case, Chop, json_ping, ping_frame};
use crate::support::raw::{CLOSE, Frame, PING, TEXT, fragments};

/// Codes a peer may send, 7.7.1 to 7.7.13.
const VALID: [u16; 13] = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];

/// Codes registered after the RFC: 1012 service restart, 1013 try again later, 1014 bad gateway.
const REGISTERED_SINCE: [u16; 3] = [1012, 1013, 1014];

/// Codes that must never be on the wire, 7.9.1 to 7.9.9 and 7.13.1 to 7.13.2, and two more of the kind.
const INVALID: [(&str, u16); 13] = [
    ("7.9.1", 0),
    ("7.9.2", 999),
    ("7.9.3", 1004),
    ("7.9.4", 1005),
    ("7.9.5", 1006),
    ("7.9.6", 1016),
    ("7.9.7", 1100),
    ("7.9.8", 2000),
    ("7.9.9", 2999),
    ("7.13.1", 5000),
    ("7.13.2", 65535),
    ("own.close.1015", 1015),
    ("own.close.1", 1),
];

/// The cases, for a server whose messages may have `limit` octets.
pub fn cases(limit: usize) -> Vec<Case> {
    let close = || Frame::close(1000, b"");
    let halves = fragments(TEXT, &json_ping("e", 64), &[30]);
    let after_close = |id: &str, frames: &[Frame]| {
        Case::new(id).send(Chop::Whole, &[&[close()], frames].concat()).answers(Some(1000))
    };
    let mut cases = vec![
        Case::new("7.1.1").send(Chop::Whole, &[ping_frame("e"), close()]).echo("e").answers(Some(1000)),
        after_close("7.1.2", &[close()]),
        after_close("7.1.3", &[Frame::new(PING, "late")]),
        after_close("7.1.4", &[ping_frame("late")]),
        Case::new("7.1.5")
            .send(Chop::Whole, &[halves[0].clone(), close(), halves[1].clone()])
            .answers(Some(1000)),
        Case::new("7.1.6")
            .send(Chop::Whole, &[Frame::new(TEXT, json_ping("e", limit)), close(), Frame::new(PING, "late")])
            .echo("e")
            .answers(Some(1000)),
        after_close("own.close.garbage_after", &[Frame::new(0x7, "garbage").rsv(7).unmasked()]),
        Case::new("7.3.1").send(Chop::Whole, &[Frame::new(CLOSE, "")]).answers(None),
        Case::new("7.3.2").send(Chop::Whole, &[Frame::new(CLOSE, "a")]).fails(&[1002]),
        Case::new("7.3.3").send(Chop::Whole, &[close()]).answers(Some(1000)),
        Case::new("7.3.4").send(Chop::Whole, &[Frame::close(1000, b"Hello World!")]).answers(Some(1000)),
        Case::new("7.3.5").send(Chop::Whole, &[Frame::close(1000, &[b'*'; 123])]).answers(Some(1000)),
        Case::new("7.3.6").send(Chop::Whole, &[Frame::close(1000, &[b'*'; 124])]).fails(&[1002]),
        Case::new("7.5.1")
            .send(Chop::Whole, &[Frame::close(1000, b"\xce\xba\xed\xa0\x80edited")])
            .fails(&[1002, 1007]),
        Case::new("own.close.octets")
            .send(Chop::Octets(1), &[Frame::close(1000, b"slow")])
            .answers(Some(1000)),
        Case::new("own.close.fragmented").send(Chop::Whole, &[close().fin(false)]).fails(&[1002]),
    ];
    for (number, code) in VALID.into_iter().enumerate() {
        let id = format!("7.7.{}", number + 1);
        cases.push(Case::new(id).send(Chop::Whole, &[Frame::close(code, b"")]).answers(Some(code)));
    }
    for code in REGISTERED_SINCE {
        let id = format!("own.close.{code}");
        cases.push(Case::new(id).send(Chop::Whole, &[Frame::close(code, b"")]).answers(Some(code)));
    }
    for (id, code) in INVALID {
        cases.push(Case::new(id).send(Chop::Whole, &[Frame::close(code, b"")]).fails(&[1002]));
        let reasoned = Frame::close(code, b"with a reason");
        cases.push(Case::new(format!("{id}.reason")).send(Chop::Whole, &[reasoned]).fails(&[1002]));
    }
    cases
}
