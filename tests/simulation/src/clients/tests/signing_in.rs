//! Sign-ins that end, and accounts that end.

use std::time::Duration;

use tokio::time::sleep;

use super::{Try, with};
use crate::history::What;
use crate::plan::{Behaviour, Operation};

const ALONE: [(Behaviour, bool); 1] = [(Behaviour::Correct, false)];

/// The sign-ups and sign-ins so far, and whether a connection is open.
fn state(run: &Try) -> (usize, bool) {
    let mut sign_ins = 0;
    let mut open = false;
    for entry in run.entries() {
        match entry.what {
            What::Called { path, .. } if path.starts_with("/v1/accounts") || path == "/v1/tokens" => {
                sign_ins += 1;
            }
            What::Opened { .. } => open = true,
            What::Closed { .. } => open = false,
            _ => {}
        }
    }
    (sign_ins, open)
}

#[test]
fn a_user_who_signed_out_comes_back_when_they_sign_in() {
    with(30, &ALONE, |run| async move {
        run.lobby().await;
        assert_eq!(state(&run), (1, true));
        run.devices[0].perform(Operation::SignOut { everywhere: false });
        sleep(Duration::from_secs(60)).await;
        // The sign-out itself is a call of `/v1/tokens`, too.
        assert_eq!(state(&run), (1, false));
        run.devices[0].perform(Operation::SignIn);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(state(&run), (1, true));
        run
    });
}

#[test]
fn the_calm_brings_back_who_signed_out() {
    with(31, &ALONE, |run| async move {
        run.lobby().await;
        run.devices[0].perform(Operation::SignOut { everywhere: true });
        sleep(Duration::from_secs(5)).await;
        run.log.borrow_mut().say("lobby", "founder", "meanwhile");
        run.settle().await;
        assert_eq!(run.shown(0), run.logged());
        run
    });
}

#[test]
fn nobody_signs_in_to_an_account_that_was_erased() {
    with(32, &ALONE, |run| async move {
        run.lobby().await;
        assert_eq!(state(&run), (1, true));
        run.devices[0].perform(Operation::Erase);
        sleep(Duration::from_secs(60)).await;
        run.devices[0].perform(Operation::SignIn);
        run.settle().await;
        assert_eq!(state(&run), (0, false));
        assert!(run.devices[0].copy().signed_out);
        run
    });
}
