//! Sections 2 (pings and pongs), 3 (reserved bits) and 4 (reserved opcodes).

use super::case::{Case, Chop, binary_ping_frame, ping_frame};
use crate::support::raw::{CLOSE, Frame, Length, PING, PONG};

const OCTETS: Chop = Chop::Octets(1);

/// All cases of the three sections.
pub fn cases() -> Vec<Case> {
    [pings(), reserved_bits(), reserved_opcodes(), lengths()].concat()
}

fn pings() -> Vec<Case> {
    let long = [0xfe; 125];
    let numbered: Vec<String> = (0..10).map(|number| format!("payload-{number}")).collect();
    let ten: Vec<Frame> = numbered.iter().map(|payload| Frame::new(PING, payload.as_str())).collect();
    let mut cases = vec![
        Case::new("2.1").send(Chop::Whole, &[Frame::new(PING, "")]).pong(b""),
        Case::new("2.2").send(Chop::Whole, &[Frame::new(PING, "Hello, world!")]).pong(b"Hello, world!"),
        Case::new("2.3")
            .send(Chop::Whole, &[Frame::new(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")])
            .pong(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"),
        Case::new("2.4").send(Chop::Whole, &[Frame::new(PING, long)]).pong(&long),
        Case::new("2.5").send(Chop::Whole, &[Frame::new(PING, [0xfe; 126])]).fails(&[1002]),
        Case::new("2.6").send(OCTETS, &[Frame::new(PING, long)]).pong(&long),
        Case::new("2.7").send(Chop::Whole, &[Frame::new(PONG, "")]),
        Case::new("2.8").send(Chop::Whole, &[Frame::new(PONG, "unsolicited")]),
        Case::new("2.9")
            .send(Chop::Whole, &[Frame::new(PONG, "unsolicited"), Frame::new(PING, "ping")])
            .pong(b"ping"),
    ];
    for (id, chop) in [("2.10", Chop::Frames), ("2.11", OCTETS)] {
        let case = Case::new(id).send(chop, &ten);
        cases.push(numbered.iter().fold(case, |case, payload| case.pong(payload.as_bytes())));
    }
    cases
}

fn reserved_bits() -> Vec<Case> {
    let bad = |rsv| ping_frame("bad").rsv(rsv);
    let mut cases = vec![Case::new("3.1").send(Chop::Whole, &[bad(1)]).fails(&[1002])];
    for (id, rsv, chop) in [("3.2", 2, Chop::Whole), ("3.3", 3, Chop::Frames), ("3.4", 4, OCTETS)] {
        let frames = [ping_frame("e"), bad(rsv), Frame::new(PING, "")];
        cases.push(Case::new(id).send(chop, &frames).echo("e").fails(&[1002]));
    }
    cases.extend([
        Case::new("3.5").msgpack().send(Chop::Whole, &[binary_ping_frame("bad").rsv(5)]).fails(&[1002]),
        Case::new("3.6").send(Chop::Whole, &[Frame::new(PING, "").rsv(6)]).fails(&[1002]),
        Case::new("3.7").send(Chop::Whole, &[Frame::new(CLOSE, "").rsv(7)]).fails(&[1002]),
    ]);
    cases
}

fn reserved_opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (section, first) in [("4.1", 3), ("4.2", 11)] {
        let bad = |number: u8, payload: &str| Frame::new(first + number, payload);
        let alone = |number: u8, payload: &str| {
            let id = format!("{section}.{}", number + 1);
            Case::new(id).send(Chop::Whole, &[bad(number, payload)]).fails(&[1002])
        };
        cases.extend([alone(0, ""), alone(1, "reserved opcode payload")]);
        for (number, payload, chop) in
            [(2, "", Chop::Whole), (3, "payload", Chop::Frames), (4, "payload", OCTETS)]
        {
            let frames = [ping_frame("e"), bad(number, payload), Frame::new(PING, "")];
            let id = format!("{section}.{}", number + 1);
            cases.push(Case::new(id).send(chop, &frames).echo("e").fails(&[1002]));
        }
    }
    cases
}

/// Lengths that lie or waste bytes. Nothing follows the header, so nothing may be waited for.
fn lengths() -> Vec<Case> {
    let claims = |length| ping_frame("bad").length(Length::Claimed(length)).bytes()[..14].to_vec();
    let header = |id: &str, length| {
        let mut case = Case::new(id);
        case.steps.push(super::case::Step::Write(vec![claims(length)]));
        case.fails(&[1002, 1009])
    };
    vec![
        header("own.length.2^63", 1 << 63),
        header("own.length.2^64-1", u64::MAX),
        header("own.length.2^63-1", u64::MAX >> 1),
        header("own.length.2^32", 1 << 32),
        Case::new("own.length.wasteful_16")
            .send(Chop::Whole, &[ping_frame("e").length(Length::Bits16)])
            .fails(&[1002]),
        Case::new("own.length.wasteful_64")
            .send(Chop::Whole, &[ping_frame("e").length(Length::Bits64)])
            .fails(&[1002]),
        Case::new("own.length.ping_in_16_bits")
            .send(Chop::Whole, &[Frame::new(PING, "x").length(Length::Bits16)])
            .fails(&[1002]),
    ]
}
