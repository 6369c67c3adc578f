//! Runs a case on its own connection and checks what came back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::case::{Case, End, Step, binary_ping_frame, ping_frame};
use crate::support::Encoding;
use crate::support::raw::{BINARY, CLOSE, Frame, PING, PONG, RawSocket, Received, TEXT};

/// How long a server that fails early may take to be called strict.
const FAST: Duration = Duration::from_millis(500);

/// How long a step of a case may take.
const PATIENCE: Duration = Duration::from_secs(6);

/// The judgement on a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the RFC wants it.
    Strict,
    /// Tolerable, but to be explained.
    NonStrict(String),
    /// A violation.
    Wrong(String),
}

/// Opens a connection, says hello and returns it once welcomed.
pub async fn signed_in(addr: SocketAddr, encoding: Encoding, token: &str) -> RawSocket {
    let mut socket = RawSocket::upgrade(addr, encoding).await;
    let hello = serde_json::json!({ "type": "hello", "token": token });
    let frame = match encoding {
        Encoding::Json => Frame::new(TEXT, hello.to_string()),
        Encoding::Msgpack => Frame::new(BINARY, rmp_serde::to_vec_named(&hello).unwrap()),
    };
    socket.write(&frame.bytes()).await.unwrap();
    loop {
        let frame = socket.frame().await.expect("hello is answered");
        match decode(encoding, &frame) {
            Some(message) if message["type"] == "welcome" => return socket,
            Some(message) => assert_ne!(message["type"], "error", "{message}"),
            None => assert_ne!(frame.opcode, CLOSE, "hello was refused: {frame:?}"),
        }
    }
}

/// Runs one case; returns its id and the verdict.
pub async fn run(addr: SocketAddr, token: String, case: Case) -> (String, Verdict) {
    let Ok(socket) = timeout(PATIENCE, signed_in(addr, case.encoding, &token)).await else {
        return (case.id, Verdict::Wrong("no welcome in time".into()));
    };
    let mut session = Session { socket, encoding: case.encoding, seen: Seen::default() };
    let verdict = match session.drive(&case).await {
        Ok(()) => session.seen.judge(&case),
        Err(what) => Verdict::Wrong(format!("{what}; seen: {:?}", session.seen)),
    };
    (case.id, verdict)
}

struct Session {
    socket: RawSocket,
    encoding: Encoding,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    echoes: Vec<String>,
    pongs: Vec<Vec<u8>>,
    refused: usize,
    close: Option<Received>,
    after_close: usize,
    ended: bool,
    slow: bool,
}

impl Session {
    async fn drive(&mut self, case: &Case) -> Result<(), String> {
        for step in &case.steps {
            match step {
                Step::Write(pieces) => {
                    for piece in pieces {
                        // A server that has failed the connection may have closed it: reading tells.
                        if self.socket.write(piece).await.is_err() {
                            break;
                        }
                    }
                }
                Step::FailsHere => {
                    let closed = timeout(FAST, self.read_until(|seen| seen.close.is_some())).await;
                    self.seen.slow = closed.is_err();
                }
            }
            if self.seen.close.is_some() || self.seen.ended {
                break;
            }
        }
        if case.end == End::Alive {
            self.probe(case).await?;
        }
        self.patiently("close frame", |seen| seen.close.is_some()).await?;
        if let (End::Fails(_), Some(close)) = (&case.end, &self.seen.close) {
            let answer = Frame::new(CLOSE, close.payload.clone());
            let _ = self.socket.write(&answer.bytes()).await;
        }
        self.patiently("end of the TCP connection", |seen| seen.ended).await
    }

    /// Shows that the connection lives, then closes it.
    async fn probe(&mut self, case: &Case) -> Result<(), String> {
        let probe = match self.encoding {
            Encoding::Json => ping_frame("alive"),
            Encoding::Msgpack => binary_ping_frame("alive"),
        };
        let _ = self.socket.write(&probe.bytes()).await;
        let wanted = (case.echoes.len() + 1, case.pongs.len(), case.refused);
        self.patiently("all answers", |seen| {
            let all =
                seen.echoes.len() >= wanted.0 && seen.pongs.len() >= wanted.1 && seen.refused >= wanted.2;
            all && seen.echoes.iter().any(|id| id == "alive") || seen.close.is_some()
        })
        .await?;
        let _ = self.socket.write(&Frame::close(1000, b"").bytes()).await;
        Ok(())
    }

    async fn patiently(&mut self, what: &str, done: impl Fn(&Seen) -> bool) -> Result<(), String> {
        match timeout(PATIENCE, self.read_until(&done)).await {
            Ok(()) if done(&self.seen) => Ok(()),
            Ok(()) => Err(format!("the connection ended before the {what}")),
            Err(_) => Err(format!("no {what} within {PATIENCE:?}")),
        }
    }

    async fn read_until(&mut self, done: impl Fn(&Seen) -> bool) {
        while !done(&self.seen) && !self.seen.ended {
            match self.socket.frame().await {
                Some(frame) => self.seen.take(self.encoding, frame),
                None => self.seen.ended = true,
            }
        }
    }
}

impl Seen {
    fn take(&mut self, encoding: Encoding, frame: Received) {
        if self.close.is_some() {
            self.after_close += 1;
            return;
        }
        assert!(frame.fin && frame.rsv == 0, "the server sends a frame outside the contract: {frame:?}");
        match frame.opcode {
            CLOSE => self.close = Some(frame),
            PONG => self.pongs.push(frame.payload),
            PING => {}
            _ => {
                let message = decode(encoding, &frame).expect("a protocol frame");
                match message["type"].as_str() {
                    Some("pong") => self.echoes.push(message["id"].as_str().unwrap_or("none").to_owned()),
                    Some("error") if message["code"] == "bad_frame" => self.refused += 1,
                    Some("error") => self.echoes.push(message.to_string()),
                    _ => {}
                }
            }
        }
    }

    fn judge(&self, case: &Case) -> Verdict {
        let mut echoes = case.echoes.clone();
        if case.end == End::Alive {
            echoes.push("alive".into());
        }
        let close = self.close.as_ref().map(Received::close_code);
        let ended_well = match &case.end {
            End::Alive => close == Some(Some(1000)),
            End::Fails(codes) => matches!(close, Some(Some(code)) if codes.contains(&code)),
            End::Answers(None) => matches!(close, Some(None | Some(1000))),
            End::Answers(code) => close == Some(*code),
        };
        let extra_echo = self.echoes.iter().any(|id| !echoes.contains(id));
        if !ended_well || extra_echo || self.pongs.len() > case.pongs.len() || self.after_close > 0 {
            return Verdict::Wrong(format!("expected {:?}, {echoes:?}; seen {self:?}", case.end));
        }
        let (mut wanted, mut had) = (echoes, self.echoes.clone());
        wanted.sort();
        had.sort();
        let complete = wanted == had && self.pongs == case.pongs && self.refused == case.refused;
        match (&case.end, complete) {
            (_, true) if self.slow => Verdict::NonStrict("failed only when the message was whole".into()),
            (_, true) => Verdict::Strict,
            (End::Alive, false) => Verdict::Wrong(format!("answers missing or out of order: {self:?}")),
            (_, false) => Verdict::NonStrict(format!("closed before all answers were sent: {self:?}")),
        }
    }
}

fn decode(encoding: Encoding, frame: &Received) -> Option<Value> {
    match (encoding, frame.opcode) {
        (Encoding::Json, TEXT) => {
            Some(serde_json::from_slice(&frame.payload).expect("the server sends JSON"))
        }
        (Encoding::Msgpack, BINARY) => {
            Some(rmp_serde::from_slice(&frame.payload).expect("the server sends MessagePack"))
        }
        (_, PING | PONG | CLOSE) => None,
        (_, opcode) => panic!("the server sends opcode {opcode} on a {encoding:?} session"),
    }
}
