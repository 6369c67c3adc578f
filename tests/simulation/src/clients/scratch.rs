//! A connection beside those of the device, for one purpose: to repeat a send, or to misbehave.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::jobs::ask;
use super::link::{Link, Seen};
use super::wire::text;
use crate::dice::Dice;
use crate::history::History;
use crate::net::{Broken, Call, SharedNetwork};

/// The parts that a task beside the device uses.
#[derive(Clone)]
pub(super) struct Bench {
    pub network: SharedNetwork,
    pub history: History,
    pub device: usize,
    pub msgpack: bool,
    pub token: Option<String>,
    pub dice: Dice,
}

/// A connection for one purpose. Dropping it cuts it.
pub(super) struct Scratch {
    pub link: Link,
    inbox: mpsc::Receiver<(u64, Seen)>,
}

impl Bench {
    /// Opens a connection and sends nothing yet.
    pub async fn open(&self) -> Option<Scratch> {
        let opened = self.network.connect(self.device, self.msgpack, None);
        let upgraded = timeout(Duration::from_secs(15), opened).await.ok()?.ok()?;
        let (reports, inbox) = mpsc::channel(64);
        let link = Link::begin(upgraded, self.device, self.msgpack, &self.history, reports);
        Some(Scratch { link, inbox })
    }

    /// Opens a connection with a token and waits for its welcome.
    pub async fn enter(&self, token: Option<&str>) -> Option<Scratch> {
        let mut scratch = self.open().await?;
        scratch.link.send(json!({"type": "hello", "token": token, "device": "beside"}));
        scratch.until(15_000, |frame| text(frame, "type") == "welcome").await.map(|_| scratch)
    }

    /// Makes a call with the device's token.
    pub async fn call(
        &self,
        method: &'static str,
        path: String,
        body: Option<Value>,
        key: Option<String>,
    ) -> Result<(u16, Value), Broken> {
        let call = Call { method, path, token: self.token.clone(), body, key };
        ask(&self.network, &self.history, self.device, call).await
    }
}

impl Scratch {
    /// The next thing that the connection reports; `None` after so many milliseconds, or after its end.
    pub async fn next(&mut self, ms: u64) -> Option<Seen> {
        timeout(Duration::from_millis(ms), self.inbox.recv()).await.ok().flatten().map(|(_, seen)| seen)
    }

    /// The first frame that `choose` accepts, within so many milliseconds; `None` also at the end.
    pub async fn until(&mut self, ms: u64, choose: impl Fn(&Value) -> bool) -> Option<Value> {
        let search = async {
            loop {
                match self.inbox.recv().await {
                    Some((_, Seen::Frame(frame))) if choose(&frame) => return Some(frame),
                    Some((_, Seen::Closed(_))) | None => return None,
                    Some(_) => {}
                }
            }
        };
        timeout(Duration::from_millis(ms), search).await.ok().flatten()
    }

    /// Reads what comes for so many milliseconds; returns the code when the connection ended.
    pub async fn drain(&mut self, ms: u64) -> Option<Option<u16>> {
        let search = async {
            loop {
                match self.inbox.recv().await {
                    Some((_, Seen::Closed(code))) => return code,
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        timeout(Duration::from_millis(ms), search).await.ok()
    }

    /// Ends the connection with a close frame and waits for the answer.
    pub async fn leave(mut self) {
        self.link.close(1000);
        self.drain(5_000).await;
    }
}
