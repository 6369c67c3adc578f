//! Plays a session example: frames of one or several connections, in the order they are written.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::page::{Block, Line, Way, Wrong};
use super::pattern::parse;
use super::stage::Stage;
use crate::support::Encoding;
use crate::support::client::{Incoming, Ws};

/// A connection in an example.
struct Seat {
    ws: Ws,
    greeted: bool,
    closed: bool,
    /// `…`: frames are passed over until one is like the next one shown.
    passing: bool,
}

/// For the next frame, so that its absence is told with its line; shorter than the client's own deadline.
const PATIENCE: Duration = Duration::from_secs(5);

impl Seat {
    async fn next(&mut self) -> Result<Incoming, String> {
        timeout(PATIENCE, self.ws.incoming()).await.map_err(|_| "nothing came".to_owned())
    }
}

/// Plays a block. A client that has a name and says no hello is signed in before it begins; at its end
/// nothing may be left unsaid.
///
/// # Errors
/// The first line that does not hold.
pub async fn play(stage: &mut Stage, block: &Block) -> Result<(), Wrong> {
    let mut seats = BTreeMap::new();
    for line in &block.lines {
        let greets = block.lines.iter().find(|other| other.who == line.who).is_some_and(is_greeting);
        if !line.who.is_empty() && !greets && !seats.contains_key(&line.who) {
            let seat = signed_in(stage, &line.who).await;
            seats.insert(line.who.clone(), seat.map_err(|what| Wrong { line: line.number, what })?);
        }
    }
    for line in &block.lines {
        let outcome = match line.way {
            Way::Happens => happens(stage, &line.text).await,
            Way::Sent => say(stage, &mut seats, line).await,
            Way::Received => hear(stage, &mut seats, line).await,
        };
        outcome.map_err(|what| Wrong { line: line.number, what })?;
    }
    let last = block.lines.last().map_or(0, |line| line.number);
    // All stay until the last was asked: the others are told when a connection ends.
    for (who, seat) in &mut seats {
        if !seat.closed && !seat.passing && seat.greeted {
            nothing_more(seat).await.map_err(|what| Wrong { line: last, what: format!("{who}: {what}") })?;
        }
    }
    Ok(())
}

fn is_greeting(line: &Line) -> bool {
    line.way == Way::Sent && line.text.contains("\"type\": \"hello\"")
}

async fn signed_in(stage: &Stage, who: &str) -> Result<Seat, String> {
    let mut ws = Ws::open(&stage.server, stage.encoding).await;
    ws.send(&json!({ "type": "hello", "token": stage.token(who)? })).await;
    let mut seat = Seat { ws, greeted: true, closed: false, passing: false };
    match seat.next().await? {
        Incoming::Frame(frame) if frame["type"] == "welcome" => Ok(seat),
        other => Err(format!("{who} is not welcome: {other:?}")),
    }
}

/// `who METHOD path [body]`: a call that succeeds; or the server is asked to stop.
async fn happens(stage: &mut Stage, what: &str) -> Result<(), String> {
    if what == "the server is asked to stop" {
        stage.server.ask_to_stop().await;
        return Ok(());
    }
    let (times, what) = times(what);
    let mut words = what.splitn(4, ' ');
    let (Some(who), Some(method), Some(path)) = (words.next(), words.next(), words.next()) else {
        return Err(format!("{what:?} is nothing that happens"));
    };
    let token = stage.token(who)?;
    let method: Method = method.parse().map_err(|_| format!("{method} is no method"))?;
    let body = words.next().map(|body| stage.names.frame(body)).transpose()?;
    let path = stage.names.fill(path);
    for _ in 0..times {
        let answer = stage.rest.call(Method::clone(&method), &path, Some(&token), body.as_ref()).await;
        if !answer.status.is_success() {
            return Err(format!("{} {}", answer.status, answer.text));
        }
    }
    Ok(())
}

/// `5 × what`: how often, and what.
fn times(text: &str) -> (usize, &str) {
    let counted = text.split_once(" × ").and_then(|(count, what)| Some((count.parse().ok()?, what)));
    counted.unwrap_or((1, text))
}

async fn say(stage: &mut Stage, seats: &mut BTreeMap<String, Seat>, line: &Line) -> Result<(), String> {
    let seat = seat_of(stage, seats, &line.who).await?;
    let (times, text) = times(&line.text);
    for _ in 0..times {
        if let Some(code) = text.strip_prefix("close ") {
            let code: u16 = code.parse().map_err(|_| "a close code is expected")?;
            let frame = CloseFrame { code: code.into(), reason: "".into() };
            seat.ws.send_message(Message::Close(Some(frame))).await;
        } else if let Some(raw) = text.strip_prefix("text ") {
            seat.ws.send_message(malformed(stage.encoding, raw)).await;
        } else if let Some(raw) = text.strip_prefix("binary ") {
            seat.ws.send_message(Message::binary(raw.as_bytes().to_vec())).await;
        } else {
            let frame = stage.names.frame(text)?;
            seat.greeted |= frame["type"] == "hello";
            seat.ws.send(&frame).await;
        }
    }
    Ok(())
}

/// Their connection, made when they have none.
async fn seat_of<'a>(
    stage: &Stage,
    seats: &'a mut BTreeMap<String, Seat>,
    who: &str,
) -> Result<&'a mut Seat, String> {
    if !seats.contains_key(who) {
        let ws = Ws::open(&stage.server, stage.encoding).await;
        seats.insert(who.to_owned(), Seat { ws, greeted: false, closed: false, passing: false });
    }
    seats.get_mut(who).ok_or_else(|| "nobody speaks".to_owned())
}

/// Text that is no frame; what is as little a frame in MessagePack.
fn malformed(encoding: Encoding, raw: &str) -> Message {
    match encoding {
        Encoding::Json => Message::text(raw),
        Encoding::Msgpack => Message::binary(vec![0xc1]),
    }
}

async fn hear(stage: &mut Stage, seats: &mut BTreeMap<String, Seat>, line: &Line) -> Result<(), String> {
    let seat = seat_of(stage, seats, &line.who).await?;
    if line.text == "…" {
        seat.passing = true;
        return Ok(());
    }
    let passing = std::mem::take(&mut seat.passing);
    if let Some(code) = line.text.strip_prefix("close ") {
        seat.closed = true;
        return hear_close(seat, code, passing).await;
    }
    let shown = parse(&line.text)?;
    loop {
        match seat.next().await? {
            Incoming::Frame(came) if passing && came["type"] != shown["type"] => {}
            Incoming::Frame(came) => {
                return stage.names.check(&shown, &came).map_err(|what| format!("{what}; what came: {came}"));
            }
            Incoming::Closed(code) => return Err(format!("closed with {code:?}")),
        }
    }
}

async fn hear_close(seat: &mut Seat, code: &str, passing: bool) -> Result<(), String> {
    loop {
        match seat.next().await? {
            Incoming::Frame(_) if passing => {}
            Incoming::Frame(came) => return Err(format!("came: {came}")),
            Incoming::Closed(came) if came.map(|came| came.to_string()).as_deref() == Some(code) => {
                return Ok(());
            }
            Incoming::Closed(came) => return Err(format!("closed with {came:?}")),
        }
    }
}

/// The next thing to come is the answer to a question of ours: nothing came that the example does not show.
async fn nothing_more(seat: &mut Seat) -> Result<(), String> {
    let id = Value::from("the end of the example");
    seat.ws.send(&json!({ "type": "ping", "id": id })).await;
    match seat.next().await? {
        Incoming::Frame(frame) if frame["id"] == id => Ok(()),
        other => Err(format!("what came is not shown: {other:?}")),
    }
}
