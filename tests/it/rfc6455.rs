//! RFC 6455 on the chat endpoint: the case groups of the Autobahn suite's sections 1 to 7 and 10, the opening
//! handshake, and peers that abuse the framing. Autobahn wants an echo; here the protocol's `ping` is the
//! echo.

mod abuse;
mod case;
mod closing;
mod control;
mod fragmentation;
mod handshake;
mod runner;
mod sizes;
mod utf8;

use crate::support::client::{Ws, chat_works};
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, in_parallel};
use runner::Verdict;

/// Cases that may be answered otherwise than the RFC's strictest reading wants, each with the reason. An
/// entry that no case needs any more fails the suite.
const EXPLAINED: &[(&str, &str)] = &[
    ("6.4.1", UTF8_WHEN_WHOLE),
    ("6.4.2", UTF8_WHEN_WHOLE),
    ("6.4.3", UTF8_WHEN_WHOLE),
    ("6.4.4", UTF8_WHEN_WHOLE),
];

/// Autobahn calls this NON-STRICT, not a failure.
const UTF8_WHEN_WHOLE: &str = "text is judged when the message is whole, since nothing acts on a part of one and a \
    message is small; judging each octet as it comes would cost every connection a decoder's state";

async fn two_guests(server: &Server) -> [Account; 2] {
    let rest = Rest::new(server);
    [rest.guest("Ada").await, rest.guest("Ben").await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_follow_the_rfc() {
    let mut server = Server::start(&[]).await;
    let [ada, ben] = two_guests(&server).await;
    let (_, welcome) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let limit = usize::try_from(welcome["limits"]["frame_bytes"].as_u64().expect("a frame limit")).unwrap();

    let mut cases = vec![abuse::fine_cut()];
    cases.extend(sizes::cases(limit));
    cases.extend(control::cases());
    cases.extend(fragmentation::cases());
    cases.extend(utf8::cases());
    cases.extend(closing::cases(limit));
    let count = cases.len();
    assert!(count >= 247, "Autobahn's sections 1 to 7 and 10 have 247 cases; these are {count}");

    let (addr, token) = (server.addr(), ada.access.clone());
    let results = in_parallel(32, cases, move |case| runner::run(addr, token.clone(), case)).await;
    let mut complaints = Vec::new();
    let mut needed = Vec::new();
    for (id, verdict) in results {
        let explained = EXPLAINED.iter().any(|(entry, _)| *entry == id);
        match verdict {
            Verdict::Strict => {}
            Verdict::NonStrict(_) if explained => needed.push(id),
            Verdict::NonStrict(what) | Verdict::Wrong(what) => complaints.push(format!("{id}: {what}")),
        }
    }
    for (id, reason) in EXPLAINED {
        if !needed.iter().any(|needed| needed == id) {
            complaints.push(format!("{id} is strict now; its explanation is stale: {reason}"));
        }
    }
    complaints.sort();
    assert!(complaints.is_empty(), "{} of {count} cases:\n{}", complaints.len(), complaints.join("\n"));
    chat_works(&server, &ada, &ben).await;
    assert!(server.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handshake_lets_in_whom_it_should() {
    let mut server = Server::start(handshake::SETTINGS).await;
    let (count, complaints) = handshake::run_all(server.addr()).await;
    assert!(complaints.is_empty(), "{} of {count} requests:\n{}", complaints.len(), complaints.join("\n"));
    let [ada, ben] = two_guests(&server).await;
    chat_works(&server, &ada, &ben).await;
    assert!(server.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_at_once_is_answered() {
    let server = Server::start(&[]).await;
    let [ada, ben] = two_guests(&server).await;
    abuse::pipelined(server.addr(), &ada.access, false).await;
    abuse::pipelined(server.addr(), &ben.access, true).await;
    let [cleo, _] = two_guests(&server).await;
    abuse::glued_hello(&server, &cleo.access).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_costs_the_server_nothing() {
    let mut server = Server::start(&[("TIDINGS__GATEWAY__CONNECTIONS_PER_USER", "1000")]).await;
    let [ada, ben] = two_guests(&server).await;
    let token = ada.access.as_str();
    abuse::before_hello(server.addr()).await;
    abuse::half_closed(server.addr(), token).await;
    abuse::resets(server.addr(), token).await;
    for length in [60_000, (1 << 32) - 1, u64::MAX >> 1, 1 << 63] {
        abuse::claimed_lengths(&server, token, length).await;
    }
    abuse::endless_frame(&server, token, 1 << 40).await;
    abuse::endless(&server, token, 0, 1_000_000).await;
    abuse::endless(&server, token, 1, 1_000_000).await;
    chat_works(&server, &ada, &ben).await;
    assert!(server.is_running());
}
