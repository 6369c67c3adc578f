//! The time before the database answers: the process stays up and says what it waits for, instead of ending
//! and being started again and again.
//!
//! On the public port only `/healthz` (the process lives) and `/readyz` (it is not ready) are answered
//! meanwhile; the internal address says what it waits for.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::internal::InternalState;
use crate::environment::SharedEnvironment;
use crate::protocol::answer_headers;

/// Between two tries.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// The timeout for reading a request and answering it.
const REQUEST: Duration = Duration::from_secs(2);
/// Bytes of a request that are read; probes send far fewer.
const REQUEST_BYTES: usize = 4_096;

/// Why a dependency is missing.
pub enum Missing<E> {
    /// It may come up: try again.
    Away(String),
    /// Trying again does not help.
    Hopeless(E),
}

/// Tries until it works, answering probes on `listener` meanwhile. `what` names the dependency on the
/// internal address and in the log.
///
/// # Errors
/// The error after which further tries are useless.
pub async fn until<T, E, F>(
    what: &'static str,
    listener: &TcpListener,
    environment: &SharedEnvironment,
    internal: &InternalState,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, Missing<E>>>,
{
    let mut room = None;
    let result = loop {
        match attempt().await {
            Ok(value) => break Ok(value),
            Err(Missing::Hopeless(error)) => break Err(error),
            Err(Missing::Away(why)) => {
                if room.is_none() {
                    tracing::warn!(dependency = what, %why, "waiting; trying every second");
                    internal.waits_for(what, environment.now());
                    room = Some(Room::open(listener));
                }
                tokio::time::sleep(TRY_EVERY).await;
            }
        }
    };
    if room.is_some() && result.is_ok() {
        tracing::info!(dependency = what, "there now");
    }
    result
}

/// Answers probes until it is dropped.
struct Room(Option<tokio::task::JoinHandle<()>>);

impl Room {
    fn open(listener: &TcpListener) -> Self {
        let shared = listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        let task = match shared {
            Ok(listener) => Some(tokio::spawn(answer_all(listener))),
            Err(error) => {
                tracing::warn!(%error, "probes cannot be answered while waiting");
                None
            }
        };
        Self(task)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn answer_all(listener: tokio::net::TcpListener) {
    // One at a time: nobody but probes is to come here, and each is bounded.
    while let Ok((stream, _)) = listener.accept().await {
        // A probe that goes away in the middle needs no answer.
        let _ = tokio::time::timeout(REQUEST, answer(stream)).await;
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let (status, body) = reply(&request);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nretry-after: 1\r\nconnection: close\r\n{}\r\n",
        body.len(),
        answer_headers(false).map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// Answers the requests that are possible without a database, and refuses all others as not ready.
fn reply(request: &[u8]) -> (&'static str, &'static str) {
    if request.starts_with(b"GET /healthz ") {
        ("200 OK", "ok\n")
    } else {
        ("503 Service Unavailable", "unready\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::ManualEnvironment;

    #[tokio::test]
    async fn says_what_it_waits_for_and_goes_on_when_it_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let environment: SharedEnvironment =
            std::sync::Arc::new(ManualEnvironment::new(1_800_000_000_000, 1));
        let (come, mut there) = tokio::sync::watch::channel(false);
        let waiting = tokio::spawn(async move {
            let internal = InternalState::new(None, None);
            until("store", &listener, &environment, &internal, || {
                let there = *there.borrow_and_update();
                async move { if there { Ok(7) } else { Err(Missing::<&str>::Away("no answer".to_owned())) } }
            })
            .await
        });
        for (path, expected) in [("/readyz", "503"), ("/healthz", "200"), ("/v1/me", "503")] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{path}: {answer}");
            assert_eq!(answer.ends_with("\r\n\r\nunready\n"), expected == "503", "{answer}");
        }
        come.send(true).unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn ends_when_it_is_hopeless() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let environment: SharedEnvironment = std::sync::Arc::new(ManualEnvironment::new(0, 1));
        let never = || async { Err::<(), _>(Missing::Hopeless("of the future")) };
        let internal = InternalState::new(None, None);
        assert_eq!(until("store", &listener, &environment, &internal, never).await, Err("of the future"));
    }
}
