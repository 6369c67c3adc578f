//! The state of a hub, for inspection.

use serde::Serialize;

use super::Hub;
use crate::gateway::session::life::Life;
use crate::gateway::session::stream::ByteStream;

/// One worker thread's sessions, by where they are in their lives.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HubObserved {
    /// All of them.
    pub sessions: usize,
    /// Those that wait for a `hello`.
    pub greeting: usize,
    /// Those whose token is checked.
    pub authenticating: usize,
    /// Those that read their first heads.
    pub entering: usize,
    /// Those that are pushed events.
    pub live: usize,
    /// Those that are sent heads before further events.
    pub lagging: usize,
    /// Those that end.
    pub closing: usize,
    /// Bytes that wait for their clients.
    pub outbox_bytes: usize,
    /// The bytes of the one for which most wait.
    pub largest_outbox_bytes: usize,
    /// Whether no new connection is taken.
    pub is_draining: bool,
}

impl<S: ByteStream> Hub<S> {
    /// Goes over all sessions of the thread.
    pub(super) fn observed(&self) -> HubObserved {
        let mut seen = HubObserved { is_draining: self.is_draining(), ..HubObserved::default() };
        for session in self.directory.registry.borrow().iter() {
            seen.sessions += 1;
            let bytes = session.waiting_bytes();
            seen.outbox_bytes += bytes;
            seen.largest_outbox_bytes = seen.largest_outbox_bytes.max(bytes);
            let count = session.with_life(|life| match life {
                Life::Greeting { .. } => &mut seen.greeting,
                Life::Authenticating => &mut seen.authenticating,
                Life::Entering(_) => &mut seen.entering,
                Life::Live => &mut seen.live,
                Life::Lagging(_) => &mut seen.lagging,
                Life::Closing(_) => &mut seen.closing,
            });
            *count += 1;
        }
        seen
    }
}
