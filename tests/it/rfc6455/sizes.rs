//! Section 1, messages of every size, and section 10, fragmentation as large as a message may be.

use super::case::{Case, Chop, binary_ping_frame, json_ping, msgpack_ping, ping_frame};
use crate::support::raw::{BINARY, Frame, TEXT, fragments_of};

/// The cases, for a server whose messages may have `limit` octets.
pub fn cases(limit: usize) -> Vec<Case> {
    let sizes = [
        ("2", 125, Chop::Whole),
        ("3", 126, Chop::Whole),
        ("4", 127, Chop::Whole),
        ("5", 128, Chop::Whole),
        ("6", 65_535.min(limit), Chop::Whole),
        ("7", 65_536.min(limit), Chop::Whole),
        ("8", 65_536.min(limit), Chop::Octets(997)),
        ("limit", limit, Chop::Whole),
    ];
    let mut cases = vec![
        Case::new("1.1.1").send(Chop::Whole, &[Frame::new(TEXT, "")]).refused(),
        Case::new("1.2.1").msgpack().send(Chop::Whole, &[Frame::new(BINARY, "")]).refused(),
    ];
    for (number, size, chop) in sizes {
        let text = Frame::new(TEXT, json_ping("e", size));
        cases.push(Case::new(format!("1.1.{number}")).send(chop, &[text]).echo("e"));
        let binary = Frame::new(BINARY, msgpack_ping("e", size));
        cases.push(Case::new(format!("1.2.{number}")).msgpack().send(chop, &[binary]).echo("e"));
    }
    let over = limit + 1;
    cases.extend([
        Case::new("10.1.1")
            .send(Chop::Frames, &fragments_of(TEXT, &json_ping("e", 65_536.min(limit)), 1300))
            .echo("e"),
        Case::new("own.limit_in_fragments")
            .send(Chop::Whole, &fragments_of(TEXT, &json_ping("e", limit), 4096))
            .echo("e"),
        Case::new("own.over_limit.text")
            .send(Chop::Whole, &[Frame::new(TEXT, json_ping("e", over))])
            .fails(&[1009]),
        Case::new("own.over_limit.binary")
            .msgpack()
            .send(Chop::Whole, &[Frame::new(BINARY, msgpack_ping("e", over))])
            .fails(&[1009]),
        Case::new("own.over_limit.in_fragments")
            .send(Chop::Whole, &fragments_of(TEXT, &json_ping("e", over), 4096))
            .fails(&[1009]),
        Case::new("own.kind.binary_to_json").send(Chop::Whole, &[binary_ping_frame("e")]).fails(&[1003]),
        Case::new("own.kind.text_to_msgpack").msgpack().send(Chop::Whole, &[ping_frame("e")]).fails(&[1003]),
        Case::new("own.mask.zero_key").send(Chop::Whole, &[ping_frame("e").mask([0; 4])]).echo("e"),
        Case::new("own.mask.ones_key").send(Chop::Whole, &[ping_frame("e").mask([0xff; 4])]).echo("e"),
        Case::new("own.mask.none").send(Chop::Whole, &[ping_frame("e").unmasked()]).fails(&[1002]),
    ]);
    cases
}
