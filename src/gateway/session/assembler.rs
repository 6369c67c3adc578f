//! From bytes to messages. The codec of actix-http reads frames; this file adds what RFC 6455 requires of
//! fragments, text and closes.

use actix_http::ws::{OpCode, Parser, ProtocolError};
use bytes::BytesMut;

use crate::protocol::Close;

/// One message of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text message, checked to be UTF-8.
    Text(BytesMut),
    /// A whole binary message.
    Binary(BytesMut),
    /// A ping with its payload, which the pong must repeat.
    Ping(BytesMut),
    /// A pong.
    Pong,
    /// The client closes the connection. The server must repeat the code (`None`: it gave none).
    Close(Option<u16>),
}

/// The most fragments of one message. No client needs as many, and a client that sends empty fragments
/// without end is stopped.
const MAX_FRAGMENTS: u32 = 1_024;

/// Joins fragments. Holds bytes only while a message is incomplete.
#[derive(Debug, Default)]
pub struct Assembler {
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    text: bool,
    bytes: BytesMut,
    fragments: u32,
}

impl Assembler {
    /// Takes the next message out of `source`, and its bytes with it. `Ok(None)`: it is not complete yet.
    ///
    /// # Errors
    /// The close code for the client's mistake. Nothing may be read after it.
    pub fn next(&mut self, source: &mut BytesMut, max_bytes: usize) -> Result<Option<Incoming>, Close> {
        loop {
            check_length(source, max_bytes)?;
            let Some((finished, opcode, payload)) =
                Parser::parse(source, true, max_bytes).map_err(|error| close_for(&error))?
            else {
                return Ok(None);
            };
            let payload = payload.unwrap_or_default();
            match opcode {
                OpCode::Ping | OpCode::Pong | OpCode::Close if !finished => return Err(Close::Framing),
                OpCode::Ping => return Ok(Some(Incoming::Ping(payload))),
                OpCode::Pong => return Ok(Some(Incoming::Pong)),
                OpCode::Close => return close_payload(&payload).map(Some),
                OpCode::Text | OpCode::Binary => {
                    let text = opcode == OpCode::Text;
                    if self.partial.is_some() {
                        return Err(Close::Framing);
                    }
                    if finished {
                        return message(text, payload).map(Some);
                    }
                    self.partial = Some(Box::new(Partial { text, bytes: payload, fragments: 1 }));
                }
                OpCode::Continue => {
                    let Some(partial) = &mut self.partial else { return Err(Close::Framing) };
                    partial.fragments += 1;
                    if partial.bytes.len() + payload.len() > max_bytes || partial.fragments > MAX_FRAGMENTS {
                        return Err(Close::TooLarge);
                    }
                    partial.bytes.extend_from_slice(&payload);
                    if finished && let Some(partial) = self.partial.take() {
                        return message(partial.text, partial.bytes).map(Some);
                    }
                }
                OpCode::Bad => return Err(Close::Framing),
            }
        }
    }
}

/// Checks a frame by its header. The codec waits until a frame is complete and accepts every form of length,
/// so a claimed length that never arrives would make it wait without end (RFC 6455 sections 5.2 and 5.5).
fn check_length(source: &[u8], max_bytes: usize) -> Result<(), Close> {
    let (claimed, shortest) = match source {
        [_, second, ..] if second & 0x7f <= 125 => (u64::from(second & 0x7f), true),
        [_, second, high, low, ..] if second & 0x7f == 126 => {
            let claimed = u64::from(u16::from_be_bytes([*high, *low]));
            (claimed, claimed > 125)
        }
        [_, second, a, b, c, d, e, f, g, h, ..] if second & 0x7f == 127 => {
            let claimed = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (claimed, claimed > u64::from(u16::MAX))
        }
        _ => return Ok(()),
    };
    let control = source[0] & 0x08 != 0;
    // The codec checks for an unmasked frame or a reserved bit, and that check comes first.
    let judged_by_codec = source[1] & 0x80 == 0 || source[0] & 0x70 != 0;
    if judged_by_codec {
        return Ok(());
    }
    if !shortest || (control && claimed > 125) {
        return Err(Close::Framing);
    }
    if claimed > max_bytes as u64 {
        return Err(Close::TooLarge);
    }
    Ok(())
}

fn message(text: bool, payload: BytesMut) -> Result<Incoming, Close> {
    if !text {
        return Ok(Incoming::Binary(payload));
    }
    if std::str::from_utf8(&payload).is_err() {
        return Err(Close::NotUtf8);
    }
    Ok(Incoming::Text(payload))
}

fn close_payload(payload: &[u8]) -> Result<Incoming, Close> {
    match payload {
        [] => Ok(Incoming::Close(None)),
        [_] => Err(Close::Framing),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            // RFC 6455 section 7.4: reserved codes are never sent. 1012 to 1014 were registered later.
            let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if !allowed {
                return Err(Close::Framing);
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(Close::NotUtf8);
            }
            Ok(Incoming::Close(Some(code)))
        }
    }
}

fn close_for(error: &ProtocolError) -> Close {
    match error {
        ProtocolError::Overflow => Close::TooLarge,
        _ => Close::Framing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked client frame with a mask of zeroes.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            0..=125 => bytes.push(0x80 | payload.len() as u8),
            _ => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn run(frames: &[Vec<u8>]) -> Result<Vec<Incoming>, Close> {
        let mut assembler = Assembler::default();
        let mut out = Vec::new();
        let mut source = BytesMut::new();
        // Byte by byte: what holds for every split holds for the others.
        for byte in frames.concat() {
            source.extend_from_slice(&[byte]);
            while let Some(incoming) = assembler.next(&mut source, 1_000)? {
                out.push(incoming);
            }
        }
        Ok(out)
    }

    #[test]
    fn fragments_join_around_control_frames() {
        let out = run(&[frame(0x01, b"he"), frame(0x89, b"p"), frame(0x80, b"llo")]);
        let expected = vec![Incoming::Ping(BytesMut::from("p")), Incoming::Text(BytesMut::from("hello"))];
        assert_eq!(out, Ok(expected));
    }

    #[test]
    fn mistakes_earn_their_close() {
        for (frames, close) in [
            (vec![frame(0x80, b"x")], Close::Framing),
            (vec![frame(0x01, b"x"), frame(0x81, b"y")], Close::Framing),
            (vec![frame(0xc1, b"x")], Close::Framing),
            (vec![frame(0x83, b"x")], Close::Framing),
            (vec![frame(0x09, b"x")], Close::Framing),
            (vec![frame(0x89, &[0; 126])], Close::Framing),
            (vec![frame(0x88, b"x")], Close::Framing),
            (vec![frame(0x88, &1005_u16.to_be_bytes())], Close::Framing),
            (vec![frame(0x88, b"\x03\xe8\xff")], Close::NotUtf8),
            (vec![frame(0x81, b"\xc0\x80")], Close::NotUtf8),
            (vec![frame(0x81, &[b'x'; 1_001])], Close::TooLarge),
            (vec![frame(0x01, &[b'x'; 900]), frame(0x80, &[b'x'; 101])], Close::TooLarge),
            (std::iter::repeat_n(frame(0x00, b""), 2_000).collect::<Vec<_>>(), Close::Framing),
        ] {
            assert_eq!(run(&frames), Err(close));
        }
        let mut drip = vec![frame(0x01, b"")];
        drip.extend(std::iter::repeat_n(frame(0x00, b""), 2_000));
        assert_eq!(run(&drip), Err(Close::TooLarge));
    }

    #[test]
    fn lengths_are_judged_by_the_header_alone() {
        assert_eq!(run(&[vec![0x81, 0xfe, 0, 5, 0, 0, 0, 0]]), Err(Close::Framing), "not the shortest form");
        assert_eq!(run(&[vec![0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 200]]), Err(Close::Framing));
        assert_eq!(
            run(&[vec![0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]),
            Err(Close::TooLarge)
        );
        assert_eq!(run(&[vec![0x89, 0xfe, 0, 126]]), Err(Close::Framing));
    }

    #[test]
    fn unmasked_frames_are_refused() {
        assert_eq!(run(&[vec![0x81, 0x01, b'x']]), Err(Close::Framing));
    }
}
