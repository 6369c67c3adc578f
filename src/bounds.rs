//! Bounds that are constants or have a high least value, and that a run of a simulated fleet may lower.
//!
//! A minute of a small fleet does not fill a list of 200,000 entries. So a run may ask for smaller bounds,
//! and the code at the bound runs. [`Bound`] lists them all, `bound!` marks the use:
//!
//! ```text
//! if self.held.len() < bound!(EventsBehindAHole, HELD_EVENTS) {
//! ```
//!
//! Without the feature `simulation` the compiler checks the name, and the macro is the constant alone. One
//! fleet runs on one thread, so each thread has bounds of its own.

/// The constant, or less when the run asked for less.
#[cfg(feature = "simulation")]
macro_rules! bound {
    ($bound:ident, $usual:expr) => {
        $crate::bounds::of($crate::bounds::Bound::$bound, $usual)
    };
}

/// The constant: only the name is checked in this build.
#[cfg(not(feature = "simulation"))]
macro_rules! bound {
    ($bound:ident, $usual:expr) => {{
        const _: $crate::bounds::Bound = $crate::bounds::Bound::$bound;
        $usual
    }};
}

macro_rules! bounds {
    ($($bound:ident: $text:literal,)+) => {
        /// A bound that a run may lower.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Bound {
            $(#[doc = $text] $bound,)+
        }

        impl Bound {
            /// All of them, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$bound,)+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bound => stringify!($bound),)+
                }
            }
        }
    };
}

bounds! {
    AnnouncedEvents: "events that a relay remembers as published",
    CatchUpsAtOnce: "sessions of a thread that catch up at once",
    DepthOfAHole: "events that a repair reads at most to find where a hole begins",
    EventsBehindAHole: "events of a conversation that are held behind a hole",
    EventsOfAFollowerRead: "events that the follower reads at once",
    EventsOfARelayRead: "events that the relay reads at once",
    EventsOfARepairRead: "events that a repair reads at once",
    EventsPerBusMessage: "events of one message on the bus",
    EventsWhileHeadsAreRead: "events that a session holds while heads are read",
    FirstDepthOfAHole: "events before a hole that a repair reads first",
    HeadsPerFrame: "heads in one frame",
    HolesPerDigest: "holes of one digest that are repaired one by one",
    InboxBytes: "bytes of events that wait for a worker thread",
    NamesPerDigest: "conversations and users that one digest names",
    PendingEventsOfTheRelay: "events that the relay has read and not handled",
    RepairsAtOnce: "conversations that are repaired at once",
    RepairsWaiting: "conversations that wait for a repair",
    StaleEventMs: "the age from which on the relay does not publish an event, in milliseconds",
    SyncBytes: "bytes of events that one sync answers with",
    SyncFrameBytes: "bytes of events in one frame of a sync",
    TrackedConversations: "conversations whose order a router tracks",
    UsersOfAHole: "users that a hole is known to matter to",
}

#[cfg(feature = "simulation")]
thread_local! {
    static LOWERED: std::cell::RefCell<Vec<(Bound, u64)>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Sets the bounds of this thread that are lower than usual, in place of those before.
#[cfg(feature = "simulation")]
pub fn lower(bounds: Vec<(Bound, u64)>) {
    LOWERED.set(bounds);
}

/// A bound on this thread, whose constant is `usual`. `bound!` calls it.
#[cfg(feature = "simulation")]
pub fn of<N: TryFrom<u64> + Ord>(bound: Bound, usual: N) -> N {
    let lowered = LOWERED.with_borrow(|all| all.iter().find(|(one, _)| *one == bound).map(|(_, to)| *to));
    match lowered.map(N::try_from) {
        Some(Ok(lowered)) => usual.min(lowered),
        Some(Err(_)) | None => usual,
    }
}

#[cfg(test)]
mod tests {
    const USUAL: usize = 256;

    #[cfg(not(feature = "simulation"))]
    #[test]
    fn without_the_feature_a_bound_is_its_constant() {
        const BOUND: usize = bound!(EventsBehindAHole, USUAL);
        assert_eq!(BOUND, USUAL);
    }

    #[cfg(feature = "simulation")]
    #[test]
    fn a_thread_lowers_bounds_and_never_raises_them() {
        use super::{Bound, lower};

        assert_eq!(bound!(EventsBehindAHole, USUAL), USUAL);
        lower(vec![(Bound::EventsBehindAHole, 4), (Bound::SyncBytes, 1_000)]);
        assert_eq!(bound!(EventsBehindAHole, USUAL), 4);
        assert_eq!(bound!(SyncBytes, USUAL), USUAL);
        assert_eq!(bound!(StaleEventMs, 60_000_i64), 60_000);
        lower(Vec::new());
        assert_eq!(bound!(EventsBehindAHole, USUAL), USUAL);
    }
}
