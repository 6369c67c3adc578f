//! The deadline of a store call.
//!
//! A caller with less time than the store's own timeout uses [`within`]. [`super::Guarded`] sets the deadline
//! of every call. The backend ends its work at the deadline ([`bounded`]), because only the backend knows how
//! far the work has come.

use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Makes `call` on the store with `left` as its time limit, or less if the store's timeout or an outer caller
/// allows less.
pub async fn within<T>(left: Duration, call: impl Future<Output = T>) -> T {
    by(earliest(left), call).await
}

/// Makes `call` with this deadline.
pub(super) async fn by<T>(deadline: Instant, call: impl Future<Output = T>) -> T {
    DEADLINE.scope(deadline, call).await
}

/// The deadline of the current call, at most `limit` from now.
pub(super) fn earliest(limit: Duration) -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a deadline for tokio's timers is a moment on tokio's own clock"
    )]
    let own = Instant::now() + limit;
    DEADLINE.try_with(|deadline| own.min(*deadline)).unwrap_or(own)
}

/// The work did not end before the deadline and was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late;

/// Runs the work until the call's deadline, for `limit` at most.
pub(super) async fn bounded<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Late> {
    tokio::time::timeout_at(earliest(limit), work).await.map_err(|_| Late)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn the_shortest_of_all_limits_holds() {
        let never = || std::future::pending::<()>();
        assert_eq!(bounded(SHORT, never()).await, Err(Late));
        assert_eq!(within(SHORT, bounded(LONG, never())).await, Err(Late));
        assert_eq!(within(SHORT, within(LONG, bounded(LONG, never()))).await, Err(Late), "an outer caller's");
        assert_eq!(within(LONG, within(SHORT, bounded(LONG, never()))).await, Err(Late));
        assert_eq!(within(LONG, bounded(LONG, async { 1 })).await, Ok(1));
    }
}
