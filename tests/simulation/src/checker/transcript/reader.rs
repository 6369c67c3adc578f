//! Reads the history, entry by entry.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Asked, Claims, Head, Request, Shown, Socket, Transcript};
use crate::checker::operated;
use crate::history::{Entry, What, Who};
use crate::plan::{Behaviour, Plan};

pub(super) fn read<'r>(plan: &Plan, entries: &'r [Entry]) -> Transcript<'r> {
    let mut reader = Reader {
        transcript: Transcript {
            entries,
            sockets: BTreeMap::new(),
            requests: Vec::new(),
            shown: Vec::new(),
            heads: Vec::new(),
            users: BTreeMap::new(),
            operated: operated::read(entries),
            calm: None,
            unasked: Vec::new(),
        },
        waiting: BTreeMap::new(),
        doubled: BTreeSet::new(),
        calls: BTreeMap::new(),
        newest: BTreeMap::new(),
        plan,
    };
    for (at, entry) in entries.iter().enumerate() {
        reader.take(at, entry);
    }
    reader.transcript
}

/// How something came: by a socket, or as the answer to the call of an index.
#[derive(Clone, Copy)]
enum Way {
    Socket(u64),
    Call(usize),
}

impl Way {
    fn parts(self) -> (Option<u64>, Option<usize>) {
        match self {
            Self::Socket(socket) => (Some(socket), None),
            Self::Call(request) => (None, Some(request)),
        }
    }
}

/// The frames that answer a request.
const ANSWERS: &[&str] = &["ack", "ok", "synced", "pong", "error"];

/// The id of a frame as the answer has it: "the value of a number counts, not its spelling"
/// (docs/PROTOCOL.md, 1), so 2.0 is 2.
fn id_of(frame: &Value) -> String {
    let number = frame["id"].as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e18);
    match number.filter(|_| frame["id"].is_f64()) {
        Some(number) => (number as i64).to_string(),
        None => frame["id"].to_string(),
    }
}

struct Reader<'r, 'p> {
    transcript: Transcript<'r>,
    /// Requests by socket and id.
    waiting: BTreeMap<(u64, String), usize>,
    /// Ids that waited for two answers at once.
    doubled: BTreeSet<(u64, String)>,
    calls: BTreeMap<u64, usize>,
    /// The newest access token of each device.
    newest: BTreeMap<usize, Claims>,
    plan: &'p Plan,
}

impl<'r> Reader<'r, '_> {
    fn take(&mut self, at: usize, entry: &'r Entry) {
        let Who::Device(device) = entry.who else {
            if let What::Noted { text } = &entry.what
                && text == "the calm begins"
            {
                self.transcript.calm = Some(at);
            }
            return;
        };
        match &entry.what {
            What::Opened { socket, process } => {
                let opened = Socket {
                    device,
                    process: *process,
                    user: None,
                    opened: at,
                    closed: None,
                    tokens: Vec::new(),
                    left: None,
                    frames: Vec::new(),
                };
                self.transcript.sockets.insert(*socket, opened);
            }
            What::Closed { socket, code } => {
                if let Some(open) = self.transcript.sockets.get_mut(socket) {
                    open.closed = Some((at, *code));
                }
            }
            What::Sent { socket, frame } => self.sent(at, device, *socket, frame),
            What::Received { socket, frame } => self.received(at, device, *socket, frame),
            What::Called { call, method, path, body, token, .. } => {
                let claims = token.as_deref().and_then(Claims::read);
                let user = claims.as_ref().map(|claims| claims.user.clone());
                self.calls.insert(*call, self.transcript.requests.len());
                self.transcript.requests.push(Request {
                    sent: at,
                    answered: None,
                    device,
                    user,
                    claims,
                    asked: Asked::Call(method, path, body),
                    answer: None,
                    status: None,
                    parts: Vec::new(),
                });
            }
            What::Answered { call, status, body } => self.answered(at, device, *call, *status, body),
            What::SentGarbage { socket, .. } => {
                let hostile = self.is_hostile(device);
                if let Some(open) = self.transcript.sockets.get_mut(socket).filter(|_| !hostile) {
                    open.left.get_or_insert(at);
                }
            }
            What::Noted { .. } => {}
        }
    }

    fn sent(&mut self, at: usize, device: usize, socket: u64, frame: &'r Value) {
        let mut user = None;
        if let Some(open) = self.transcript.sockets.get_mut(&socket) {
            open.frames.push((at, true));
            user = open.user.clone();
            let token = match (frame["type"].as_str(), frame["token"].as_str()) {
                (Some("hello" | "auth"), Some(token)) => Claims::read(token),
                // The token came with the upgrade: it was the newest one then.
                (Some("hello"), None) => self.newest.get(&device).cloned(),
                _ => None,
            };
            open.tokens.extend(token.map(|token| (at, token)));
        }
        let request = self.transcript.requests.len();
        // Of requests with the same id nobody can tell which one an answer belongs to.
        let key = (socket, id_of(frame));
        if !frame["id"].is_null() && !self.doubled.contains(&key) {
            if self.waiting.remove(&key).is_some() {
                self.doubled.insert(key);
            } else {
                self.waiting.insert(key, request);
            }
        }
        self.transcript.requests.push(Request {
            sent: at,
            answered: None,
            device,
            user,
            claims: None,
            asked: Asked::Frame(socket, frame),
            answer: None,
            status: None,
            parts: Vec::new(),
        });
    }

    fn received(&mut self, at: usize, device: usize, socket: u64, frame: &'r Value) {
        let kind = frame["type"].as_str().unwrap_or_default();
        if let Some(open) = self.transcript.sockets.get_mut(&socket) {
            open.frames.push((at, false));
            if let (true, Some(user)) = (kind == "welcome", frame["user"].as_str()) {
                open.user = Some(user.to_owned());
                self.know(device, user);
            }
        }
        let key = (socket, id_of(frame));
        let asked = self.waiting.get(&key).copied().filter(|_| !frame["id"].is_null());
        match kind {
            "welcome" | "heads" => {
                // A welcome answers the first frame of its connection.
                let opened = self.transcript.sockets.get(&socket);
                let first = opened.and_then(|open| open.frames.first()).map_or(at, |(entry, _)| *entry);
                let since = if kind == "welcome" { first } else { at };
                for head in frame["heads"].as_array().into_iter().flatten() {
                    self.head(at, since, device, Way::Socket(socket), head);
                }
            }
            "event" => {
                self.show(at, at, device, Way::Socket(socket), frame["conversation"].as_str(), frame, true);
            }
            "events" => {
                let sent = asked.map_or(at, |request| {
                    let request = &mut self.transcript.requests[request];
                    request.parts.push(at);
                    request.sent
                });
                if asked.is_none() {
                    self.transcript.unasked.push((at, socket));
                }
                for event in frame["events"].as_array().into_iter().flatten() {
                    self.show(
                        at,
                        sent,
                        device,
                        Way::Socket(socket),
                        frame["conversation"].as_str(),
                        event,
                        false,
                    );
                }
            }
            _ => {
                if let Some(request) = asked {
                    let request = &mut self.transcript.requests[request];
                    request.answered = Some(at);
                    request.answer = Some(frame);
                    self.waiting.remove(&key);
                } else if ANSWERS.contains(&kind) && !frame["id"].is_null() {
                    self.transcript.unasked.push((at, socket));
                }
            }
        }
    }

    fn answered(&mut self, at: usize, device: usize, call: u64, status: Option<u16>, body: &'r Value) {
        let Some(&index) = self.calls.get(&call) else { return };
        let request = &mut self.transcript.requests[index];
        request.answered = Some(at);
        request.status = status;
        request.answer = status.map(|_| body);
        let (sent, asked) = (request.sent, request.asked);
        if status.is_none_or(|status| status >= 300) {
            return;
        }
        if let Some(user) = body["user"]["id"].as_str() {
            self.know(device, user);
            if let Some(claims) = body["access_token"].as_str().and_then(Claims::read) {
                self.newest.insert(device, claims);
            }
        }
        let Asked::Call(_, path, _) = asked else { return };
        self.head(at, sent, device, Way::Call(index), body);
        for head in body["conversations"].as_array().into_iter().flatten() {
            self.head(at, sent, device, Way::Call(index), head);
        }
        let conversation = path.split(['/', '?']).skip_while(|part| *part != "conversations").nth(1);
        // What a preview shows may be seen by everybody.
        if path.ends_with("/preview") {
            return;
        }
        for list in ["messages", "events"] {
            for event in body[list].as_array().into_iter().flatten() {
                self.show(at, sent, device, Way::Call(index), conversation, event, false);
            }
        }
    }

    fn head(&mut self, entry: usize, asked: usize, device: usize, way: Way, head: &'r Value) {
        // A preview is about nobody's membership, so it has no read position.
        let (Some(conversation), Some(last_seq), true) =
            (head["conversation"].as_str(), head["last_seq"].as_u64(), head["read_seq"].is_u64())
        else {
            return;
        };
        let (socket, request) = way.parts();
        self.transcript.heads.push(Head {
            entry,
            device,
            socket,
            asked,
            request,
            conversation,
            last_seq,
            head,
        });
    }

    #[expect(clippy::too_many_arguments, reason = "what was shown, to whom, when and how")]
    fn show(
        &mut self,
        entry: usize,
        asked: usize,
        device: usize,
        way: Way,
        conversation: Option<&'r str>,
        event: &'r Value,
        live: bool,
    ) {
        let (Some(conversation), Some(seq)) = (conversation, event["seq"].as_u64()) else { return };
        let (socket, request) = way.parts();
        self.transcript.shown.push(Shown {
            entry,
            device,
            socket,
            live,
            conversation,
            seq,
            event,
            asked,
            request,
        });
    }

    /// A hostile device signs in as anybody; all others stay who they are.
    fn know(&mut self, device: usize, user: &str) {
        if !self.is_hostile(device) {
            self.transcript.users.entry(device).or_insert_with(|| user.to_owned());
        }
    }

    fn is_hostile(&self, device: usize) -> bool {
        self.plan.devices.get(device).is_some_and(|one| one.behaviour == Behaviour::Hostile)
    }
}
