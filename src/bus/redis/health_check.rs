//! Checks a connection periodically: whether the server is alive, and whether it is still the primary.
//!
//! A frozen or unreachable server sends its subscribers nothing, and a demoted one keeps them, so the client
//! must ask. A check without an answer for two intervals makes the bus count as down, and the follower reads
//! the log. The connection is kept until the timeout: a server that only stalled still sends everything, and
//! nothing was lost.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::connect::{ConnectError, require_primary, role};

/// Checks every `ping` until the connection must be given up, and returns why. Calls `alive` with `false`
/// when a check has no answer, and with `true` when the answer comes later.
pub async fn check_health(
    mut connection: MultiplexedConnection,
    ping: Duration,
    timeout: Duration,
    mut alive: impl FnMut(bool),
) -> ConnectError {
    let patience = (ping * 2).min(timeout);
    loop {
        tokio::time::sleep(ping).await;
        let look = role(&mut connection);
        tokio::pin!(look);
        let answer = match tokio::time::timeout(patience, &mut look).await {
            Ok(answer) => answer,
            Err(_) => {
                alive(false);
                match tokio::time::timeout(timeout.saturating_sub(patience), &mut look).await {
                    Ok(answer) => {
                        alive(true);
                        answer
                    }
                    Err(_) => return ConnectError::no_answer(timeout),
                }
            }
        };
        match answer.map_err(ConnectError::from).and_then(require_primary) {
            Ok(()) => {}
            Err(error) => return error,
        }
    }
}
