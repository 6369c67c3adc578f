//! WebSocket by hand: bytes on a TCP connection, so that a test can break any rule of RFC 6455.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{DEADLINE, Encoding};

/// Continuation frame.
pub const CONTINUATION: u8 = 0x0;
/// Text frame.
pub const TEXT: u8 = 0x1;
/// Binary frame.
pub const BINARY: u8 = 0x2;
/// Close frame.
pub const CLOSE: u8 = 0x8;
/// Ping frame.
pub const PING: u8 = 0x9;
/// Pong frame.
pub const PONG: u8 = 0xA;

/// How the payload length is written.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// In as few bytes as it takes, as the RFC wants it.
    Minimal,
    /// In the 16-bit form, needed or not.
    Bits16,
    /// In the 64-bit form, needed or not.
    Bits64,
    /// A claim in the 64-bit form, whatever the payload is.
    Claimed(u64),
}

/// A frame from the client, legal or not.
#[derive(Clone, Debug)]
pub struct Frame {
    fin: bool,
    rsv: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    length: Length,
    payload: Vec<u8>,
}

impl Frame {
    /// A final, masked frame.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        Self { fin: true, rsv: 0, opcode, mask, length: Length::Minimal, payload: payload.into() }
    }

    /// A close frame with a code and a reason.
    pub fn close(code: u16, reason: &[u8]) -> Self {
        Self::new(CLOSE, [&code.to_be_bytes(), reason].concat())
    }

    /// Sets the FIN bit.
    pub fn fin(mut self, fin: bool) -> Self {
        self.fin = fin;
        self
    }

    /// Sets the three reserved bits (0 to 7).
    pub fn rsv(mut self, rsv: u8) -> Self {
        self.rsv = rsv;
        self
    }

    /// Leaves out the mask.
    pub fn unmasked(mut self) -> Self {
        self.mask = None;
        self
    }

    /// Sets the masking key.
    pub fn mask(mut self, key: [u8; 4]) -> Self {
        self.mask = Some(key);
        self
    }

    /// Sets how the length is written.
    pub fn length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    /// The frame as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        let masked = u8::from(self.mask.is_some()) << 7;
        let actual = self.payload.len() as u64;
        match (self.length, actual) {
            (Length::Minimal, 0..=125) => out.push(masked | actual as u8),
            (Length::Minimal, 126..=0xffff) | (Length::Bits16, _) => {
                out.push(masked | 126);
                out.extend_from_slice(&(actual as u16).to_be_bytes());
            }
            (Length::Minimal | Length::Bits64, _) => {
                out.push(masked | 127);
                out.extend_from_slice(&actual.to_be_bytes());
            }
            (Length::Claimed(length), _) => {
                out.push(masked | 127);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
        match self.mask {
            Some(key) => {
                out.extend_from_slice(&key);
                out.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
            }
            None => out.extend_from_slice(&self.payload),
        }
        out
    }
}

/// Cuts a message into frames: `sizes` octets each, the last taking the rest.
pub fn fragments(opcode: u8, message: &[u8], sizes: &[usize]) -> Vec<Frame> {
    let mut rest = message;
    let mut frames = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let (head, tail) = rest.split_at(*size);
        frames.push(Frame::new(if number == 0 { opcode } else { CONTINUATION }, head).fin(false));
        rest = tail;
    }
    frames.push(Frame::new(if sizes.is_empty() { opcode } else { CONTINUATION }, rest));
    frames
}

/// Cuts a message into frames of `size` octets.
pub fn fragments_of(opcode: u8, message: &[u8], size: usize) -> Vec<Frame> {
    let count = message.len().div_ceil(size).max(1);
    fragments(opcode, message, &vec![size; count - 1])
}

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// FIN.
    pub fin: bool,
    /// The reserved bits.
    pub rsv: u8,
    /// The opcode.
    pub opcode: u8,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Received {
    /// The code of a close frame, `None` when its body is empty.
    pub fn close_code(&self) -> Option<u16> {
        self.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }
}

/// The head of an HTTP answer.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// All header lines, lower-cased.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A TCP connection on which bytes are written and WebSocket frames are read.
pub struct RawSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RawSocket {
    /// Connects; nothing is sent.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Connects and upgrades, checking the answer against the RFC's own example key.
    pub async fn upgrade(addr: SocketAddr, encoding: Encoding) -> Self {
        let mut socket = Self::connect(addr).await;
        socket.write(upgrade_request(addr, encoding).as_bytes()).await.unwrap();
        let head = socket.head().await.expect("the upgrade is answered");
        assert_eq!(head.status, 101, "{head:?}");
        assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(head.header("sec-websocket-protocol"), Some(encoding.subprotocol()));
        assert_eq!(head.header("sec-websocket-extensions"), None, "no extension was offered");
        socket
    }

    /// Writes bytes. An error says that the server has closed; a server that stops reading fails the test.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(DEADLINE, self.stream.write_all(bytes)).await.expect("the server reads in time")
    }

    /// Ends the sending direction, as a peer that half-closes does.
    pub async fn finish_writing(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Closes with RST instead of FIN.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads the head of an HTTP answer; `None` when the server closes without a whole one.
    pub async fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = text.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Head { status, headers })
    }

    /// Reads the next frame; `None` at the end of the stream. Panics past the deadline, and when the server
    /// itself breaks the framing rules (masks, or writes a length in more bytes than it takes).
    pub async fn frame(&mut self) -> Option<Received> {
        loop {
            if let Some((frame, used)) = parse(&self.buffer) {
                self.buffer.drain(..used);
                return Some(frame);
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "the stream ends inside a frame: {:02x?}", self.buffer);
                return None;
            }
        }
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.buffer)).await;
        matches!(read.expect("the server answers or closes in time"), Ok(count) if count > 0)
    }
}

/// A correct upgrade request.
pub fn upgrade_request(addr: SocketAddr, encoding: Encoding) -> String {
    format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {}\r\n\r\n",
        encoding.subprotocol()
    )
}

fn parse(buffer: &[u8]) -> Option<(Received, usize)> {
    let [first, second] = *buffer.first_chunk()?;
    assert_eq!(second & 0x80, 0, "a server must not mask its frames");
    let (length, head) = match second {
        126 => (u64::from(u16::from_be_bytes(*buffer.get(2..)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*buffer.get(2..)?.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let least = [0, 0, 0, 0, 126, 0, 0, 0, 0, 0, 65536][head];
    assert!(length >= least, "the server writes the length {length} in too many bytes");
    let end = head + usize::try_from(length).unwrap();
    let payload = buffer.get(head..end)?.to_vec();
    Some((Received { fin: first & 0x80 != 0, rsv: first >> 4 & 7, opcode: first & 0xf, payload }, end))
}
