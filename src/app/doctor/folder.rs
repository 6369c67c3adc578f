//! A look at the data folder that writes nothing: whether a start can use it, whether another process does,
//! and who can read what is in it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

use super::report::{Condition, Report};
use crate::app::data_folder::{FolderError, LOCK_FILE, STICKY, files_in, holder};

/// The first bytes of an SQLite file.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// Looks at the folder, its lock and its files' rights. Returns whether a process works in it.
pub fn examine(folder: &Path, report: &mut Report) -> bool {
    let failed = |what, error| Condition::Failed(FolderError::failed(folder, what, error).to_string());
    let found = match fs::metadata(folder) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => {
            report.add("folder", failed("cannot be used", io::ErrorKind::NotADirectory.into()));
            return false;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.add("folder", missing(folder));
            return false;
        }
        Err(error) => {
            report.add("folder", failed("cannot be examined", error));
            return false;
        }
    };
    if let Err(error) = access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        report.add("folder", failed("cannot be written", error.into()));
        return false;
    }
    report.add("folder", rights(folder, &found));
    lock(folder, report)
}

/// A folder that the next start makes.
fn missing(folder: &Path) -> Condition {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let Some(above) = whole.ancestors().skip(1).find(|above| above.exists()) else {
        return Condition::Failed(
            FolderError::failed(folder, "cannot be made", io::ErrorKind::NotFound.into()).to_string(),
        );
    };
    match access(above, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if above.is_dir() => {
            Condition::Good(format!("{} is made by the first start", folder.display()))
        }
        Ok(()) => {
            let error = io::ErrorKind::NotADirectory.into();
            Condition::Failed(FolderError::failed(folder, "cannot be made", error).to_string())
        }
        Err(error) => {
            Condition::Failed(FolderError::failed(folder, "cannot be made", error.into()).to_string())
        }
    }
}

fn rights(folder: &Path, found: &fs::Metadata) -> Condition {
    let (shown, mode) = (folder.display(), found.mode() & 0o7777);
    let user = rustix::process::geteuid();
    let may_change = user.is_root() || user.as_raw() == found.uid();
    if mode & 0o007 != 0 && (mode & STICKY != 0 || !may_change) {
        return Condition::Failed(FolderError::Open(folder.to_owned()).to_string());
    }
    if mode & 0o077 != 0 {
        return Condition::Warning(format!(
            "{shown} is open to other users ({mode:o}): the next start closes it, or do it now (chmod 700)"
        ));
    }
    let open =
        files_in(folder).map(|files| files.into_iter().filter(|file| file.is_open_to_others()).collect());
    let open: Vec<_> = match open {
        Ok(open) => open,
        Err(error) => return Condition::Failed(format!("{shown}: its files cannot be examined: {error}")),
    };
    match open.as_slice() {
        [] => Condition::Good(format!("{shown} is readable by its user only")),
        [first, ..] => Condition::Warning(format!(
            "{} files are open to other users ({} …): the next start closes them, or do it now (chmod 600)",
            open.len(),
            first.path.display()
        )),
    }
}

/// Whether the folder is held. The lock that is tried is shared and given back at once: it keeps nobody out.
fn lock(folder: &Path, report: &mut Report) -> bool {
    let path = folder.join(LOCK_FILE);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.add("lock", Condition::Good("no server was started here yet".to_owned()));
            return false;
        }
        Err(error) => {
            report.add("lock", Condition::Failed(format!("{}: {error}", path.display())));
            return false;
        }
    };
    match file.try_lock_shared() {
        Ok(()) => {
            report.add("lock", Condition::Good("no other server works here".to_owned()));
            false
        }
        Err(TryLockError::WouldBlock) => {
            let by = holder(&mut file);
            report.add("lock", Condition::Good(format!("process {by} works in the data folder")));
            true
        }
        Err(TryLockError::Error(error)) => {
            report.add("lock", Condition::Failed(format!("{} cannot be locked: {error}", path.display())));
            false
        }
    }
}

/// Looks at the database's file. What it holds is read by a start only: SQLite would write beside it.
pub fn database(path: &Path) -> Condition {
    let shown = path.display();
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut beginning));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Condition::Good(format!("{shown} is made by the first start"));
        }
        Err(error) => return Condition::Failed(format!("{shown} cannot be read: {error}")),
        Ok(_) => {}
    }
    if !beginning.is_empty() && beginning != SQLITE {
        return Condition::Failed(format!(
            "{shown} is no database of Tidings: move it away, or name another folder with --data-dir"
        ));
    }
    if let Err(error) = access(path, Access::READ_OK | Access::WRITE_OK) {
        return Condition::Failed(format!("{shown} cannot be written: {}", io::Error::from(error)));
    }
    let log = path.with_extension("db-wal").exists();
    let ended = if log { "; the last server did not end in order, the next start repairs it" } else { "" };
    Condition::Good(format!("{shown} can be read and written{ended}"))
}
