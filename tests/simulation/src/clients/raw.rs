//! A connection on which bytes are written that no WebSocket library would write. What the server says is
//! read as frames.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::link::NO_CODE;
use super::scratch::Bench;
use super::wire::{decode, encode};
use crate::edges::socket::SimSocket;
use crate::history::{What, Who};

/// The longest that one write may take.
const WRITE_MS: u64 = 20_000;

/// The form of a frame of RFC 6455.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// The first byte: FIN, the reserved bits and the opcode.
    pub first: u8,
    /// Whether the payload is masked, as clients must.
    pub masked: bool,
    /// The length that is announced, when it is not that of the payload.
    pub announced: Option<u64>,
}

impl Shape {
    /// A whole, masked frame with an opcode.
    pub fn whole(opcode: u8) -> Self {
        Self { first: 0x80 | opcode, masked: true, announced: None }
    }

    /// The bytes of a frame.
    pub fn frame(self, payload: &[u8]) -> Vec<u8> {
        let length = self.announced.unwrap_or(payload.len() as u64);
        let mask = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => bytes.push(mask | short),
            (_, Ok(middle)) => {
                bytes.push(mask | 126);
                bytes.extend(middle.to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        if self.masked {
            // Any four bytes are a mask.
            let key = [0x37, 0xFA, 0x21, 0x3D];
            bytes.extend(key);
            bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend(payload);
        }
        bytes
    }
}

/// The connection.
pub(super) struct Raw {
    socket: WebSocketStream<SimSocket>,
    number: u64,
    bench: Bench,
    ended: bool,
}

impl Bench {
    /// Opens a connection for raw bytes.
    pub async fn raw(&self) -> Option<Raw> {
        let opened = self.network.connect(self.device, self.msgpack, None);
        let upgraded = timeout(Duration::from_secs(15), opened).await.ok()?.ok()?;
        let opened = What::Opened { socket: upgraded.socket, process: upgraded.process };
        self.history.note(Who::Device(self.device), opened);
        let small = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(0);
        let socket = WebSocketStream::from_raw_socket(upgraded.stream, Role::Client, Some(small)).await;
        Some(Raw { socket, number: upgraded.socket, bench: self.clone(), ended: false })
    }

    /// The same, after a `hello` and its welcome.
    pub async fn raw_welcomed(&self) -> Option<Raw> {
        let mut raw = self.raw().await?;
        let hello = serde_json::json!({"type": "hello", "token": self.token});
        raw.write(&Shape::whole(raw.opcode()).frame(&encode(&hello, self.msgpack).into_data())).await;
        raw.read(3_000).await;
        (!raw.ended).then_some(raw)
    }
}

impl Raw {
    /// The opcode of data frames in the encoding of this connection.
    pub fn opcode(&self) -> u8 {
        if self.bench.msgpack { 2 } else { 1 }
    }

    /// Writes bytes as they are. Nothing happens after the end.
    pub async fn write(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        let garbage = What::SentGarbage { socket: self.number, bytes: bytes.len() };
        self.bench.history.note(Who::Device(self.bench.device), garbage);
        let stream = self.socket.get_mut();
        let written = timeout(Duration::from_millis(WRITE_MS), stream.write_all(bytes)).await;
        if !matches!(written, Ok(Ok(()))) {
            self.end(None);
        }
    }

    /// Nothing more is written, and the server gets the end of the stream.
    pub async fn half_close(&mut self) {
        // An error means that the connection has ended already.
        let _ = self.socket.get_mut().shutdown().await;
    }

    /// Reads what the server says for so many milliseconds, or until the end. True when the connection has
    /// ended.
    #[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is the virtual time")]
    pub async fn read(&mut self, ms: u64) -> bool {
        let until = Instant::now() + Duration::from_millis(ms);
        while !self.ended {
            let Ok(message) = timeout_at(until, self.socket.next()).await else { break };
            match message {
                Some(Ok(Message::Close(frame))) => {
                    self.end(Some(frame.map_or(NO_CODE, |frame| frame.code.into())));
                }
                Some(Ok(message)) => self.note(&message),
                Some(Err(_)) | None => self.end(None),
            }
        }
        self.ended
    }

    fn note(&self, message: &Message) {
        if let Some(frame) = decode(message, self.bench.msgpack) {
            let received = What::Received { socket: self.number, frame };
            self.bench.history.note(Who::Device(self.bench.device), received);
        }
    }

    fn end(&mut self, code: Option<u16>) {
        if !std::mem::replace(&mut self.ended, true) {
            let closed = What::Closed { socket: self.number, code };
            self.bench.history.note(Who::Device(self.bench.device), closed);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.end(None);
    }
}
