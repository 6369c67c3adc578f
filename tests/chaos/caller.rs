//! One user on one socket: sends a message and measures the time until it is answered.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::cluster::Cluster;

/// For everything but the answers that are timed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to one gateway, in a channel of its own.
pub struct Caller {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    channel: String,
    said: u64,
}

impl Caller {
    /// Signs up through the API and connects through haproxy.
    pub async fn connect(cluster: &Cluster) -> Self {
        Self::connect_to(cluster, &[cluster.address("FIRST_URL")]).await.remove(0)
    }

    /// Signs up once and connects to each of these gateways, in the same channel.
    pub async fn connect_to(cluster: &Cluster, gateways: &[&str]) -> Vec<Self> {
        let (url, http) = (cluster.address("URL"), reqwest::Client::new());
        let guest = http.post(format!("{url}/v1/accounts/guest")).json(&json!({}));
        let guest: Value = guest.send().await.expect("the API answers").json().await.expect("it is JSON");
        let token = guest["access_token"].as_str().expect("a guest gets a token").to_owned();
        let channel = http.post(format!("{url}/v1/conversations")).bearer_auth(&token);
        let channel = channel.json(&json!({ "kind": "channel", "name": "calls" }));
        let channel: Value = channel.send().await.expect("the API answers").json().await.expect("it is JSON");
        let channel = channel["conversation"].as_str().expect("a channel has an id").to_owned();
        let mut callers = Vec::new();
        for gateway in gateways {
            let address = format!("{}/v1/ws", gateway.replacen("http", "ws", 1));
            let (socket, _) = connect_async(address).await.expect("the gateway takes the connection");
            let mut caller = Self { socket, channel: channel.clone(), said: 0 };
            caller.write(&json!({ "type": "hello", "token": token })).await;
            let welcome = caller.read(Instant::now() + PATIENCE).await.expect("a welcome comes");
            assert_eq!(welcome["type"], "welcome", "{welcome}");
            callers.push(caller);
        }
        callers
    }

    /// Says lines with these keys at once and answers their acks, in the keys' order.
    pub async fn say_all(&mut self, keys: &[uuid::Uuid]) -> Vec<Value> {
        let first = self.said + 1;
        for key in keys {
            self.said += 1;
            let send = json!({
                "type": "send", "id": self.said, "conversation": self.channel, "client_id": key, "body": "the same",
            });
            self.socket.feed(Message::text(send.to_string())).await.expect("the socket is up");
        }
        self.socket.flush().await.expect("the socket is up");
        let mut acks = vec![Value::Null; keys.len()];
        let mut missing = keys.len();
        while missing > 0 {
            let frame = self.read(Instant::now() + PATIENCE).await.expect("every send is answered");
            let Some(at) = frame["id"].as_u64().and_then(|id| id.checked_sub(first)) else { continue };
            assert_eq!(frame["type"], "ack", "{frame}");
            acks[usize::try_from(at).expect("a small number")] = frame;
            missing -= 1;
        }
        acks
    }

    /// Says a line; answers its `ack` or `error`, and how long that took. Panics when none comes within
    /// `limit`.
    pub async fn say(&mut self, limit: Duration) -> (Value, Duration) {
        self.said += 1;
        let (id, key) = (self.said, uuid::Uuid::new_v4());
        let begun = Instant::now();
        let send = json!({
            "type": "send", "id": id, "conversation": self.channel, "client_id": key, "body": "are you there?",
        });
        self.write(&send).await;
        loop {
            let Some(frame) = self.read(begun + limit).await else {
                panic!("no answer within {limit:?}");
            };
            if frame["id"] == json!(id) {
                return (frame, begun.elapsed());
            }
        }
    }

    async fn write(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.expect("the socket is up");
    }

    async fn read(&mut self, until: Instant) -> Option<Value> {
        loop {
            match timeout_at(until, self.socket.next()).await.ok()? {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).ok(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => panic!("the connection ended"),
                Some(Ok(_)) => {}
            }
        }
    }
}
