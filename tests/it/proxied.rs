//! A real haproxy in front of the server: the client's address is what haproxy saw, whatever the client says.

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::servers::ports::free_port;
use crate::servers::process::{Process, program, until};
use crate::support::client::Ws;
use crate::support::rest::Rest;
use crate::support::server::Server;
use crate::support::{DEADLINE, Encoding};

/// haproxy with the example's settings, and the port that it listens on.
struct Proxy {
    _process: Process,
    port: u16,
}

impl Proxy {
    /// `protocol`: added to the line of the server.
    async fn start(server: &Server, protocol: &str) -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/haproxy.cfg");
        let text = fs::read_to_string(example).unwrap();
        let port = free_port();
        let bind = "bind :443 ssl crt /etc/haproxy/chat.pem alpn h2,http/1.1";
        let line = "server tidings 127.0.0.1:8080";
        assert!(text.contains(bind) && text.contains(line), "{text}");
        let text = text.replace(bind, &format!("bind 127.0.0.1:{port}"));
        // Few files may be open where tests run.
        let text = text.replace("maxconn 40000", "maxconn 200");
        let text = text.replace(line, &format!("server tidings {} {protocol}", server.addr()));
        let folder = TempDir::new().unwrap().keep();
        fs::write(folder.join("haproxy.cfg"), text).unwrap();
        let haproxy = program(&["/usr/sbin/haproxy"], "haproxy").display().to_string();
        let file = folder.join("haproxy.cfg").display().to_string();
        let process = Process::start(&[haproxy, "-db".to_owned(), "-f".to_owned(), file], "TERM", &folder);
        let proxy = Self { _process: process, port };
        let http = reqwest::Client::new();
        let url = proxy.url("/healthz");
        until("haproxy passes requests on", || async {
            http.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        proxy
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A sign-up by a client that names other addresses.
    async fn sign_up(&self, number: u8) -> u16 {
        let own = format!("6.6.6.{number}");
        let request = reqwest::Client::new().request(Method::POST, self.url("/v1/accounts/guest"));
        let request = request.header("x-forwarded-for", &own).header("forwarded", format!("for={own}"));
        request.json(&json!({})).send().await.unwrap().status().as_u16()
    }
}

const ONE_EACH: (&str, &str) = ("TIDINGS__AUTH__SIGN_UPS_PER_IP_PER_MINUTE", "1");
const LISTED: (&str, &str) = ("TIDINGS__SERVER__TRUSTED_PROXIES", "127.0.0.1");
const COUNTED: (&str, &str) = ("TIDINGS__SERVER__LOOPBACK_EXEMPT", "false");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_haproxy_replaces_what_a_client_says_of_its_address() {
    for (header, statuses) in [("x-forwarded-for", [201, 429, 429]), ("forwarded", [201, 429, 429])] {
        // With "forwarded" haproxy names nobody: all its clients share one limit.
        let server =
            Server::start(&[ONE_EACH, LISTED, COUNTED, ("TIDINGS__SERVER__PROXY_HEADER", header)]).await;
        let proxy = Proxy::start(&server, "").await;
        for (number, status) in (1..).zip(statuses) {
            assert_eq!(proxy.sign_up(number).await, status, "{header}: {number}");
        }
    }
}

/// The first bytes of an answer, or nothing when the connection is closed without one.
async fn say(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(DEADLINE, stream.read(&mut answer)).await.expect("it ends or answers");
    String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_proxy_names_the_client_before_the_first_byte() {
    let spoken = ("TIDINGS__SERVER__PROXY_HEADER", "proxy-protocol");
    let server = Server::start(&[ONE_EACH, LISTED, COUNTED, spoken]).await;
    for protocol in ["send-proxy", "send-proxy-v2"] {
        // haproxy's checks begin with a header that names nobody.
        let proxy = Proxy::start(&server, protocol).await;
        let (ws, _) =
            tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{}/v1/ws", proxy.port)).await.unwrap();
        drop(ws);
    }
    let sign_up = |client: &str| {
        let request = "POST /v1/accounts/guest HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                       x-forwarded-for: 6.6.6.6\r\ncontent-length: 2\r\n\r\n{}";
        format!("PROXY TCP4 {client} 127.0.0.1 40001 80\r\n{request}")
    };
    for (client, status) in
        [("203.0.113.9", 201), ("203.0.113.9", 429), ("203.0.113.8", 201), ("127.0.0.1", 201)]
    {
        let answer = say(&server, sign_up(client).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{client}: {answer}");
    }
    assert_eq!(
        say(&server, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await,
        "",
        "it has no header"
    );
    // Another thread writes the log.
    until("the log says so", || async { server.log().contains("does not speak the PROXY protocol") }).await;

    // Whoever is not listed says nothing before HTTP.
    let server = Server::start(&[spoken]).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let (_, welcome) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    assert_eq!(welcome["user"], ada.id.as_str());
    let refused = say(&server, sign_up("203.0.113.9").as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
}
