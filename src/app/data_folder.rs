//! The folder of the embedded database, the keys and the internal socket: one server at a time, and readable
//! by its user only.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The file whose lock shows that a server uses the folder. It has that server's process id.
pub(super) const LOCK_FILE: &str = "tidings.lock";
/// The folder of the keys within the data folder.
const KEYS: &str = "keys";
/// Read and written by their owner alone.
const PRIVATE_FILE: u32 = 0o600;
/// Entered by its owner alone.
const PRIVATE_FOLDER: u32 = 0o700;
/// Set on folders in which every user may write, such as /tmp.
pub(super) const STICKY: u32 = 0o1000;

/// Why a folder cannot be used; the text says what to do.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Another process uses it.
    #[error(
        "the data folder {folder} is in use by process {holder}: stop that server, or name another folder with --data-dir"
    )]
    InUse {
        /// The data folder concerned.
        folder: PathBuf,
        /// The process id, if it is known.
        holder: String,
    },
    /// Other users can read it, and that cannot be changed.
    #[error(
        "the data folder {0} is accessible to other users of this machine, and its mode cannot be changed: it holds messages and \
         password hashes; give it to the user who runs Tidings (chown), or name a folder of its own with --data-dir"
    )]
    Open(PathBuf),
    /// The operating system refused.
    #[error("the data folder {folder}: {what}: {error}; {remedy}")]
    Failed {
        /// The data folder concerned.
        folder: PathBuf,
        /// The action that failed.
        what: &'static str,
        /// The error of the operating system.
        error: io::Error,
        /// The remedy.
        remedy: String,
    },
}

impl FolderError {
    /// The operating system refused `what`.
    pub fn failed(folder: &Path, what: &'static str, error: io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("give it to {} (chown), or name another with --data-dir", user())
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                "a file is in its place: name a folder with --data-dir".to_owned()
            }
            io::ErrorKind::StorageFull => {
                "make room on that disk, or name another with --data-dir".to_owned()
            }
            _ => "name another with --data-dir".to_owned(),
        };
        Self::Failed { folder: folder.to_owned(), what, error, remedy }
    }
}

/// The user as whom this process runs.
fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = known.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.get(2).is_some_and(|field| *field == id.to_string()));
    match found {
        Some(fields) => format!("user {}", fields[0]),
        None => format!("user id {id}"),
    }
}

/// A folder that this process holds until the value is dropped or the process ends.
#[derive(Debug)]
pub struct DataFolder {
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if it is missing, makes it and `database` (if there is one) private, and
    /// holds it.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn hold(folder: &Path, database: Option<&Path>) -> Result<Self, FolderError> {
        let failed = |what| move |error| FolderError::failed(folder, what, error);
        let make = DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder);
        make.map_err(failed("cannot be made"))?;
        close(folder)?;
        let lock =
            private().open(folder.join(LOCK_FILE)).map_err(failed("its lock file cannot be written"))?;
        let mut lock = take(lock, folder)?;
        // A process that finds the folder held reads this. Only the lock decides.
        let named = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        named.map_err(failed("its lock file cannot be written"))?;
        if let Some(database) = database {
            private().open(database).map_err(failed("the database cannot be written"))?;
        }
        close_what_is_in(folder)
            .map_err(failed("the access of other users to its files cannot be removed"))?;
        Ok(Self { _lock: lock })
    }
}

/// Opened for writing, created if missing, private from the first moment.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(PRIVATE_FILE);
    options
}

fn take(mut lock: File, folder: &Path) -> Result<File, FolderError> {
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(FolderError::InUse { folder: folder.to_owned(), holder: holder(&mut lock) })
        }
        Err(TryLockError::Error(error)) => Err(FolderError::failed(folder, "cannot be locked", error)),
    }
}

/// The id of the process that wrote it into its lock file.
pub(super) fn holder(lock: &mut File) -> String {
    let mut holder = String::new();
    // Unreadable or not yet written: the folder is held nevertheless.
    let _ = lock.read_to_string(&mut holder);
    Some(holder.trim()).filter(|pid| !pid.is_empty()).unwrap_or("(unknown)").to_owned()
}

/// Makes a folder private. A folder of another owner is left unchanged if only its group may enter it: an
/// orchestrator gives volumes to a group.
fn close(folder: &Path) -> Result<(), FolderError> {
    let found =
        fs::metadata(folder).map_err(|error| FolderError::failed(folder, "cannot be looked at", error))?;
    let mode = found.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    if mode & STICKY == 0 && fs::set_permissions(folder, Permissions::from_mode(PRIVATE_FOLDER)).is_ok() {
        tracing::warn!(folder = %folder.display(), was = format!("{mode:o}"), "the data folder was open to other users: its mode was changed");
        return Ok(());
    }
    if mode & 0o007 == 0 {
        tracing::warn!(folder = %folder.display(), "the data folder is accessible to its group");
        return Ok(());
    }
    Err(FolderError::Open(folder.to_owned()))
}

/// Makes the files in the folder and in the folder of the keys private. The database's file is created before
/// SQLite does it, so that it is private; SQLite gives its `-wal` and `-shm` files the same rights.
fn close_what_is_in(folder: &Path) -> io::Result<()> {
    for file in files_in(folder)?.into_iter().filter(OurFile::is_open_to_others) {
        let private = if file.is_folder { PRIVATE_FOLDER } else { PRIVATE_FILE };
        fs::set_permissions(&file.path, Permissions::from_mode(private))?;
    }
    Ok(())
}

/// A file of ours in the data folder.
pub(super) struct OurFile {
    pub path: PathBuf,
    is_folder: bool,
    mode: u32,
}

impl OurFile {
    /// Whether others than its user may do anything with it.
    pub fn is_open_to_others(&self) -> bool {
        self.mode & 0o077 != 0
    }
}

/// The files in the folder and in the folder of the keys, and that folder itself.
pub(super) fn files_in(folder: &Path) -> io::Result<Vec<OurFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A link may point anywhere.
        let found = fs::symlink_metadata(&path)?;
        let is_folder = found.is_dir() && path.ends_with(KEYS);
        if is_folder {
            files.extend(files_in(&path)?);
        }
        if is_folder || found.is_file() {
            files.push(OurFile { path, is_folder, mode: found.mode() });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").mode() & 0o777
    }

    #[test]
    fn a_folder_is_held_by_one_and_private() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("a").join("data");
        let database = folder.join("tidings.db");
        let held = DataFolder::hold(&folder, Some(&database)).expect("it is free");
        let refused = DataFolder::hold(&folder, Some(&database)).expect_err("it is held").to_string();
        assert!(refused.contains(&format!("in use by process {}:", std::process::id())), "{refused}");
        assert_eq!((mode(&folder), mode(&database)), (0o700, 0o600));
        assert_eq!(mode(&folder.join(LOCK_FILE)), 0o600);
        drop(held);
        DataFolder::hold(&folder, Some(&database)).expect("it is free again");
    }

    #[test]
    fn what_the_system_refuses_comes_with_what_to_do() {
        for (kind, remedy) in [
            (io::ErrorKind::PermissionDenied, "(chown), or name another with --data-dir"),
            (io::ErrorKind::NotADirectory, "a file is in its place"),
            (io::ErrorKind::NotFound, "name another with --data-dir"),
        ] {
            let text = FolderError::failed(Path::new("/srv/data"), "cannot be made", kind.into()).to_string();
            assert!(text.starts_with("the data folder /srv/data: cannot be made: "), "{text}");
            assert!(text.contains(remedy), "{text}");
        }
        assert!(user().starts_with("user "), "{}", user());
    }

    #[test]
    fn what_was_open_to_others_is_closed_and_a_public_folder_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("tidings.db");
        fs::write(&database, "").expect("a file");
        for path in [folder.path(), &database] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
        }
        DataFolder::hold(folder.path(), Some(&database)).expect("it is closed");
        assert_eq!((mode(folder.path()), mode(&database)), (0o700, 0o600));

        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).expect("it is ours");
        let refused = DataFolder::hold(folder.path(), Some(&database)).expect_err("everybody writes there");
        assert!(matches!(refused, FolderError::Open(_)), "{refused}");
    }
}
