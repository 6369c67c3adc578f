//! Looks at a connection again and again: is the server alive, and is it still the primary?
//!
//! A frozen or cut server tells its subscribers nothing at all, and one that was demoted keeps them; only asking helps. A look
//! unanswered for two intervals makes the bus count as down, so that the log stands in; the connection is kept until the
//! timeout, since a server that only stalled still sends everything it owes and nothing was lost.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::connect::{Trouble, require_primary, role};

/// Looks every `ping` until the connection is to be given up, and answers why. `alive` is told `false` when a look stays
/// unanswered, and `true` when the answer comes after all.
pub async fn pulse(
    mut connection: MultiplexedConnection,
    ping: Duration,
    timeout: Duration,
    mut alive: impl FnMut(bool),
) -> Trouble {
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
                    Err(_) => return Trouble::silent(timeout),
                }
            }
        };
        match answer.map_err(Trouble::from).and_then(require_primary) {
            Ok(()) => {}
            Err(trouble) => return trouble,
        }
    }
}
