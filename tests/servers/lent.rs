//! Postgres servers that are lent to one test after another.
//!
//! Starting a server takes longer than most tests that need one. A lent server has one borrower at a time,
//! who holds a lock on a file until its process ends, and who finds it without the databases of others. A
//! small shell stops the server and removes its directory when nobody has borrowed it for a while.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::postgres::{Options, Postgres, command, copy, template};
use super::process::give_away;

/// How long a server waits for another borrower.
const IDLE: Duration = Duration::from_secs(10);

/// More borrowers at once than any runner has threads.
const SERVERS: usize = 64;

/// $1: place of the server, $2: its directory there, $3: seconds without a borrower, then the command. It
/// looks whether the lock is free, and keeps it while it cleans up.
const KEEPER: &str = r#"
place=$1 directory=$2 seconds=$3
shift 3
exec 3>>"$place/lock"
setsid "$@" </dev/null >>"$directory/log" 2>&1 3>&- &
server=$!
idle=0
while kill -0 "$server" 2>/dev/null; do
    sleep 1 3>&-
    flock -n 3 || { idle=0; continue; }
    idle=$((idle + 1))
    [ "$idle" -lt "$seconds" ] || break
    flock -u 3
done
flock 3
[ "$(cat "$place/directory")" = "$directory" ] && rm -f "$place/directory" "$place/port"
kill -s QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$directory"
"#;

/// A server with the settings of [`Options::default`], for this process alone until the answer is dropped.
pub async fn borrow() -> Postgres {
    let template = template().await;
    let name = template.parent().and_then(Path::file_name).expect("the template has a directory");
    let root = template.ancestors().nth(2).expect("it lies in the temporary directory");
    borrow_from(&root.join(format!("{}-lent", name.display())), IDLE).await
}

/// The same, from the servers under `root`, which end after `idle` without a borrower.
pub async fn borrow_from(root: &Path, idle: Duration) -> Postgres {
    for number in 0..SERVERS {
        let place = root.join(number.to_string());
        fs::create_dir_all(&place).expect("the temporary directory can be written");
        let lock = File::create(place.join("lock")).expect("the temporary directory can be written");
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => panic!("a lock on a file: {error}"),
        }
        let running = fs::read_to_string(place.join("port")).ok().and_then(|port| port.parse().ok());
        if let Some(port) = running
            && Postgres::lent(port, lock.try_clone().expect("it can be shared")).is_clean().await
        {
            return Postgres::lent(port, lock);
        }
        return start(&place, lock, idle).await;
    }
    panic!("{SERVERS} servers are lent at once");
}

async fn start(place: &Path, lock: File, idle: Duration) -> Postgres {
    let directory: PathBuf = TempDir::new_in(place).expect("a temporary directory").keep();
    give_away(&directory);
    copy(&template().await, &directory.join("data"));
    let port = super::ports::free_port();
    // One that takes the lock without having written both starts another server.
    let _ = fs::remove_file(place.join("port"));
    fs::write(place.join("directory"), directory.display().to_string()).expect("it can be written");
    // The first shell ends at once, so the keeper is no child of this process.
    let apart = Command::new("sh")
        .args(["-c", r#"setsid sh -c "$0" keeper "$@" &"#, KEEPER])
        .args([place, &directory])
        .arg(idle.as_secs().to_string())
        .args(command(&directory, port, &Options::default()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(apart.is_ok_and(|ended| ended.success()), "sh runs");
    let server = Postgres::lent(port, lock);
    server.answers().await;
    fs::write(place.join("port"), port.to_string()).expect("it can be written");
    server
}
