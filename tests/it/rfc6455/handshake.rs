//! The opening handshake: which ones are accepted, and how the others are answered.

use std::net::SocketAddr;

use tokio::time::timeout;

use crate::support::raw::{Head, RawSocket};
use crate::support::{DEADLINE, in_parallel};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// One request: the good one with changes, and the statuses that may answer it.
struct Request {
    name: &'static str,
    line: String,
    headers: Vec<(&'static str, String)>,
    wanted: &'static [u16],
}

fn good(addr: SocketAddr) -> Request {
    let header = |name, value: &str| (name, value.to_owned());
    Request {
        name: "good",
        line: "GET /v1/ws HTTP/1.1".into(),
        headers: vec![
            header("Host", &addr.to_string()),
            header("Upgrade", "websocket"),
            header("Connection", "Upgrade"),
            header("Sec-WebSocket-Key", KEY),
            header("Sec-WebSocket-Version", "13"),
        ],
        wanted: &[101],
    }
}

/// Changes to one header of the good request: the value, or `None` to leave it out.
const HEADERS: &[(&str, &str, Option<&str>, &[u16])] = &[
    ("no upgrade", "Upgrade", None, &[400, 426]),
    ("upgrade to h2c", "Upgrade", Some("h2c"), &[400, 426]),
    ("upgrade empty", "Upgrade", Some(""), &[400, 426]),
    ("upgrade in capitals", "Upgrade", Some("WebSocket"), &[101]),
    ("no connection", "Connection", None, &[400, 426]),
    ("connection close", "Connection", Some("close"), &[400, 426]),
    ("connection as a list", "Connection", Some("keep-alive, Upgrade"), &[101]),
    ("no key", "Sec-WebSocket-Key", None, &[400]),
    ("key empty", "Sec-WebSocket-Key", Some(""), &[400]),
    ("key of 15 octets", "Sec-WebSocket-Key", Some("AAAAAAAAAAAAAAAAAAAA"), &[400]),
    ("key of 17 octets", "Sec-WebSocket-Key", Some("AAAAAAAAAAAAAAAAAAAAAAA="), &[400]),
    ("key no base64", "Sec-WebSocket-Key", Some("!!!!!!!!!!!!!!!!!!!!!!=="), &[400]),
    ("no version", "Sec-WebSocket-Version", None, &[400, 426]),
    ("version 0", "Sec-WebSocket-Version", Some("0"), &[400, 426]),
    ("version 8", "Sec-WebSocket-Version", Some("8"), &[400, 426]),
    ("version 12", "Sec-WebSocket-Version", Some("12"), &[400, 426]),
    ("version 255", "Sec-WebSocket-Version", Some("255"), &[400, 426]),
    ("version no number", "Sec-WebSocket-Version", Some("thirteen"), &[400, 426]),
    ("no host", "Host", None, &[400]),
];

/// A header added to the good request.
const ADDED: &[(&str, &str, &str, &[u16])] = &[
    ("json subprotocol", "Sec-WebSocket-Protocol", "tidings.v1.json", &[101]),
    ("one known among others", "Sec-WebSocket-Protocol", "graphql-ws, tidings.v1.msgpack", &[101]),
    ("unknown subprotocol", "Sec-WebSocket-Protocol", "graphql-ws", &[400]),
    ("a later version", "Sec-WebSocket-Protocol", "tidings.v2.json", &[400]),
    ("subprotocol in capitals", "Sec-WebSocket-Protocol", "TIDINGS.V1.JSON", &[400]),
    (
        "extensions are declined",
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits",
        &[101],
    ),
    ("extension with bad parameters", "Sec-WebSocket-Extensions", "permessage-deflate; =;;", &[101, 400]),
    ("a second key", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", &[101, 400]),
    ("length and chunks at once", "Transfer-Encoding", "chunked\r\nContent-Length: 4", &[400]),
    ("a header with a NUL", "X-Odd", "a\0b", &[400]),
    ("a folded header", "X-Odd", "a\r\n b", &[400]),
    ("bearer that is no token", "Authorization", "Bearer nonsense", &[101, 401]),
];

/// Origins and whether they may connect; `{host}` is the server's own address.
const ORIGINS: &[(&str, bool)] = &[
    ("http://{host}", true),
    ("https://allowed.example", true),
    ("null", false),
    ("", false),
    ("https://evil.example", false),
    ("http://allowed.example", false),
    ("https://allowed.example:8443", false),
    ("https://sub.allowed.example", false),
    ("https://allowed.example.evil.example", false),
    ("https://notallowed.example", false),
    ("https://allowed.example@evil.example", false),
    ("https://allowed.example/", false),
    ("https://allowed.example.", true),
    ("http://127.0.0.1:1", false),
    ("http://{host}.evil.example", false),
    ("file://", false),
    ("https://allowed.example, https://evil.example", false),
];

/// Request lines instead of the good one.
const LINES: &[(&str, &str, &[u16])] = &[
    ("post", "POST /v1/ws HTTP/1.1", &[405]),
    ("put", "PUT /v1/ws HTTP/1.1", &[405]),
    ("delete", "DELETE /v1/ws HTTP/1.1", &[405]),
    ("http 1.0", "GET /v1/ws HTTP/1.0", &[400, 426, 505]),
    ("another version", "GET /v2/ws HTTP/1.1", &[404]),
    ("a slash too many", "GET /v1/ws/ HTTP/1.1", &[404]),
    ("no http at all", "HELLO", &[400]),
    ("a control character in the path", "GET /v1/ws\x01 HTTP/1.1", &[400]),
];

/// Settings the server needs for this table: the origin that [`ORIGINS`] allows.
pub const SETTINGS: &[(&str, &str)] = &[("TIDINGS__GATEWAY__ALLOWED_ORIGINS", "https://allowed.example")];

fn requests(addr: SocketAddr) -> Vec<Request> {
    let mut requests = vec![good(addr)];
    for (name, header, value, wanted) in HEADERS {
        let mut request = Request { name, wanted, ..good(addr) };
        let place = request.headers.iter().position(|(key, _)| key == header).unwrap();
        match value {
            Some(value) => request.headers[place].1 = (*value).to_owned(),
            None => drop(request.headers.remove(place)),
        }
        requests.push(request);
    }
    for (name, header, value, wanted) in ADDED {
        let mut request = Request { name, wanted, ..good(addr) };
        request.headers.push((header, (*value).to_owned()));
        requests.push(request);
    }
    for (origin, allowed) in ORIGINS {
        let wanted: &[u16] = if *allowed { &[101] } else { &[403] };
        let mut request = Request { name: origin, wanted, ..good(addr) };
        request.headers.push(("Origin", origin.replace("{host}", &addr.to_string())));
        requests.push(request);
    }
    for (name, line, wanted) in LINES {
        requests.push(Request { name, line: (*line).to_owned(), wanted, ..good(addr) });
    }
    let mut two_origins = Request { name: "two origin headers", wanted: &[400, 403], ..good(addr) };
    let own = format!("http://{addr}");
    two_origins.headers.extend([("Origin", own), ("Origin", "https://evil.example".into())]);
    let mut many = Request { name: "a thousand headers", wanted: &[400, 431], ..good(addr) };
    many.headers.extend((0..1000).map(|_| ("X-Filler", "x".to_owned())));
    let mut huge = Request { name: "a header of a megabyte", wanted: &[400, 431], ..good(addr) };
    huge.headers.push(("X-Filler", "x".repeat(1 << 20)));
    requests.extend([two_origins, many, huge]);
    requests
}

/// Sends every request of the tables; returns what went wrong, a line each, and how many there were.
pub async fn run_all(addr: SocketAddr) -> (usize, Vec<String>) {
    let requests = requests(addr);
    let count = requests.len();
    let results = in_parallel(16, requests, move |request| async move { judge(addr, request).await }).await;
    (count, results.into_iter().flatten().collect())
}

async fn judge(addr: SocketAddr, request: Request) -> Option<String> {
    let mut text = format!("{}\r\n", request.line);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut socket = RawSocket::connect(addr).await;
    // A server may answer and close before it has read everything.
    let _ = socket.write(text.as_bytes()).await;
    let complaint = match timeout(DEADLINE / 2, socket.head()).await {
        Err(_) => "no answer in time".to_owned(),
        // Bytes that are no HTTP may be cut off without an answer.
        Ok(None) if request.wanted.contains(&431) || request.line == "HELLO" => return None,
        Ok(None) => "closed without an answer".to_owned(),
        Ok(Some(head)) => complaint_about(&request, &head)?,
    };
    Some(format!("handshake {:?}: {complaint}; wanted {:?}", request.name, request.wanted))
}

fn complaint_about(request: &Request, head: &Head) -> Option<String> {
    if !request.wanted.contains(&head.status) {
        return Some(format!("answered {}", head.status));
    }
    let chosen = head.header("sec-websocket-protocol");
    let asked = request.headers.iter().find(|(name, _)| *name == "Sec-WebSocket-Protocol");
    match head.status {
        101 if head.header("sec-websocket-accept") != Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") => {
            Some(format!("wrong accept: {head:?}"))
        }
        101 if head.header("sec-websocket-extensions").is_some() => {
            Some(format!("took an extension: {head:?}"))
        }
        101 if chosen.is_some() != asked.is_some() => Some(format!("chose {chosen:?} when asked {asked:?}")),
        400 | 426
            if request.name.starts_with("version") && head.header("sec-websocket-version") != Some("13") =>
        {
            Some(format!("does not name the version it speaks: {head:?}"))
        }
        426 if head.header("upgrade").is_none() => Some(format!("426 names no upgrade: {head:?}")),
        405 if head.header("allow").is_none() => Some(format!("405 names no method: {head:?}")),
        _ => None,
    }
}
