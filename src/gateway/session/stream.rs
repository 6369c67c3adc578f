//! What the kernel is told about an upgraded socket.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Lets the kernel give a connection up when its peer acknowledges nothing for `after`: a phone that went out of range
/// answers no probe, and without this the socket and what waits in it would stay for a quarter of an hour.
///
/// # Errors
/// The system's; the connection works all the same.
pub fn give_up_after(stream: &TcpStream, after: Duration) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_user_timeout(Some(after))?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (SockRef::from(stream), after);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[tokio::test]
    async fn the_kernel_knows_how_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        give_up_after(&stream, Duration::from_millis(12_000)).unwrap();
        let told = SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(told, Some(Duration::from_millis(12_000)));
    }
}
