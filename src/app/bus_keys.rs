//! The secrets behind the MAC of messages between processes.

use std::fs;
use std::path::{Path, PathBuf};

use super::AppError;
use crate::bus::envelope::{MacKeys, Unsigned};
use crate::config::{BusMac, Settings};

/// Shorter secrets can be guessed.
const LEAST_BYTES: usize = 32;
/// A file of secrets is small.
const MOST_BYTES: u64 = 16 * 1024;

/// Derives the keys from `bus.mac_key_files`, or from the keys that sign tokens.
///
/// # Errors
/// [`AppError::Bus`], whose text names the file.
pub fn load(settings: &Settings) -> Result<MacKeys, AppError> {
    let secrets: Vec<String> = files(settings).iter().map(|path| secret(path)).collect::<Result<_, _>>()?;
    let unsigned = match settings.bus.mac {
        BusMac::Accept => Unsigned::Taken,
        BusMac::Require => Unsigned::Dropped,
    };
    MacKeys::derive(&secrets, unsigned)
        .ok_or_else(|| AppError::Bus("bus.mac_key_files: no key can be derived from them".to_owned()))
}

fn files(settings: &Settings) -> Vec<PathBuf> {
    let (bus, auth) = (&settings.bus.mac_key_files, &settings.auth.key_files);
    if !bus.is_empty() {
        return bus.clone();
    }
    if !auth.is_empty() {
        return auth.clone();
    }
    let keys = settings.store.data_dir.join("keys");
    [keys.join("signing.pem"), keys.join("previous.pem")].into_iter().filter(|path| path.exists()).collect()
}

/// A file's content without its white space and the lines around a PEM block, so that copies that differ in
/// line ends are one secret.
fn secret(path: &Path) -> Result<String, AppError> {
    let failed = |why: String| AppError::Bus(format!("the bus's key file {}: {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > MOST_BYTES {
        return Err(failed("is too large for a secret".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let secret: String =
        text.lines().filter(|line| !line.starts_with("-----")).flat_map(str::split_whitespace).collect();
    if secret.len() < LEAST_BYTES {
        return Err(failed(format!("has fewer than {LEAST_BYTES} bytes (openssl rand -base64 48)")));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::envelope::{BusMessageId, EnvelopeError, NodeId, encode};
    use crate::bus::{BusMessage, Payload};
    use crate::config::LoadOptions;

    const ID: BusMessageId = BusMessageId { node: NodeId(1), number: 1 };

    fn message() -> BusMessage {
        BusMessage {
            topics: smallvec::smallvec![crate::domain::Topic::Published],
            epoch: Some(1),
            payload: Payload::Published(Vec::new()),
        }
    }

    fn settings(set: &[(&str, &str)]) -> Settings {
        let overrides = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let environment: [(String, String); 0] = [];
        Settings::load(LoadOptions { file: None, environment, overrides }).expect("good settings")
    }

    /// A folder with files of secrets.
    fn files(secrets: &[&str]) -> (tempfile::TempDir, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |(number, secret): (usize, &&str)| {
            let path = folder.path().join(number.to_string());
            fs::write(&path, secret).expect("a file");
            path.display().to_string()
        };
        let paths = secrets.iter().enumerate().map(write).collect();
        (folder, paths)
    }

    #[test]
    fn unsigned_messages_are_taken_as_was_set() {
        let (_folder, paths) = files(&[&"s".repeat(LEAST_BYTES)]);
        let unsigned = encode(ID, &message()).expect("it is written");
        for (mac, taken) in [("accept", true), ("require", false)] {
            let keys = load(&settings(&[("bus.mac", mac), ("bus.mac_key_files", &paths[0])])).expect("keys");
            assert_eq!(keys.decode(&unsigned).is_ok(), taken, "{mac}");
        }
    }

    #[test]
    fn keys_come_from_the_files_that_were_set() {
        let (_folder, paths) =
            files(&[&"a".repeat(40), &"b".repeat(40), "short", &("a".repeat(40) + "\r\n")]);
        let keys = |path: &str| load(&settings(&[("bus.mac_key_files", path)]));
        let signed = keys(&paths[0]).expect("a key").encode(ID, &message()).expect("it is written");
        assert_eq!(keys(&paths[3]).expect("a key").decode(&signed), Ok((ID, message())), "the same secret");
        assert_eq!(keys(&paths[1]).expect("a key").decode(&signed), Err(EnvelopeError::UnknownKey));
        let both = keys(&format!("{},{}", paths[1], paths[0])).expect("keys");
        assert!(both.decode(&signed).is_ok(), "the old key is accepted");
        assert!(keys(&paths[2]).expect_err("too short").to_string().contains(&paths[2]));
    }
}
