//! A small server of the protocol, in memory, that can be told to break one promise. It exists to prove that
//! the tool notices; it proves nothing about a real server.

mod http;
mod state;

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

pub use state::Fault;
use state::State;

/// Frames waiting for one connection.
const QUEUE: usize = 10_000;
/// A connection's queue is closed by this word: the socket goes without goodbye.
const HANG_UP: &str = "hang up";

/// Starts a server with `fault` on a free port and returns its address as a URL. It ends with the test's
/// runtime.
pub async fn start(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new(State::new(fault)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, state.clone()));
        }
    });
    url
}

async fn connection(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut start = [0; 10];
    while let Ok(1..10) = stream.peek(&mut start).await {}
    if start.starts_with(b"GET /v1/ws") {
        websocket(stream, state).await;
    } else {
        http::answer(stream, &state).await;
    }
}

#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn same_subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if let Some(asked) = request.headers().get("Sec-WebSocket-Protocol") {
        response.headers_mut().insert("Sec-WebSocket-Protocol", asked.clone());
    }
    Ok(response)
}

fn read(message: &Message) -> Option<Value> {
    match message {
        Message::Text(text) => serde_json::from_str(text.as_str()).ok(),
        Message::Binary(bytes) => rmp_serde::from_slice(bytes).ok(),
        _ => None,
    }
}

async fn websocket(stream: TcpStream, state: Arc<Mutex<State>>) {
    let Ok(mut socket) = accept_hdr_async(stream, same_subprotocol).await else { return };
    let Some(Ok(hello)) = socket.next().await else { return };
    let binary = matches!(hello, Message::Binary(_));
    let Some(hello) = read(&hello) else { return };
    let (queue, mut frames) = mpsc::channel::<String>(QUEUE);
    let token = hello["token"].as_str().unwrap_or_default();
    let Some(session) = state.lock().unwrap().welcome(token, queue.clone()) else { return };
    loop {
        tokio::select! {
            frame = frames.recv() => {
                let Some(frame) = frame.filter(|frame| frame != HANG_UP) else { break };
                let message = if binary {
                    let value: Value = serde_json::from_str(&frame).unwrap();
                    Message::binary(rmp_serde::to_vec_named(&value).unwrap())
                } else {
                    Message::text(frame)
                };
                if socket.send(message).await.is_err() {
                    break;
                }
            }
            message = socket.next() => {
                let Some(Ok(message)) = message else { break };
                let Some(frame) = read(&message) else { continue };
                let mut state = state.lock().unwrap();
                match frame["type"].as_str() {
                    Some("send") => state.send(session, &frame),
                    Some("sync") => state.sync(session, &frame),
                    _ => {
                        let error = json!({"type": "error", "id": frame["id"], "code": "unknown_type",
                            "message": "", "retryable": false, "definite": true});
                        queue.try_send(error.to_string()).unwrap();
                    }
                }
            }
        }
    }
    state.lock().unwrap().gone(session);
}
