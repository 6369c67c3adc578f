use tidings::gateway::session::stream::{ByteStream, Polled};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

const CALM: SocketOptions = SocketOptions { delay_ms: 0, piece_bytes: 1 << 20, capacity_bytes: 1 << 20 };
const LONG: Duration = Duration::from_secs(3_600);

fn pair(options: SocketOptions) -> (SimSocket, SimSocket, Wire) {
    let (device, process) = SimSocket::pair(options, Dice::new(7, "socket"));
    let wire = device.wire();
    (device, process, wire)
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn bytes_arrive_in_order_in_pieces_and_late() {
    let (mut device, mut process, _) = pair(SocketOptions { delay_ms: 30, piece_bytes: 7, ..CALM });
    let (sent, began) = (text(1_000), now());
    device.write_all(&sent).await.unwrap();
    drop(device);
    let (mut received, mut reads, mut buffer) = (Vec::new(), 0, [0; 64]);
    loop {
        let count = process.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        assert!(count <= 7);
        reads += 1;
        received.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(received, sent);
    assert!(reads > 1_000 / 7 && now() - began >= Duration::from_millis(20));
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_stalls_its_writer_until_the_reader_reads() {
    let (mut device, mut process, wire) = pair(SocketOptions { capacity_bytes: 100, ..CALM });
    wire.pace(End::Device, Some(0));
    assert!(timeout(LONG, process.write_all(&text(101))).await.is_err());
    let mut buffer = [0; 1_000];
    assert!(timeout(LONG, device.read(&mut buffer)).await.is_err());
    let began = now();
    wire.pace(End::Device, Some(50));
    let write = process.write_all(b"more");
    let (read, written) = tokio::join!(device.read_exact(&mut buffer[..104]), write);
    assert!(read.is_ok() && written.is_ok());
    let took = now() - began;
    assert!((2_000..2_100).contains(&took.as_millis()), "100 bytes at 50 a second, and a few more: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_stream_still_carries_the_other_direction() {
    let (mut device, mut process, wire) = pair(CALM);
    device.write_all(b"before").await.unwrap();
    wire.half_close(End::Device);
    assert_eq!(device.write(b"after").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let mut all = Vec::new();
    process.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"before");
    process.write_all(b"answer").await.unwrap();
    assert_eq!(device.read_exact(&mut [0; 6]).await.unwrap(), 6);
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_both_ends_fail_at_once() {
    let (mut device, mut process, wire) = pair(CALM);
    process.write_all(b"lost").await.unwrap();
    let break_it = async {
        tokio::task::yield_now().await;
        wire.reset();
    };
    let mut buffer = [0; 4];
    let (waited, ()) = tokio::join!(process.read(&mut buffer), break_it);
    assert_eq!(waited.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(device.read(&mut [0; 4]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(device.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn one_end_alone_may_learn_of_a_reset() {
    let (mut device, mut process, wire) = pair(CALM);
    wire.reset_for(End::Process);
    assert!(process.read(&mut [0; 4]).await.is_err());
    drop(process);
    device.write_all(b"nobody reads it").await.unwrap();
    assert!(timeout(LONG, device.read(&mut [0; 4])).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_vanished_peer_is_never_told_and_its_writer_stalls() {
    let (mut device, mut process, wire) = pair(SocketOptions { capacity_bytes: 10, ..CALM });
    device.write_all(b"arrived").await.unwrap();
    wire.vanish();
    drop(device);
    assert_eq!(process.read_exact(&mut [0; 7]).await.unwrap(), 7);
    assert!(timeout(LONG, process.read(&mut [0; 1])).await.is_err());
    process.write_all(&text(10)).await.unwrap();
    assert!(timeout(LONG, process.write_all(b"x")).await.is_err());
    assert!(!wire.is_over());
    drop(process);
    assert!(wire.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_stall_delays_and_loses_nothing() {
    let (mut device, mut process, wire) = pair(SocketOptions { delay_ms: 5, ..CALM });
    let began = now();
    device.write_all(b"under way ").await.unwrap();
    wire.stall(Duration::from_millis(500));
    device.write_all(b"and after").await.unwrap();
    drop(device);
    let mut all = Vec::new();
    process.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"under way and after");
    assert!(now() - began >= Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn who_writes_to_a_closed_peer_learns_it_late() {
    let (mut device, process, _) = pair(SocketOptions { delay_ms: 20, ..CALM });
    drop(process);
    device.write_all(b"into the void").await.unwrap();
    assert_eq!(device.read(&mut [0; 4]).await.unwrap(), 0);
    assert_eq!(device.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_close_with_unread_bytes_is_a_reset_after_what_was_sent() {
    let (mut device, mut process, _) = pair(CALM);
    device.write_all(b"unread").await.unwrap();
    process.write_all(b"last words").await.unwrap();
    drop(process);
    assert_eq!(device.read_exact(&mut [0; 10]).await.unwrap(), 10);
    assert_eq!(device.read(&mut [0; 4]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn the_product_wraps_it() {
    let (mut device, process, _) = pair(SocketOptions { delay_ms: 40, capacity_bytes: 8, piece_bytes: 3 });
    let stream = Polled::new(process);
    assert_eq!(stream.try_write(&[IoSlice::new(b"abcdef"), IoSlice::new(b"ghij")]).unwrap(), 8);
    let full = stream.try_write(&[IoSlice::new(b"ij")]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    let mut read = [0; 8];
    let room = std::future::poll_fn(|context| stream.poll_writable(context));
    let (room, taken) = tokio::join!(room, device.read_exact(&mut read));
    assert!(room.is_ok() && taken.is_ok() && &read == b"abcdefgh");
    device.write_all(b"xy").await.unwrap();
    let mut buffer = bytes::BytesMut::new();
    while buffer.len() < 2 {
        std::future::poll_fn(|context| stream.poll_readable(context)).await.unwrap();
        match stream.try_read(&mut buffer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    stream.shut_down_write().unwrap();
    assert_eq!(device.read(&mut read).await.unwrap(), 0);
}
