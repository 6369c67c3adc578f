//! Branches that matter for correctness and that ordinary tests seldom reach, named and counted.
//!
//! A run of a simulated fleet counts them. A long run that never reached one of them proves nothing about
//! it, so it fails and names it. [`RarePath`] lists them all, `rare!` marks the branch:
//!
//! ```ignore
//! rare!(InboxFull);
//! rare!(CursorOfAnotherEpoch, cursor.epoch != log.epoch);
//! ```
//!
//! Without the feature `simulation` the compiler checks the name and nothing is left of the macro: no count,
//! and a condition is not evaluated. So a condition has no effect of its own, and no variable is declared
//! only for it. One fleet runs on one thread, so each thread counts for itself.

/// Counts that the branch is reached; with a condition, only if it is true.
#[cfg(feature = "simulation")]
macro_rules! rare {
    ($path:ident) => {
        $crate::rare::reached($crate::rare::RarePath::$path)
    };
    ($path:ident, $when:expr) => {
        if $when {
            $crate::rare::reached($crate::rare::RarePath::$path);
        }
    };
}

/// Counts nothing in this build: only the name is checked.
#[cfg(not(feature = "simulation"))]
macro_rules! rare {
    ($path:ident $(, $when:expr)?) => {{
        const _: $crate::rare::RarePath = $crate::rare::RarePath::$path;
    }};
}

macro_rules! rare_paths {
    ($($part:literal { $($path:ident: $text:literal,)+ })+) => {
        /// A branch that is seldom reached.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RarePath {
            $($(#[doc = $text] $path,)+)+
        }

        impl RarePath {
            /// All of them, in the order of the list.
            pub const ALL: &[Self] = &[$($(Self::$path,)+)+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$path => stringify!($path),)+)+
                }
            }

            /// The event there, in one line.
            pub const fn text(self) -> &'static str {
                match self {
                    $($(Self::$path => $text,)+)+
                }
            }

            /// The part of the server that it belongs to.
            pub const fn part(self) -> &'static str {
                match self {
                    $($(Self::$path)|+ => $part,)+
                }
            }
        }
    };
}

rare_paths! {
    "session: entering" {
        HelloShed: "a hello finds all permits taken and the queue for them full",
        HelloTooLate: "a connection says no hello in time",
        TooManyConnectionsOfAUser: "a user has as many connections as one user may have",
        RevokedBetweenCheckAndEntry: "a sign-in is ended while the check of its token waits for the store",
        RevokedWhileEntering: "a sign-in is ended while its session reads heads for the welcome",
        ConnectionEndedWhileEntering: "a connection ends while its session reads heads for the welcome",
        HeadsUnreadableAtHello: "the store does not answer with the heads of a hello",
        CursorOfAnotherEpoch: "a client resumes with a cursor of a log that was replaced",
        PositionInALeftConversation: "a client names its position in a conversation that it left long ago",
        ChannelFoundByALaterRead: "a later read of heads has a channel that the one before did not have",
        MembershipChangedWhileEntering: "the user joins or leaves a channel while the session reads heads",
        HeldEventCountedByHeads: "an event that was held while heads were read is in those heads",
        HeldEventOfAChannelThatWasLeft: "an event that was held belongs to a channel that the user left",
        HeldEventsOverflow: "more events arrive while heads are read than a session holds",
        InboxOverflowWhileHeadsAreRead: "an inbox overflows while one of its sessions reads heads",
        HeadsReadAgainAfterALoss: "events were lost while heads were read, so they are read again",
        LossWhileHeadsAreSent: "events were lost while heads were sent, so the session lags again",
    }
    "session: live and lagging" {
        OutboxFullForAnEvent: "a slow reader has no room for an event and lags",
        LiveQueueGivesWay: "too much waits for all clients, and the live events of the slowest reader are dropped",
        ComparisonPutOffByASlowReader: "a comparison is put off because pushed events are not written yet",
        SignalDroppedForASlowReader: "a slow reader has no room for a signal",
        PresenceLostByASlowReader: "a slow reader misses a change of presence",
        RevokedWhileLagging: "a sign-in is ended while its session lags",
        ConnectionEndedWhileCatchingUp: "a connection ends while its lagging session reads heads",
        HeadsUnreadableWhileCatchingUp: "the store does not answer with the heads of a lagging session",
        LateCopyOfWhatHeadsCounted: "an event arrives that lies before the heads of the session",
        EventGivenBefore: "an event arrives that the session was given by heads",
        ComparisonShed: "a comparison of heads finds all permits taken",
        ComparisonOvertakenByHeads: "heads were read again while a comparison was under way",
        EventUnderWayDuringAComparison: "a comparison finds an event that may be under way",
        GapFoundByAComparison: "a comparison finds an event that never came, or another log",
        LogReplacedBetweenComparisons: "a comparison finds that the log was replaced",
    }
    "session: requests and answers" {
        ReadingPausedByRequests: "a client has so many unanswered requests that no further frame is read",
        ReadingPausedByTheOutbox: "a client leaves so much unread that no further frame of it is read",
        RevokedWithRequestsInProgress: "a sign-in is ended while requests of its session are not answered yet",
        ReplyToAClosingSession: "the writer answers a session that is closing",
        ReplyForAnEndedSession: "the writer answers a session that has ended",
        AnswerWaitsForRoom: "an answer in several frames waits for a slow reader",
        SyncWaitsForAnother: "a sync waits for an earlier one of its connection",
        SyncStoppedByEvents: "a sync ends at its limit of events with ranges left",
        SyncStoppedByBytes: "a sync ends at its limit of bytes with ranges left",
        SyncStoppedByASlowReader: "a sync fills the outbox and ends there",
        ConnectionEndedDuringASync: "a connection ends between two ranges of a sync",
    }
    "session: watches and blocks" {
        SignalBetweenBlockedUsers: "a signal is withheld, for a block or because blocks are not known yet",
        SignalsMayBeLost: "an inbox dropped something, so a session trusts neither blocks nor presence",
        BlocksUnreadable: "the store does not answer with the blocks of a user",
        BlockSetWhileBlocksAreRead: "blocks were read while a later read began or a block may have been lost",
        RightsChangedWhileTheyAreRead: "a membership or a block ends while it is read who may see whom",
        UnwatchedBeforeTheAnswer: "a client stops watching a user before the watch is answered",
        WatchEndedByABlock: "a block ends a watch",
        WatchEndedByALeave: "a watched user leaves the last conversation that allowed the watch",
        WatchEndedByAReview: "a session finds that it may not watch a user any more",
    }
    "session: the end" {
        TokenExpiresOnAConnection: "a token expires on an open connection",
        PingsUnanswered: "a peer answers no ping",
        SocketFull: "a socket takes no more bytes",
        FrameWrittenInParts: "a socket takes a part of a frame",
        SocketStalledUntilTheDeadline: "a socket takes no byte until the write deadline",
        SocketBreaksDuringAWrite: "a socket breaks while frames wait for it",
        CloseBehindQueuedFrames: "a close frame is queued behind other frames",
        CloseUnanswered: "a client does not answer the close",
        FramesUnreadAtTheClose: "frames of a client wait when its connection closes",
        DrainWhileEntering: "the process hands its sessions over while one of them is entering",
        SessionsLeftAfterTheHandOver: "sessions are left when the time for handing them over ends",
    }
    "router" {
        InboxFull: "an inbox drops an item",
        EventsOfAnotherLog: "the bus brings events of another log",
        EventDeliveredTwice: "an event arrives that was delivered already",
        LateCopyOfACoveredEvent: "an event arrives that the follower has passed",
        JoinCountedByAnotherReader: "a user joins a channel that another one here began to read after the join",
        HoleFoundByAnEvent: "an event shows that an earlier one is missing",
        HoleFoundByADigest: "a digest shows that an event is missing",
        DigestDuringARepair: "a digest names a conversation that is being repaired",
        RepairPostponed: "the queue of repairs is full when a digest shows a hole",
        EventsHeldBehindAHole: "events that were held behind a hole are delivered",
        TooManyEventsBehindAHole: "more events arrive behind a hole than are held",
        OldEventReadForAHole: "a repair reads an event from before what the follower has passed",
        HoleDeeperThanGuessed: "a repair must begin further back than was guessed",
        HoleClosedDuringItsRead: "a hole is closed by other events while the log is read for it",
        HoleReadInVain: "a repair reads the log and the hole stays as it was",
        LogAwayDuringARepair: "the log does not answer a repair",
        HoleGivenUp: "a hole is not closed, so the readers compare heads",
        HoleGivenUpUnread: "the queue of repairs is full when an event shows a hole, so the readers compare heads",
        HoleNamedAfterItWasGivenUp: "a digest or a late copy names users of a group's hole that was given up",
        TooManyUsersOfAHole: "the events of a hole are for more users than are remembered",
        LastReaderLeavesDuringARepair: "the last reader of a channel leaves while it is being repaired",
        NewChannelUnreadable: "the log does not answer with the events before a new subscription",
        TracksForgotten: "more conversations are tracked than there is room for",
        TracksOfReadersForgotten: "more conversations with readers are tracked than there is room for",
    }
    "follower" {
        BusGoesDown: "the bus goes down",
        BusReportsAGap: "the bus reports that it may have lost messages",
        DigestAfterSilence: "a digest arrives after so long a silence that the log was read instead",
        DigestBehindAGap: "a digest begins later than the end of what is known",
        DigestBehindTheFollower: "a digest ends before what the follower has read by itself",
        DigestOfAnotherLog: "a digest is about another log",
        LogReplaced: "the follower finds that the log was replaced",
        LogAwayForTheFollower: "the log does not answer the follower",
        FollowerReadsAGapToItsEnd: "the follower has read a gap to the end of the log",
    }
    "writer" {
        WriterMailboxFull: "a job finds the mailbox of its shard full",
        WriterQueueFull: "a job finds the queue of its shard full",
        JobWaitedTooLong: "a job has waited so long that it is refused",
        JobRefusedByTheBreaker: "a job arrives while the breaker is open",
        BatchWaitsForThePermit: "a batch waits because as many as allowed are in flight",
        GateBusyForTooLong: "a batch waits so long for a permit that it is refused",
        BreakerOpenForABatch: "the breaker is open when a batch wants to begin",
        BreakerOpens: "the breaker opens",
        BreakerOpensByOneTimeout: "the breaker opens because one batch missed its deadline",
        BreakerHalfOpen: "the breaker lets one batch try",
        TrialOfTheBreakerFails: "the batch that tries fails, and the breaker stays open",
        BreakerCloses: "a batch succeeds and the breaker closes",
        BatchFailsBehindAnOpenBreaker: "a batch that began before the breaker opened fails",
        CommitSlowerThanTheTarget: "a commit takes so long that fewer batches are allowed at once",
        SendRepeated: "a send is repeated and answered with its first result",
        SendWithUnknownResult: "a send fails, and nobody knows whether it was stored",
        SendMeetsABlock: "a send meets a block",
        SendByAMutedMember: "a send comes from a member who is muted",
        SendByANonMember: "a send comes from a user who is no member, or no longer",
        ChangeMadeBefore: "a change is repeated or changes nothing",
        ChangeWithUnknownResult: "a change fails, and nobody knows whether it was stored",
        AnswerForARequestThatEnded: "a request over HTTP ends before the writer answers it",
    }
    "receipts, typing, presence, rates" {
        ReceiptsMerged: "two receipts of a member wait and become one",
        ReceiptsFull: "a receipt finds no room",
        ReceiptsWaitForTheStore: "receipts wait because earlier ones are being stored",
        ReceiptBehindTheStoredOne: "a receipt arrives that is not ahead of the stored one",
        ReceiptKeptForAnotherTry: "receipts could not be stored and are kept",
        TypingEndsWithoutTheStore: "typing ends while the store cannot say who is to be told",
        TypingWithoutTheRight: "somebody types who may not speak there, or whose right cannot be read",
        TypingEndsBeforeItIsSaid: "typing ends while its audience is read",
        TypingAgainBeforeTheEndIsSaid: "typing begins again while the audience of its end is read",
        MemberLeavesWhileTyping: "a member leaves while typing",
        ConnectionEndsWhileTyping: "the connection of somebody who types ends",
        ReconnectBeforeOffline: "a user is back before counting as offline",
        PresenceSaidTwice: "a presence arrives that the watchers were sent already",
        PresenceChangedDuringTheLookup: "a user comes or goes while other nodes are asked about the user",
        PresenceChangedWhileAnnounced: "another node changes a presence while this one announces what that node had",
        PresenceChangedSinceTheLookup: "a correction of a presence is overtaken by a newer one",
        PresenceDiffersOnce: "the registry differs from the presence that the watchers were sent",
        PresenceSignalLost: "the registry differs twice, so the watchers are sent a correction",
        PresenceSaidWithoutTheRegistry: "another node says that a user is gone who is connected here",
        PresenceRegistryAway: "the registry of presence does not answer",
        RateCountsOtherProcesses: "a user connected to several processes has a share of the rate in each",
        OtherProcessesUncounted: "the registry does not answer on how many processes users are",
    }
    "relay and jobs" {
        LeaseExpires: "a lease expires because the store did not extend it in time",
        LeaseTakenByAnother: "another process has taken a lease over",
        LeaseLostWhileWorking: "the holder of a lease finds it lost when it stores its cursor",
        RelayCursorOfAnotherEpoch: "the relay begins with a cursor of a log that was replaced",
        LogReplacedUnderTheRelay: "the relay finds that the log was replaced",
        EventPublishedByTheRelay: "the relay publishes an event that its node did not",
        EventTooOldToPublish: "the relay finds an event so old that only a digest names it",
        JobStepFails: "a step of a job fails and is tried again",
        JobFinishedByAnother: "a step finds its job finished by another process",
    }
    "identity" {
        RevocationFoundInTheStore: "a node learns of a revocation from the store first",
        RevocationHeardAgain: "the bus brings a revocation that is known already",
        SuspendedUserAsksForTokens: "a suspended user signs in or refreshes and is given no token",
        SuspensionUnknownToTheList: "a process asks the store for a user and finds a suspension that it did not know",
        SuspensionsReadAnew: "a process that knows suspensions finds another log and reads them anew",
        RefreshRepeated: "a refresh whose answer was lost is repeated in time",
        RefreshTokenReused: "a refresh token is used again later, and its sign-in is ended",
        ErasureLostByTheLog: "an account is there again that this node knows to be erased, and is erased again",
        PasswordChangedDuringASignIn: "a password is changed while it is used to sign in",
        SignUpRepeated: "a sign-up is repeated with the same name and password",
        UsernameTakenDuringASignUp: "two sign-ups want the same name at the same time",
        ClaimedDuringASignIn: "a guest is claimed while its device signs in to it",
        ClaimLosesARace: "a guest is claimed twice, or two guests want the same name",
    }
    "store" {
        ReadFailed: "a read fails",
        WriteFailed: "a write fails, and it is certain that nothing was stored",
        WriteWithUnknownResult: "a write fails, and nobody knows whether it was stored",
        TransactionTriedAgain: "a transaction is undone and tried again",
        EditRepeated: "an edit is repeated with its client_id",
        EditOfADeletedMessage: "an edit finds its message deleted",
        DeleteRepeated: "a message is deleted twice",
        ReactionToADeletedMessage: "a reaction finds its message deleted",
        BanOfAMember: "a ban ends a membership",
        JoinRepeated: "a user who is a member joins again",
        InvitationMeetsABlock: "an invitation meets a block",
    }
    "log with several writers" {
        BatchPartlyStored: "one part of a batch is stored and another is not",
        ChangeOvertaken: "what a change depends on is changed between its read and its write",
        DigestBeyondAHeldBackLog: "a digest says that an open transaction holds the log back",
        EventsBeyondAHeldBackEnd: "the follower reads events behind the end that an open transaction holds back",
        TransactionOpenForLong: "a transaction stays open for long and holds the log back",
        ReplicaTooStale: "a replica lacks what the primary has, so another one is asked",
        MembershipChangedDuringARead: "a membership changes between the check of a right and the read",
    }
}

/// How often each path was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RareCounts([u64; RarePath::ALL.len()]);

impl RareCounts {
    /// None was reached.
    pub const NONE: Self = Self([0; RarePath::ALL.len()]);

    /// How often `path` was reached.
    pub const fn of(&self, path: RarePath) -> u64 {
        self.0[path as usize]
    }

    /// Every path with its count.
    pub fn iter(&self) -> impl Iterator<Item = (RarePath, u64)> {
        RarePath::ALL.iter().map(|path| (*path, self.of(*path)))
    }

    /// The paths that were never reached.
    pub fn never_reached(&self) -> impl Iterator<Item = RarePath> {
        self.iter().filter(|(_, count)| *count == 0).map(|(path, _)| path)
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, more)| *own += more);
    }

    #[cfg(any(test, feature = "simulation"))]
    fn reached(&mut self, path: RarePath) {
        self.0[path as usize] += 1;
    }
}

#[cfg(feature = "simulation")]
thread_local! {
    static COUNTS: std::cell::RefCell<RareCounts> = const { std::cell::RefCell::new(RareCounts::NONE) };
}

/// A path was reached on this thread. `rare!` calls it.
#[cfg(feature = "simulation")]
pub fn reached(path: RarePath) {
    COUNTS.with_borrow_mut(|counts| counts.reached(path));
}

/// How often this thread reached each path since it was asked last. Counting begins anew.
#[cfg(feature = "simulation")]
pub fn take() -> RareCounts {
    COUNTS.replace(RareCounts::NONE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_path_has_a_text_of_its_own() {
        let texts: BTreeSet<&str> = RarePath::ALL.iter().map(|path| path.text()).collect();
        assert_eq!(texts.len(), RarePath::ALL.len());
        assert_eq!((RarePath::InboxFull.name(), RarePath::InboxFull.part()), ("InboxFull", "router"));
        assert!(RarePath::ALL.iter().enumerate().all(|(at, path)| *path as usize == at));
    }

    #[test]
    fn counts_are_added_and_name_what_was_never_reached() {
        let (mut one, mut other) = (RareCounts::NONE, RareCounts::NONE);
        one.reached(RarePath::InboxFull);
        other.reached(RarePath::InboxFull);
        other.reached(RarePath::LogReplaced);
        one.add(&other);
        assert_eq!((one.of(RarePath::InboxFull), one.of(RarePath::LogReplaced)), (2, 1));
        let never: Vec<RarePath> = one.never_reached().collect();
        assert_eq!(never.len(), RarePath::ALL.len() - 2);
        assert!(!never.contains(&RarePath::InboxFull));
    }

    /// The thread-local counter cannot be touched here, and the condition could not even be evaluated.
    #[cfg(not(feature = "simulation"))]
    const fn costs_nothing() {
        rare!(InboxFull);
        rare!(InboxFull, std::env::args().count() > 0);
    }

    #[cfg(not(feature = "simulation"))]
    #[test]
    fn without_the_feature_nothing_is_left_of_the_macro() {
        const { costs_nothing() }
    }

    #[cfg(feature = "simulation")]
    #[test]
    fn each_thread_counts_for_itself_until_it_is_asked() {
        take();
        rare!(InboxFull);
        rare!(LogReplaced, 1 > 2);
        let other = std::thread::spawn(|| {
            rare!(LogReplaced, 1 < 2);
            take()
        });
        let (own, other) = (take(), other.join().unwrap_or(RareCounts::NONE));
        assert_eq!((own.of(RarePath::InboxFull), own.of(RarePath::LogReplaced)), (1, 0));
        assert_eq!((other.of(RarePath::InboxFull), other.of(RarePath::LogReplaced)), (0, 1));
        assert_eq!(take(), RareCounts::NONE);
    }
}
