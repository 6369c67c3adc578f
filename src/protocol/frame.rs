//! Server-side WebSocket frames (RFC 6455 section 5.2): unmasked, unfragmented, header and payload in one
//! buffer, so a frame is encoded once and its bytes are shared by every connection that gets it.

use bytes::Bytes;

use super::Close;

/// Room for the longest server-side header.
pub const HEADER_ROOM: usize = 10;

/// The opcodes a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// UTF-8 text.
    Text,
    /// A message of bytes, as in MessagePack.
    Binary,
    /// The end of the connection, with code and reason.
    Close,
    /// A question whether the peer is alive.
    Ping,
    /// The answer to a ping, with its payload.
    Pong,
}

impl Opcode {
    const fn first_byte(self) -> u8 {
        0x80 | match self {
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }
}

/// Turns a buffer whose first [`HEADER_ROOM`] bytes are free into a frame, without moving the payload.
pub fn seal(opcode: Opcode, mut buffer: Vec<u8>) -> Bytes {
    let payload_bytes = buffer.len() - HEADER_ROOM;
    let start = match payload_bytes {
        0..=125 => {
            buffer[HEADER_ROOM - 1] = payload_bytes as u8;
            HEADER_ROOM - 2
        }
        126..=65_535 => {
            buffer[HEADER_ROOM - 3] = 126;
            buffer[HEADER_ROOM - 2..HEADER_ROOM].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            HEADER_ROOM - 4
        }
        _ => {
            buffer[1] = 127;
            buffer[2..HEADER_ROOM].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            0
        }
    };
    buffer[start] = opcode.first_byte();
    let mut bytes = Bytes::from(buffer);
    bytes.split_off(start)
}

/// A frame around a copy of the payload.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut buffer = Vec::with_capacity(HEADER_ROOM + payload.len());
    buffer.resize(HEADER_ROOM, 0);
    buffer.extend_from_slice(payload);
    seal(opcode, buffer)
}

/// A close frame of the catalogue.
pub fn close_frame(close: Close) -> Bytes {
    let mut payload = close.code().to_be_bytes().to_vec();
    payload.extend_from_slice(close.reason().as_bytes());
    frame(Opcode::Close, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_shortest_length_form() {
        for (len, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let bytes = frame(Opcode::Text, &vec![b'x'; len]);
            assert_eq!(bytes[..header.len()], header[..]);
            assert_eq!(bytes.len(), header.len() + len);
        }
    }
}
