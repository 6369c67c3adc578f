//! Peers that keep the framing rules, or almost, and try to make the server use memory or time.

use std::net::SocketAddr;

use serde_json::json;
use tokio::time::timeout;

use super::case::{Case, Chop, json_ping, ping_frame};
use super::runner::{Verdict, run, signed_in};
use crate::support::raw::{
    CLOSE, CONTINUATION, Frame, Length, PING, RawSocket, TEXT, fragments_of, upgrade_request,
};
use crate::support::server::Server;
use crate::support::{DEADLINE, Encoding, in_parallel};

const MIB: u64 = 1 << 20;

/// A message that never ends: fragments of `size` octets, so many of them. The server must end it by itself.
pub async fn endless(server: &Server, token: &str, size: usize, count: usize) {
    let mut socket = signed_in(server.addr(), Encoding::Json, token).await;
    let before = server.rss_bytes();
    let first = Frame::new(TEXT, vec![b' '; size]).fin(false).bytes();
    let mut open = socket.write(&first).await.is_ok();
    let some = Frame::new(CONTINUATION, vec![b' '; size]).fin(false).bytes().repeat(1000);
    for _ in 0..count / 1000 {
        open = open && socket.write(&some).await.is_ok();
    }
    let code = loop {
        match socket.frame().await {
            Some(frame) if frame.opcode == CLOSE => break frame.close_code(),
            Some(_) => {}
            None => panic!("{count} fragments of {size} octets: ended without a close frame"),
        }
    };
    assert!(matches!(code, Some(1002 | 1009)), "{count} fragments of {size} octets: closed with {code:?}");
    let grown = server.rss_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "{count} fragments of {size} octets cost {grown} bytes");
}

/// A frame that claims to be `length` octets long and comes on and on. The server must end it by its claim
/// alone.
pub async fn endless_frame(server: &Server, token: &str, length: u64) {
    let mut socket = signed_in(server.addr(), Encoding::Json, token).await;
    let before = server.rss_bytes();
    let head = ping_frame("claim").length(Length::Claimed(length)).bytes();
    let mut open = socket.write(&head[..14]).await.is_ok();
    for _ in 0..1_000 {
        open = open && socket.write(&[b' '; 65_536]).await.is_ok();
    }
    let grown = server.rss_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "a frame that claims {length} octets cost {grown} bytes");
    let frame = socket.frame().await.expect("a close frame");
    assert_eq!(
        (frame.opcode, frame.close_code()),
        (CLOSE, Some(1009)),
        "a frame that claims {length} octets"
    );
}

/// Many connections, each claiming a frame of `length` octets and sending none of it.
pub async fn claimed_lengths(server: &Server, token: &str, length: u64) {
    let before = server.rss_bytes();
    let mut sockets = Vec::new();
    for _ in 0..40 {
        let mut socket = signed_in(server.addr(), Encoding::Json, token).await;
        let frame = ping_frame("claim").length(Length::Claimed(length)).bytes();
        socket.write(&frame[..14]).await.unwrap();
        sockets.push(socket);
    }
    // One more connection that is served shows that the server has read all of them.
    let probe = Case::new("probe");
    let (_, verdict) = run(server.addr(), token.to_owned(), probe).await;
    assert_eq!(verdict, Verdict::Strict);
    let grown = server.rss_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "40 claims of {length} octets cost {grown} bytes");
}

/// A peer that sends its hello in one segment with the upgrade: nothing it sent may be lost.
pub async fn glued_hello(server: &Server, token: &str) {
    let mut socket = RawSocket::connect(server.addr()).await;
    let hello = Frame::new(TEXT, json!({ "type": "hello", "token": token }).to_string());
    let bytes = [upgrade_request(server.addr(), Encoding::Json).into_bytes(), hello.bytes()].concat();
    socket.write(&bytes).await.unwrap();
    assert_eq!(socket.head().await.map(|head| head.status), Some(101));
    let frame = socket.frame().await.expect("a welcome");
    let text = String::from_utf8(frame.payload).unwrap();
    assert!(text.contains(r#""welcome""#), "{text}");
}

/// A peer that sends many requests in one write and then only listens: each is answered, though far fewer may
/// be under way at once. With `glued` they come right behind the hello.
pub async fn pipelined(addr: SocketAddr, token: &str, glued: bool) {
    const COUNT: usize = 190;
    let hello = Frame::new(TEXT, json!({ "type": "hello", "token": token }).to_string()).bytes();
    let request =
        |id| Frame::new(TEXT, json!({ "type": "sync", "id": id, "ranges": [] }).to_string()).bytes();
    let requests: Vec<u8> = (0..COUNT).flat_map(request).collect();
    let (mut socket, bytes) = if glued {
        (RawSocket::upgrade(addr, Encoding::Json).await, [hello, requests].concat())
    } else {
        (signed_in(addr, Encoding::Json, token).await, requests)
    };
    socket.write(&bytes).await.unwrap();
    let mut answered = 0;
    while answered < COUNT {
        let Ok(frame) = timeout(DEADLINE / 3, socket.frame()).await else {
            panic!(
                "of {COUNT} requests in one write (right behind the hello: {glued}) {answered} were answered"
            );
        };
        let text = String::from_utf8(frame.expect("the connection lives").payload).unwrap();
        // A request over the rate is answered too.
        answered += usize::from(text.contains(r#""id":"#));
    }
}

/// A peer that stops sending for good, whether politely or in the middle of a frame, is let go.
pub async fn half_closed(addr: SocketAddr, token: &str) {
    for begun in [0, 5] {
        let mut socket = signed_in(addr, Encoding::Json, token).await;
        socket.write(&ping_frame("e").bytes()[..begun]).await.unwrap();
        socket.finish_writing().await.unwrap();
        while socket.frame().await.is_some() {}
    }
}

/// Peers that vanish with RST in the middle of a frame, or of the handshake.
pub async fn resets(addr: SocketAddr, token: &str) {
    let token = token.to_owned();
    in_parallel(16, (0..64).collect(), move |number| {
        let token = token.clone();
        async move {
            if number % 2 == 0 {
                let mut socket = signed_in(addr, Encoding::Json, &token).await;
                let bytes = Frame::new(TEXT, json_ping("e", 4096)).bytes();
                socket.write(&bytes[..2000]).await.unwrap();
                socket.reset();
            } else {
                let mut socket = RawSocket::connect(addr).await;
                socket.write(&upgrade_request(addr, Encoding::Json).as_bytes()[..60]).await.unwrap();
                socket.reset();
            }
        }
    })
    .await;
}

/// The frame rules hold before the hello too, when nobody has signed in.
pub async fn before_hello(addr: SocketAddr) {
    let close_after = async |frames: &[Frame]| {
        let mut socket = RawSocket::upgrade(addr, Encoding::Json).await;
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        socket.write(&bytes).await.unwrap();
        loop {
            let frame = socket.frame().await.expect("a close frame before the end");
            if frame.opcode == CLOSE {
                return frame.close_code();
            }
        }
    };
    assert_eq!(close_after(&[ping_frame("e").unmasked()]).await, Some(1002));
    assert_eq!(close_after(&[ping_frame("e").rsv(4)]).await, Some(1002));
    assert_eq!(close_after(&[Frame::new(TEXT, b"\xff")]).await, Some(1007));
    assert_eq!(close_after(&[ping_frame("e").length(Length::Claimed(1 << 40))]).await, Some(1009));
    assert_eq!(close_after(&[Frame::close(1000, b"")]).await, Some(1000));
    assert_eq!(close_after(&[Frame::new(PING, ""), ping_frame("e")]).await, Some(4400));
}

/// A message cut as finely as possible, within the limit, that is followed by others: bounded, not refused.
pub fn fine_cut() -> Case {
    let message = json_ping("e", 512);
    Case::new("own.fine_cut").send(Chop::Whole, &fragments_of(TEXT, &message, 1)).echo("e")
}
