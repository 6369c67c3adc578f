//! One WebSocket connection of a device: a task that reads and one that writes. Everything that crosses is
//! noted in the history. Dropping it cuts the connection.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::wire::{decode, encode};
use crate::edges::socket::{SimSocket, Wire};
use crate::history::{History, What, Who};
use crate::net::Upgraded;

/// Frames that wait for the socket; a device sends no more until there is room.
const OUTGOING: usize = 128;
/// A close frame without a code, as RFC 6455 names it.
pub const NO_CODE: u16 = 1005;

/// The reports of a connection to its device.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A frame of the protocol.
    Frame(Value),
    /// A ping or pong of the WebSocket: the other side lives.
    Alive,
    /// The end, with the code of the close frame. Nothing follows.
    Closed(Option<u16>),
}

/// Where connections report: their number and what they saw.
pub type Inbox = mpsc::Sender<(u64, Seen)>;

enum Out {
    Frame(Value),
    Message(Message),
}

/// The parts that the tasks of a connection need.
#[derive(Clone)]
struct Notes {
    history: History,
    who: Who,
    socket: u64,
    closed: Rc<Cell<bool>>,
}

impl Notes {
    fn note(&self, what: What) {
        self.history.note(self.who, what);
    }

    fn closed(&self, code: Option<u16>) {
        if !self.closed.replace(true) {
            self.note(What::Closed { socket: self.socket, code });
        }
    }
}

/// A connection.
pub struct Link {
    /// Its number in the history.
    pub socket: u64,
    outgoing: mpsc::Sender<Out>,
    paused: watch::Sender<bool>,
    notes: Notes,
    wire: Wire,
    #[expect(dead_code, reason = "its drop ends the tasks, and with them the connection")]
    tasks: JoinSet<()>,
}

impl Link {
    /// Begins to read and write. `device`: whose it is.
    pub fn begin(upgraded: Upgraded, device: usize, msgpack: bool, history: &History, inbox: Inbox) -> Self {
        let Upgraded { stream, socket, process } = upgraded;
        let notes =
            Notes { history: history.clone(), who: Who::Device(device), socket, closed: Rc::default() };
        notes.note(What::Opened { socket, process });
        let wire = stream.wire();
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let (paused, pause) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (begun, role) = (notes.clone(), Role::Client);
        tasks.spawn_local(async move {
            let small = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(0);
            let (sink, stream) = WebSocketStream::from_raw_socket(stream, role, Some(small)).await.split();
            let mut halves = JoinSet::new();
            halves.spawn_local(write(sink, queue, begun.clone(), msgpack));
            read(stream, inbox, pause, begun, msgpack).await;
        });
        Self { socket, outgoing, paused, notes, wire, tasks }
    }

    /// Gives a frame to the socket; false when there is no room, and then nothing was sent.
    pub fn send(&self, frame: Value) -> bool {
        self.outgoing.try_send(Out::Frame(frame)).is_ok()
    }

    /// Gives a message to the socket that is no frame of the protocol; false when there is no room.
    pub fn send_raw(&self, message: Message) -> bool {
        self.outgoing.try_send(Out::Message(message)).is_ok()
    }

    /// Ends the connection with a close frame. The answer to it is still awaited.
    pub fn close(&self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        self.send_raw(Message::Close(Some(frame)));
    }

    /// Whether there is room for another frame.
    pub fn has_room(&self) -> bool {
        // Nobody waits for room in a connection that has ended.
        self.outgoing.is_closed() || self.outgoing.capacity() > 0
    }

    /// Cuts the connection, so that the other side learns of it.
    pub fn reset(self) {
        self.wire.reset();
    }

    /// Nothing crosses the connection any more, and neither end gets a notice. Without a drop it stays open.
    pub fn vanish(&self) {
        self.wire.vanish();
        self.pause(true);
    }

    /// Reads nothing until it is called with false.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.notes.closed(None);
    }
}

/// Returns when the connection may be read.
async fn unpaused(pause: &mut watch::Receiver<bool>) {
    // The sender lives as long as the tasks do.
    let _ = pause.wait_for(|paused| !paused).await;
}

async fn write(
    mut sink: SplitSink<WebSocketStream<SimSocket>, Message>,
    mut queue: mpsc::Receiver<Out>,
    notes: Notes,
    msgpack: bool,
) {
    while let Some(out) = queue.recv().await {
        let message = match out {
            Out::Frame(frame) => {
                let message = encode(&frame, msgpack);
                notes.note(What::Sent { socket: notes.socket, frame });
                message
            }
            Out::Message(message) => {
                notes.note(What::SentGarbage { socket: notes.socket, bytes: message.len() });
                message
            }
        };
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

async fn read(
    mut stream: SplitStream<WebSocketStream<SimSocket>>,
    inbox: Inbox,
    mut pause: watch::Receiver<bool>,
    notes: Notes,
    msgpack: bool,
) {
    let code = loop {
        unpaused(&mut pause).await;
        let message = tokio::select! {
            biased;
            _ = pause.changed() => continue,
            message = stream.next() => message,
        };
        let seen = match message {
            Some(Ok(Message::Close(frame))) => break Some(frame.map_or(NO_CODE, |frame| frame.code.into())),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Seen::Alive,
            Some(Ok(message)) => match decode(&message, msgpack) {
                Some(frame) => {
                    notes.note(What::Received { socket: notes.socket, frame: frame.clone() });
                    Seen::Frame(frame)
                }
                None => {
                    let text = format!("socket {}: received what is no frame: {message:?}", notes.socket);
                    notes.note(What::Noted { text });
                    Seen::Alive
                }
            },
            Some(Err(_)) | None => break None,
        };
        if inbox.send((notes.socket, seen)).await.is_err() {
            return;
        }
    };
    notes.closed(code);
    let _ = inbox.send((notes.socket, Seen::Closed(code))).await;
    if code.is_some() {
        // The answer to the close frame goes out while the stream is read to its end.
        let _ = timeout(Duration::from_secs(2), async { while stream.next().await.is_some() {} }).await;
    }
}
