//! TLS to Redis, with real certificates: what is accepted, and what is refused.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::servers::certificates::Authority;
use crate::servers::{Redis, free_port};

/// A server whose certificate, of this authority, is for this name, and the port for TLS.
async fn server(authority: &Authority, folder: &Path, name: &str) -> (Redis, u16) {
    let (made, port) = (authority.certificate(folder, name), free_port().to_string());
    let (certificate, key) = (made.certificate.display().to_string(), made.key.display().to_string());
    let ca = authority.ca().display().to_string();
    let files = ["--tls-cert-file", &*certificate, "--tls-key-file", &*key, "--tls-ca-cert-file", &*ca];
    let tls = ["--tls-port", &*port, "--tls-auth-clients", "no"];
    let redis = Redis::start_with(&[&tls[..], &files].concat()).await;
    (redis, port.parse().expect("a port"))
}

/// Whether `tidings doctor` finds the bus with these settings, and what it says.
async fn doctor(url: &str, ca: Option<&Path>) -> (bool, String) {
    let folder = TempDir::new().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.arg("doctor").arg("--data-dir").arg(folder.path().join("data"));
    for setting in ["server.listen=127.0.0.1:0", "bus.backend=redis"] {
        command.args(["--set", setting]);
    }
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s".repeat(64)).expect("a file");
    command.arg("--set").arg(format!("bus.mac_key_files={}", secret.display()));
    command.arg("--set").arg(format!("bus.redis.url={url}"));
    if let Some(ca) = ca {
        command.arg("--set").arg(format!("bus.redis.ca_file={}", ca.display()));
    }
    let output = command.output().await.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_believed_only_with_a_certificate_for_its_name_from_the_ca_that_was_named() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folders = [TempDir::new().expect("a folder"), TempDir::new().expect("a folder")];
    let (redis, port) = server(&authority, folders[0].path(), "IP:127.0.0.1").await;
    let (_other, other_port) = server(&authority, folders[1].path(), "DNS:other.example").await;
    let url = |port: u16| format!("rediss://127.0.0.1:{port}");
    let ca = authority.ca();

    let (good, said) = doctor(&url(port), Some(&ca)).await;
    assert!(good && said.contains("answers, and is a primary"), "{said}");
    for (url, ca, wanted) in [
        (url(port), Some(stranger.ca()), "UnknownIssuer"),
        (url(port), None, "UnknownIssuer"),
        (url(other_port), Some(ca.clone()), "not valid for name"),
        // The port without TLS.
        (url(redis.port()), Some(ca.clone()), "bus"),
        (url(port), Some(folders[0].path().join("none.pem")), "bus.redis.ca_file"),
        (url(port), Some(folders[0].path().join("server.key")), "holds no certificate"),
        (redis.url(), Some(ca), "bus.redis.ca_file"),
    ] {
        let (good, said) = doctor(&url, ca.as_deref()).await;
        assert!(!good && said.contains(wanted), "{url}: {wanted} is not in\n{said}");
    }
}
