//! HTTP written by hand: paths with `..`, bodies with a wrong length, and two requests in one. No client
//! library would send them.

use crate::support::in_parallel;
use crate::support::raw::RawSocket;
use crate::support::server::Server;

/// Paths out of wherever files are served from, and what answers them without a token. None is found, and
/// none redirects. An encoded slash separates nothing, so two of them are routes with an id that is none:
/// a caller that is not signed in hears that first (401), others that there is no such thing.
const CLIMBING: &[(&str, u16)] = &[
    ("/../../../../etc/passwd", 404),
    ("/..%2f..%2f..%2fetc%2fpasswd", 404),
    ("/%2e%2e/%2e%2e/%2e%2e/etc/passwd", 404),
    ("/%252e%252e/%252e%252e/etc/passwd", 404),
    ("/..\\..\\..\\etc\\passwd", 404),
    ("/..%5c..%5cetc%5cpasswd", 404),
    ("/....//....//etc/passwd", 404),
    ("/..;/..;/etc/passwd", 404),
    ("//etc/passwd", 404),
    ("/v1/../../Cargo.toml", 404),
    ("/v1/conversations/../../../etc/passwd", 404),
    ("/v1/users/..%2f..%2fdata", 401),
    ("/v1/conversations/..%2f..%2fdata/messages", 401),
    ("/.git/config", 404),
    ("/.env", 404),
    ("/etc/passwd%00.html", 404),
    ("/%ff%fe", 404),
    ("/%", 404),
    ("/%zz", 404),
];

/// The head and body after `POST /v1/accounts/guest`, and the statuses that may answer. An end without an
/// answer is fair as well.
const LIES: &[(&str, &str, &[u16])] = &[
    ("negative length", "Content-Length: -1\r\n\r\n{}", &[400]),
    ("length no number", "Content-Length: two\r\n\r\n{}", &[400]),
    ("length with a sign", "Content-Length: +2\r\n\r\n{}", &[400]),
    ("length of 2^64", "Content-Length: 18446744073709551616\r\n\r\n{}", &[400, 413]),
    ("length of a terabyte", "Content-Length: 1099511627776\r\n\r\n{}", &[400, 413]),
    ("two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", &[400]),
    ("length and chunks", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("chunks of no number", "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", &[400]),
    (
        "a chunk of 2^64",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{}\r\n0\r\n\r\n",
        &[400, 413],
    ),
    ("chunks twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", &[400, 501]),
    ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", &[400, 501]),
    ("gzip that is none", "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", &[400, 415]),
    ("a header without a name", ": x\r\nContent-Length: 2\r\n\r\n{}", &[400]),
    ("a space before the colon", "Content-Length : 2\r\n\r\n{}", &[400]),
    ("a header without a colon", "Nonsense\r\nContent-Length: 2\r\n\r\n{}", &[400]),
];

/// Sends all of them, each on a connection of its own; panics with all that went wrong.
pub async fn run_all(server: &Server, token: &str) {
    let host = server.addr();
    let mut requests: Vec<(String, String, &[u16])> = Vec::new();
    for (path, status) in CLIMBING {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        let signed_in = format!("{head}Authorization: Bearer {token}\r\n\r\n");
        let there = if *status == 401 { &[404] } else { std::slice::from_ref(status) };
        requests.push((format!("{path} with a token"), signed_in, there));
        requests.push(((*path).to_owned(), head + "\r\n", std::slice::from_ref(status)));
    }
    requests.extend(LIES.iter().map(|(name, rest, statuses)| {
        let head =
            format!("POST /v1/accounts/guest HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
        ((*name).to_owned(), head + rest, *statuses)
    }));
    let count = requests.len();
    let results = in_parallel(8, requests, move |(name, request, statuses)| async move {
        let mut socket = RawSocket::connect(host).await;
        // The server may answer and close before it has read everything.
        let _ = socket.write(request.as_bytes()).await;
        let status = socket.head().await?.status;
        (!statuses.contains(&status)).then(|| format!("{name}: answered {status}; wanted {statuses:?}"))
    })
    .await;
    let mut complaints: Vec<String> = results.into_iter().flatten().collect();
    complaints.sort();
    assert!(complaints.is_empty(), "{} of {count} requests:\n{}", complaints.len(), complaints.join("\n"));
}
