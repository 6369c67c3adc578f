//! A case: bytes to write, and what must come back.
//!
//! The chat endpoint echoes nothing, so the echo is the protocol's own `ping`: a message arrived intact when
//! its `id` comes back in a `pong`. An unknown field pads it to any size.

use crate::support::Encoding;
use crate::support::raw::{BINARY, Frame, TEXT};

/// How the bytes of a group of frames are handed to TCP.
#[derive(Clone, Copy, Debug)]
pub enum Chop {
    /// All frames in one write.
    Whole,
    /// One write per frame.
    Frames,
    /// Writes of so many octets.
    Octets(usize),
}

/// One step of a case.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these pieces, one write each.
    Write(Vec<Vec<u8>>),
    /// By now the server has seen enough to fail the connection. Whether it does so at once, or only when
    /// the message is whole, is the difference between strict and not.
    FailsHere,
}

/// How the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It lives: a further ping is answered, then it closes cleanly.
    Alive,
    /// The server fails it with one of these codes.
    Fails(&'static [u16]),
    /// The case closed it; the server answers with this code, or with none or 1000 to an empty close.
    Answers(Option<u16>),
}

/// One case, built by its table.
#[derive(Clone, Debug)]
pub struct Case {
    /// Autobahn's number, or `own.` and a name.
    pub id: String,
    /// The session's encoding.
    pub encoding: Encoding,
    /// What is written.
    pub steps: Vec<Step>,
    /// Ids of the pings that must be answered.
    pub echoes: Vec<String>,
    /// Payloads of the WebSocket pongs that must come, in order.
    pub pongs: Vec<Vec<u8>>,
    /// How many messages must be answered with `bad_frame`.
    pub refused: usize,
    /// How it ends.
    pub end: End,
}

impl Case {
    /// A case on a JSON session that expects nothing but to live.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            encoding: Encoding::Json,
            steps: Vec::new(),
            echoes: Vec::new(),
            pongs: Vec::new(),
            refused: 0,
            end: End::Alive,
        }
    }

    /// On a MessagePack session instead.
    pub fn msgpack(mut self) -> Self {
        self.encoding = Encoding::Msgpack;
        self
    }

    /// Writes frames.
    pub fn send(mut self, chop: Chop, frames: &[Frame]) -> Self {
        let frames: Vec<Vec<u8>> = frames.iter().map(Frame::bytes).collect();
        self.steps.push(Step::Write(match chop {
            Chop::Whole => vec![frames.concat()],
            Chop::Frames => frames,
            Chop::Octets(size) => frames.concat().chunks(size).map(<[u8]>::to_vec).collect(),
        }));
        self
    }

    /// Marks where a strict server fails the connection already.
    pub fn fails_here(mut self) -> Self {
        self.steps.push(Step::FailsHere);
        self
    }

    /// Expects the ping with this id to be answered.
    pub fn echo(mut self, id: &str) -> Self {
        self.echoes.push(id.to_owned());
        self
    }

    /// Expects a WebSocket pong.
    pub fn pong(mut self, payload: &[u8]) -> Self {
        self.pongs.push(payload.to_vec());
        self
    }

    /// Expects one more `bad_frame`.
    pub fn refused(mut self) -> Self {
        self.refused += 1;
        self
    }

    /// Expects the server to fail the connection.
    pub fn fails(mut self, codes: &'static [u16]) -> Self {
        self.end = End::Fails(codes);
        self
    }

    /// Expects the server's answer to the case's own close.
    pub fn answers(mut self, code: Option<u16>) -> Self {
        self.end = End::Answers(code);
        self
    }
}

const HEAD: &str = r#"{"type":"ping","id":""#;
const PAD: &str = r#"","pad":""#;
const TAIL: &str = r#""}"#;

/// A JSON ping around `pad`, which goes in unescaped and may be no text at all.
pub fn json_ping_around(id: &str, pad: &[u8]) -> Vec<u8> {
    [HEAD.as_bytes(), id.as_bytes(), PAD.as_bytes(), pad, TAIL.as_bytes()].concat()
}

/// A JSON ping of exactly `size` octets.
pub fn json_ping(id: &str, size: usize) -> Vec<u8> {
    let rest = size.checked_sub(json_ping_around(id, b"").len()).expect("the size has room for a ping");
    json_ping_around(id, "*".repeat(rest).as_bytes())
}

/// A MessagePack ping of exactly `size` octets. The pad's length is written in 32 bits at every size.
pub fn msgpack_ping(id: &str, size: usize) -> Vec<u8> {
    let mut out = vec![0x83];
    for text in ["type", "ping", "id", id, "pad"] {
        out.push(0xa0 | u8::try_from(text.len()).unwrap());
        out.extend_from_slice(text.as_bytes());
    }
    let pad = size.checked_sub(out.len() + 5).expect("the size has room for a ping");
    out.push(0xdb);
    out.extend_from_slice(&u32::try_from(pad).unwrap().to_be_bytes());
    out.resize(size, b'*');
    out
}

/// A small ping as one JSON text frame.
pub fn ping_frame(id: &str) -> Frame {
    Frame::new(TEXT, json_ping(id, 64))
}

/// A small ping as one MessagePack binary frame.
pub fn binary_ping_frame(id: &str) -> Frame {
    Frame::new(BINARY, msgpack_ping(id, 64))
}
