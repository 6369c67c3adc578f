//! A certificate authority of a test's own, and certificates of servers, made by openssl.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{program, run};

/// A certificate authority. Its files go with it.
pub struct Authority {
    folder: TempDir,
}

/// What a server has: its certificate and the key for it.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("tidings-ca-").expect("a temporary directory");
        // Two of them are told apart by their names.
        let name = folder.path().file_name().expect("it has a name").display().to_string();
        let subject = format!("/CN={name}");
        let ca = ["-x509", "-subj", &*subject, "-addext", "keyUsage=critical,keyCertSign"];
        request(&folder.path().join("ca.key"), &folder.path().join("ca.pem"), &ca);
        Self { folder }
    }

    /// The certificate that clients trust.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for a name, as in `IP:127.0.0.1` or `DNS:db.example`, in a folder that may be given
    /// away.
    pub fn certificate(&self, folder: &Path, name: &str) -> Certificate {
        let made = Certificate { certificate: folder.join("server.pem"), key: folder.join("server.key") };
        let (ca, ca_key) = (text(&self.ca()), text(&self.path("ca.key")));
        let name = format!("subjectAltName={name}");
        let signed =
            ["-x509", "-CA", &ca, "-CAkey", &ca_key, "-subj", "/CN=a server of tests", "-addext", &name];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
        request(&made.key, &made.certificate, &[&signed[..], &leaf].concat());
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn request(key: &Path, certificate: &Path, arguments: &[&str]) {
    let openssl = text(&program(&["/usr/bin/openssl"], "openssl"));
    let (key, certificate) = (text(key), text(certificate));
    let fixed =
        [&*openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let files = ["-keyout", &*key, "-out", &*certificate];
    let command = [&fixed[..], &files, arguments].concat();
    run(&command.into_iter().map(str::to_owned).collect::<Vec<_>>());
}
