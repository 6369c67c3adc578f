//! One WebSocket connection: connecting, `hello`, frames.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

use crate::wire::{ClientFrame, Encoding, FrameType, ServerFrame};

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const WELCOME_TIMEOUT: Duration = Duration::from_secs(20);

/// Where and how to connect.
#[derive(Clone, Debug)]
pub struct Dial {
    /// `http://host:port` of the server.
    pub base: String,
    /// The server's resolved address.
    pub address: SocketAddr,
    /// The local address to connect from, when one address has too few ports.
    pub source: Option<IpAddr>,
    /// The subprotocol.
    pub encoding: Encoding,
}

impl Dial {
    /// Resolves `base` (`http://host:port`). Fails when it is not of that form or has no address.
    pub async fn resolve(base: &str, encoding: Encoding) -> Result<Self> {
        let base = base.trim_end_matches('/');
        let host = base
            .strip_prefix("http://")
            .ok_or_else(|| anyhow!("{base}: only http:// targets are spoken to (TLS is tested elsewhere)"))?;
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address = timeout(OPEN_TIMEOUT, tokio::net::lookup_host(&host))
            .await
            .with_context(|| format!("{host}: no answer from the resolver"))?
            .with_context(|| host.clone())?
            .next()
            .ok_or_else(|| anyhow!("{host}: no address"))?;
        Ok(Self { base: base.to_owned(), address, source: None, encoding })
    }

    /// The same server from another local address.
    pub fn from_source(&self, source: Option<IpAddr>) -> Self {
        Self { source, ..self.clone() }
    }

    /// A bare TCP connection, from the source address asked for.
    pub async fn tcp(&self) -> Result<TcpStream> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = self.source {
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream =
            timeout(OPEN_TIMEOUT, socket.connect(self.address)).await.context("connect timed out")??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// What a `hello` carries beside the token.
#[derive(Clone, Debug, Default)]
pub struct Resumption {
    /// The cursor of the last `welcome` or `heads`.
    pub cursor: Option<String>,
    /// The session to take over from.
    pub handover: Option<String>,
}

/// An open connection. Dropping it closes the socket without a goodbye, as a lost network would.
#[derive(Debug)]
pub struct Connection {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
    frame_bytes: usize,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The close frame's code, when there was one.
    pub code: Option<u16>,
}

impl Connection {
    /// Opens, says `hello` and waits for the `welcome`. Fails on a refusal, a close or silence; the caller
    /// backs off.
    pub async fn open(dial: &Dial, token: &str, from: &Resumption) -> Result<(Self, ServerFrame)> {
        let stream = dial.tcp().await?;
        let host = dial.base.trim_start_matches("http://");
        let mut request = format!("ws://{host}/v1/ws").into_client_request()?;
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", HeaderValue::from_static(dial.encoding.subprotocol()));
        // The default buffers cost 128 KiB a connection, which twenty thousand of them cannot afford.
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let (socket, _) = timeout(OPEN_TIMEOUT, client_async_with_config(request, stream, Some(config)))
            .await
            .context("upgrade timed out")??;
        let mut connection = Self { socket, encoding: dial.encoding, frame_bytes: 0 };
        let hello =
            ClientFrame::Hello { token, cursor: from.cursor.as_deref(), handover: from.handover.as_deref() };
        connection.send(&hello).await?;
        let welcome = timeout(WELCOME_TIMEOUT, connection.next()).await.context("no welcome")?;
        match welcome {
            Ok(frame) if frame.kind == FrameType::Welcome => Ok((connection, frame)),
            Ok(frame) => bail!("instead of a welcome: {:?} {:?}", frame.kind, frame.code),
            Err(closed) => Err(anyhow!("closed before the welcome: {:?}", closed.code)),
        }
    }

    /// Size of the last frame read, without the WebSocket header.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Writes one frame. An error or a write that stalls for ten seconds means the connection is lost.
    pub async fn send(&mut self, frame: &ClientFrame<'_>) -> Result<()> {
        let message = self.encoding.encode(frame)?;
        timeout(WRITE_TIMEOUT, self.socket.send(message)).await.context("write stalled")??;
        Ok(())
    }

    /// The next frame. Answers pings meanwhile. Safe to cancel. A frame that cannot be read closes the
    /// connection: the server broke the contract, and reconnecting shows it as a fault in the run.
    pub async fn next(&mut self) -> Result<ServerFrame, Closed> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(frame))) => {
                    return Err(Closed { code: frame.map(|frame| frame.code.into()) });
                }
                Some(Ok(message)) => match self.encoding.decode(&message) {
                    Ok(Some(frame)) => {
                        self.frame_bytes = message.len();
                        return Ok(frame);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        eprintln!("unreadable frame: {error:#}");
                        return Err(Closed { code: None });
                    }
                },
                Some(Err(_)) | None => return Err(Closed { code: None }),
            }
        }
    }
}
