//! The servers of this suite are lent to one test after another.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::servers::lent::borrow_from;
use crate::servers::process::until;

#[tokio::test]
async fn a_server_is_lent_to_one_after_another_and_ends_when_nobody_wants_it() {
    let root = TempDir::with_prefix("tidings-lent-").expect("a temporary directory");
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).expect("its mode can be set");
    let idle = Duration::from_secs(1);
    let (first, second) = (borrow_from(root.path(), idle).await, borrow_from(root.path(), idle).await);
    assert_ne!(first.port(), second.port(), "each has a server alone");
    first.database("left_behind").await;
    let port = first.port();
    drop(first);

    let third = borrow_from(root.path(), idle).await;
    assert_eq!(third.port(), port, "the free one is lent again");
    third.database("left_behind").await;
    drop((second, third));

    let emptied =
        || async { !fs::exists(root.path().join("0/port")).unwrap() && directories(root.path()) == 0 };
    until("both servers are gone", emptied).await;
}

/// How many directories of servers there are.
fn directories(root: &Path) -> usize {
    let places = fs::read_dir(root).into_iter().flatten().flatten();
    let inside = places.flat_map(|place| fs::read_dir(place.path()).into_iter().flatten().flatten());
    inside.filter(|entry| entry.path().is_dir()).count()
}
