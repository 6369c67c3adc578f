//! The phase of a session: one value, and the only place that changes it.
//!
//! ```text
//! Greeting ── hello ──▶ Authenticating ── token is good ──▶ Entering ── welcome ──▶ Lagging(Reading)
//!                                                                                    │      ▲
//!                                               the last page of heads is queued     ▼      │ heads are read
//!                                                                                   Live ─▶ Lagging(Draining)
//! any of them ── close ──▶ Closing(Decided ─▶ Writing ── written ─▶ Lingering ── answered, or too late ─▶ Over)
//! ```

use std::sync::Arc;

use crate::protocol::delivery::Delivery;

/// Events held while heads are read and sent. When more arrive, the heads are read again.
pub const HELD_EVENTS: usize = 1_024;

/// The phase of one session.
#[derive(Debug)]
pub enum Life {
    /// Waits for `hello`.
    Greeting {
        /// When the wait ends, on the monotonic clock.
        deadline_ms: u64,
    },
    /// The token is checked. Nothing is read from the socket in the meantime.
    Authenticating,
    /// The first heads are read. Nothing is read from the socket in the meantime; events are held.
    Entering(Held),
    /// Requests are answered and events are pushed.
    Live,
    /// Requests are answered, but events are not pushed until the client was sent its heads.
    Lagging(CatchUp),
    /// The connection is ending. No request is handled and nothing more is queued.
    Closing(Ending),
}

/// How far a lagging session has come on its way back to live.
#[derive(Debug)]
pub enum CatchUp {
    /// Its outbox drains first.
    Draining,
    /// It waits for a permit to read heads, or for another try. The heads will count everything until then.
    Waiting,
    /// Heads are being read, or sent page by page; events are held.
    Reading(Held),
}

/// Events that arrived while heads were read and sent.
#[derive(Debug)]
pub enum Held {
    /// All of them.
    Events(Vec<Arc<Delivery>>),
    /// More arrived than may be held, or something was lost: the heads in progress may be older than that.
    Overflowed,
}

/// How far a closing connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was decided to close. Frames from before may still be queued, then the close frame.
    Decided,
    /// The close frame is queued; nothing is queued behind it.
    Writing,
    /// The close frame is written and our side is shut. What the client still sends is read and dropped, so
    /// that a TCP reset does not overtake the close frame.
    Lingering {
        /// When the wait for the client's answer ends, on the monotonic clock.
        until_ms: u64,
    },
    /// Nothing more must be done.
    Over,
}

impl Held {
    const fn none() -> Self {
        Self::Events(Vec::new())
    }

    fn hold(&mut self, delivery: &Arc<Delivery>) {
        match self {
            Self::Events(events) if events.len() < bound!(EventsWhileHeadsAreRead, HELD_EVENTS) => {
                events.push(Arc::clone(delivery));
            }
            Self::Events(_) => {
                rare!(HeldEventsOverflow);
                *self = Self::Overflowed;
            }
            Self::Overflowed => {}
        }
    }
}

impl Life {
    /// Whether another frame may be read: not before the welcome, once a `hello` came.
    pub const fn reads_frames(&self) -> bool {
        matches!(self, Self::Greeting { .. } | Self::Live | Self::Lagging(_))
    }

    /// Whether it was welcomed and is not closing.
    pub const fn is_welcomed(&self) -> bool {
        matches!(self, Self::Live | Self::Lagging(_))
    }

    /// Whether events are pushed.
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }

    /// Whether it waits for its outbox to drain before it reads heads.
    pub const fn is_draining(&self) -> bool {
        matches!(self, Self::Lagging(CatchUp::Draining))
    }

    /// Whether the connection is ending.
    pub const fn is_closing(&self) -> bool {
        matches!(self, Self::Closing(_))
    }

    /// Whether frames may be queued for the client.
    pub const fn takes_frames(&self) -> bool {
        matches!(self, Self::Closing(Ending::Decided)) || !self.is_closing()
    }

    /// Whether the connection has ended.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Closing(Ending::Over))
    }

    /// The events that are held now.
    pub const fn held(&mut self) -> Option<&mut Held> {
        match self {
            Self::Entering(held) | Self::Lagging(CatchUp::Reading(held)) => Some(held),
            Self::Greeting { .. } | Self::Authenticating | Self::Live => None,
            Self::Lagging(CatchUp::Draining | CatchUp::Waiting) | Self::Closing(_) => None,
        }
    }

    /// An event arrived that may not be pushed now.
    pub fn hold_event(&mut self, delivery: &Arc<Delivery>) {
        if let Some(held) = self.held() {
            held.hold(delivery);
        }
    }

    /// Heads are about to be read. From now on events are held.
    pub fn read_heads(&mut self) {
        match self {
            Self::Authenticating | Self::Entering(_) => *self = Self::Entering(Held::none()),
            Self::Live | Self::Lagging(_) => *self = Self::Lagging(CatchUp::Reading(Held::none())),
            Self::Greeting { .. } | Self::Closing(_) => {}
        }
    }

    /// Heads will be read, but not yet.
    pub fn wait_for_heads(&mut self) {
        if self.is_welcomed() {
            *self = Self::Lagging(CatchUp::Waiting);
        }
    }

    /// Something was lost on the way to the client. Returns `true` if heads must be read and no read is
    /// planned.
    pub fn lag(&mut self) -> bool {
        if let Some(held) = self.held() {
            *held = Held::Overflowed;
        }
        let begins = self.is_live();
        if begins {
            *self = Self::Lagging(CatchUp::Draining);
        }
        begins
    }

    /// The welcome is queued. Requests may come; events are still held until the last page of heads.
    pub fn welcome(&mut self) {
        if let Self::Entering(held) = self {
            let held = std::mem::replace(held, Held::none());
            *self = Self::Lagging(CatchUp::Reading(held));
        }
    }

    /// The last page of heads is queued. Returns the held events, to be pushed like everything after them.
    pub fn go_live(&mut self) -> Vec<Arc<Delivery>> {
        let Self::Lagging(CatchUp::Reading(held)) = self else { return Vec::new() };
        let held = std::mem::replace(held, Held::none());
        match held {
            Held::Events(events) => {
                *self = Self::Live;
                events
            }
            Held::Overflowed => {
                rare!(LossWhileHeadsAreSent);
                *self = Self::Lagging(CatchUp::Draining);
                Vec::new()
            }
        }
    }

    /// The connection must be closed. Returns `false` if it is closing already.
    pub fn close(&mut self) -> bool {
        let begins = !self.is_closing();
        if begins {
            *self = Self::Closing(Ending::Decided);
        }
        begins
    }

    /// The close frame is about to be queued. Returns `false` if it was queued, or if it is too late.
    pub fn write_close(&mut self) -> bool {
        let begins = matches!(self, Self::Closing(Ending::Decided));
        if begins {
            *self = Self::Closing(Ending::Writing);
        }
        begins
    }

    /// The close frame is written.
    pub fn linger(&mut self, until_ms: u64) {
        if let Self::Closing(Ending::Writing) = self {
            *self = Self::Closing(Ending::Lingering { until_ms });
        }
    }

    /// The connection has ended.
    pub fn end(&mut self) {
        *self = Self::Closing(Ending::Over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_session_never_comes_back() {
        let mut life = Life::Live;
        assert!(life.close() && !life.close());
        life.read_heads();
        life.wait_for_heads();
        life.welcome();
        assert!(!life.lag() && life.go_live().is_empty() && life.is_closing() && !life.is_over());
        assert!(life.takes_frames() && life.write_close());
        assert!(!life.takes_frames() && !life.write_close());
        life.linger(7);
        assert!(matches!(life, Life::Closing(Ending::Lingering { until_ms: 7 })));
        life.end();
        assert!(life.is_over());
    }

    #[test]
    fn a_session_is_live_only_behind_its_heads() {
        let mut life = Life::Authenticating;
        life.read_heads();
        assert!(!life.reads_frames() && life.go_live().is_empty(), "it was not welcomed");
        life.welcome();
        assert!(life.reads_frames() && !life.is_live());
        life.go_live();
        assert!(life.is_live() && life.lag() && !life.lag());
        life.read_heads();
        assert!(!life.lag() && life.go_live().is_empty(), "lost while heads were read");
        assert!(life.is_draining());
    }
}
