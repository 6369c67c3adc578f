//! Tells the compiler which commit it builds, for `tidings --version` and the metrics.
//!
//! Of a release it is the checkout's commit, else what the variable `TIDINGS_COMMIT` says (builds from an
//! archive), else "unknown". Other builds do not ask: each commit would compile everything anew.

use std::path::Path;
use std::process::Command;

/// Sets `TIDINGS_COMMIT` for `env!`.
pub fn name() {
    println!("cargo::rerun-if-env-changed=TIDINGS_COMMIT");
    let release = variable("PROFILE").is_some_and(|profile| profile == "release");
    let commit = if release { checked_out() } else { None };
    let told = || variable("TIDINGS_COMMIT").filter(|commit| is_plain(commit));
    let otherwise = if release { "unknown" } else { "development" };
    let commit = commit.or_else(told).unwrap_or_else(|| otherwise.to_owned());
    println!("cargo::rustc-env=TIDINGS_COMMIT={commit}");
}

/// The commit of the checkout that this folder is. An archive that was unpacked within another checkout is not
/// that one's commit.
fn checked_out() -> Option<String> {
    let root = variable("CARGO_MANIFEST_DIR")?;
    let top = git(&root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&root).canonicalize().ok()? {
        return None;
    }
    // A commit changes one of these; a file that is not there would make every build begin anew.
    let head = git(&root, &["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(head.as_deref()) {
        let file = git(&root, &["rev-parse", "--git-path", name])?;
        let file = Path::new(&root).join(file);
        if file.exists() {
            println!("cargo::rerun-if-changed={}", file.display());
        }
    }
    git(&root, &["rev-parse", "--short=12", "HEAD"])
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

fn git(root: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// It is shown on one line, and a label's value in the metrics.
fn is_plain(commit: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&commit.len()) && commit.bytes().all(plain)
}
