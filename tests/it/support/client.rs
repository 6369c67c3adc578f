//! An outside WebSocket client: tokio-tungstenite and the frames of the contract as plain JSON values.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::rest::Account;
use super::server::Server;
use super::{DEADLINE, Encoding, unique, uuid};

/// What came from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A protocol frame.
    Frame(Value),
    /// The connection ended, with the close code, or `None` when it ended without a close frame.
    Closed(Option<u16>),
}

/// One WebSocket connection.
pub struct Ws {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
}

impl Ws {
    /// Opens a connection that speaks `encoding`. Nothing is sent yet.
    pub async fn open(server: &Server, encoding: Encoding) -> Self {
        let headers = [("sec-websocket-protocol", encoding.subprotocol())];
        Self::open_with(server, encoding, &headers).await.expect("the upgrade is accepted")
    }

    /// Opens a connection with headers of one's choice; an error when the upgrade is refused.
    pub async fn open_with(
        server: &Server,
        encoding: Encoding,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Box<Error>> {
        let mut request = format!("ws://{}/v1/ws", server.addr()).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let stream = TcpStream::connect(server.addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::upgrade(stream, encoding, request).await
    }

    /// Opens a connection that speaks `encoding` over a TCP connection of one's own making.
    pub async fn over(stream: TcpStream, server: &Server, encoding: Encoding) -> Self {
        let mut request = format!("ws://{}/v1/ws", server.addr()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", encoding.subprotocol().parse().unwrap());
        Self::upgrade(stream, encoding, request).await.expect("the upgrade is accepted")
    }

    async fn upgrade(stream: TcpStream, encoding: Encoding, request: Request) -> Result<Self, Box<Error>> {
        let opening = timeout(DEADLINE, tokio_tungstenite::client_async(request, stream)).await;
        let (socket, _) = opening.expect("the upgrade is answered in time").map_err(Box::new)?;
        Ok(Self { socket, encoding })
    }

    /// Opens a connection and says hello with the account's token; returns it with the `welcome`.
    pub async fn signed_in(server: &Server, encoding: Encoding, account: &Account) -> (Self, Value) {
        let mut ws = Self::open(server, encoding).await;
        ws.send(&json!({ "type": "hello", "token": account.access })).await;
        let welcome = ws.expect("welcome").await;
        (ws, welcome)
    }

    /// Sends a frame in this connection's encoding.
    pub async fn send(&mut self, frame: &Value) {
        let message = match self.encoding {
            Encoding::Json => Message::text(frame.to_string()),
            Encoding::Msgpack => Message::binary(rmp_serde::to_vec_named(frame).unwrap()),
        };
        self.send_message(message).await;
    }

    /// Sends any message as it is. That the server may have closed already is seen on reading, not here.
    pub async fn send_message(&mut self, message: Message) {
        let _ = timeout(DEADLINE, self.socket.send(message)).await.expect("the server reads in time");
    }

    /// The next frame, or the end. Panics when neither comes within the deadline.
    pub async fn incoming(&mut self) -> Incoming {
        timeout(DEADLINE, self.read()).await.expect("the server answers in time")
    }

    async fn read(&mut self) -> Incoming {
        loop {
            let frame = match self.socket.next().await {
                Some(Ok(Message::Text(text))) if self.encoding == Encoding::Json => {
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
                }
                Some(Ok(Message::Binary(bytes))) if self.encoding == Encoding::Msgpack => {
                    rmp_serde::from_slice(&bytes).unwrap_or_else(|error| panic!("{error} in {bytes:?}"))
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(frame))) => {
                    return Incoming::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(other)) => panic!("a frame of the wrong kind for {:?}: {other:?}", self.encoding),
                Some(Err(_)) | None => return Incoming::Closed(None),
            };
            return Incoming::Frame(frame);
        }
    }

    /// The next frame for which `wanted` holds; others are passed over. Panics when the connection ends.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut passed = Vec::new();
        let search = async {
            loop {
                match self.read().await {
                    Incoming::Frame(frame) if wanted(&frame) => return Ok(frame),
                    Incoming::Frame(frame) => passed.push(frame.to_string()),
                    Incoming::Closed(code) => return Err(code),
                }
            }
        };
        match timeout(DEADLINE, search).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(code)) => {
                panic!("closed with {code:?} while waiting for {what}; before it came {passed:?}")
            }
            Err(_) => panic!("no {what} within {DEADLINE:?}; what came was {passed:?}"),
        }
    }

    /// The next frame of this type; others are passed over.
    pub async fn expect(&mut self, kind: &str) -> Value {
        self.until(kind, |frame| frame["type"] == kind).await
    }

    /// Sends a request and returns the frame that ends its answer: the one with the same `id` that is no
    /// part.
    pub async fn ask(&mut self, frame: &Value) -> Value {
        self.send(frame).await;
        let id = &frame["id"];
        self.until(&format!("an answer to {id}"), |answer| answer["id"] == *id && answer["type"] != "events")
            .await
    }

    /// Waits for the end and returns its close code; frames before it are passed over.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Incoming::Closed(code) = self.incoming().await {
                return code;
            }
        }
    }
}

/// Proves that ordinary clients are served: `from` sends `to` a direct message over WebSocket and it arrives,
/// across both encodings.
pub async fn chat_works(server: &Server, from: &Account, to: &Account) {
    let (mut sender, _) = Ws::signed_in(server, Encoding::Json, from).await;
    let (mut receiver, _) = Ws::signed_in(server, Encoding::Msgpack, to).await;
    let body = unique("good morning");
    let frame = json!({ "type": "send", "id": 1, "to": to.id, "client_id": uuid(), "body": body });
    let ack = sender.ask(&frame).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    let event =
        receiver.until("the message", |frame| frame["type"] == "event" && frame["body"] == body).await;
    assert_eq!(event["seq"], ack["seq"], "the receiver sees the acked place");
}
