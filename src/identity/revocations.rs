//! Revocations: an in-memory set against which every token is checked.
//!
//! - *Owns*: the revocations, which are checked at each request, at each `hello`, and while a connection
//!   lives.
//! - *Receives*: revocations of this node, of other nodes by the bus, and from reads of the store. The reads
//!   ensure that every node knows within a second, with or without a bus.
//! - *Emits*: each new revocation to the observer, which informs the sessions here and, if this node made it,
//!   the other nodes.
//! - *Limits*: one entry for each sign-in that ended within the life of the longest token and one hour more.
//! - *On restart*: read from the store before serving.
//!
//! Suspensions of accounts are in the set too. An entry says only that an account's suspension changed, and
//! each node reads the present one with it, so entries may arrive late, doubled or in another order.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{OnceLock, RwLock};

use smallvec::SmallVec;

use super::tokens::Claims;
use crate::domain::{FamilyId, RevocationKind, Suspension, Timestamp, UserId};
use crate::protocol::Failure;
use crate::store::Revocation;

/// The origin of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This node wrote it and must inform the other nodes.
    Here,
    /// The bus.
    Bus,
    /// A read of the store.
    Store,
}

/// Whether a token is still valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No revocation concerns it.
    Good,
    /// Its sign-in was ended. Another sign-in may work.
    SignedOut,
    /// The account is erased.
    Gone,
    /// An operator keeps the account out.
    Suspended(AccountSuspended),
}

/// Why a suspended account is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSuspended {
    /// How long the suspension lasts still.
    pub left_ms: u64,
    /// The operator's words.
    pub reason: Option<String>,
}

impl From<AccountSuspended> for Failure {
    fn from(AccountSuspended { left_ms, reason }: AccountSuspended) -> Self {
        Self::Suspended { left_ms, reason }
    }
}

#[derive(Debug, Default)]
struct Ended {
    /// Tokens of another issuer, which belong to no sign-in, with an `iat` up to this time; and when that was
    /// noted.
    strangers: Option<(Timestamp, u64)>,
    /// The account is erased.
    gone: bool,
    /// The account's suspension, and when it was noted.
    suspension: Option<(Suspension, u64)>,
    /// Each with when it was noted, on the monotonic clock of this process: the clock of the node that ended
    /// it may be wrong.
    families: SmallVec<[(FamilyId, u64); 1]>,
}

impl Ended {
    /// Adds a revocation. Returns whether it was new.
    fn take(&mut self, revocation: &Revocation, now_ms: u64) -> bool {
        let is_final = revocation.kind == RevocationKind::Erasure;
        match revocation.family {
            Some(family) => {
                let new = !self.families.iter().any(|(known, _)| *known == family);
                if new {
                    self.families.push((family, now_ms));
                }
                new
            }
            None => {
                let until =
                    self.strangers.map(|(until, _)| until).max(Some(revocation.at)).unwrap_or(revocation.at);
                let new = self.strangers.is_none_or(|(known, _)| known < until) || (is_final && !self.gone);
                self.strangers = Some((until, now_ms));
                self.gone |= is_final;
                new
            }
        }
    }

    fn standing(&self, claims: &Claims, now: Timestamp) -> Standing {
        if self.gone {
            return Standing::Gone;
        }
        if let Some((suspension, _)) = &self.suspension
            && let Some(left_ms) = suspension.left_ms(now)
        {
            let reason = suspension.reason.clone();
            return Standing::Suspended(AccountSuspended { left_ms, reason });
        }
        let signed_out = match claims.family {
            Some(own) => self.families.iter().any(|(family, _)| *family == own),
            None => self.strangers.is_some_and(|(until, _)| claims.issued_at <= until),
        };
        if signed_out { Standing::SignedOut } else { Standing::Good }
    }
}

impl Standing {
    /// The same as an answer to a request.
    ///
    /// # Errors
    /// `Unauthenticated` or `Suspended` unless it is good.
    pub fn into_result(self) -> Result<(), Failure> {
        match self {
            Self::Good => Ok(()),
            Self::SignedOut => Err(Failure::Unauthenticated("the sign-in was ended")),
            Self::Gone => Err(Failure::Unauthenticated("the account is gone")),
            Self::Suspended(why) => Err(why.into()),
        }
    }
}

type Observer = Box<dyn Fn(&Revocation, Source) + Send + Sync>;

/// The set.
#[derive(Default)]
pub struct Revocations {
    ended: RwLock<HashMap<UserId, Ended>>,
    observer: OnceLock<Observer>,
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").finish_non_exhaustive()
    }
}

impl Revocations {
    /// Sets the observer. It is called with every revocation that is new to this node, and with each that was
    /// made here. It must not block. Set once; answers false when there was one already.
    pub fn observe(&self, observer: impl Fn(&Revocation, Source) + Send + Sync + 'static) -> bool {
        self.observer.set(Box::new(observer)).is_ok()
    }

    /// Adds a revocation to the list and calls the observer. It also calls the observer for a revocation that
    /// was made here and that a read of the store found first, because only this node publishes it.
    ///
    /// The list knows it before the observer does. So a session that registers first and asks
    /// [`Revocations::standing`] second either sees it or is found by the observer.
    pub fn note(&self, revocation: &Revocation, source: Source, now_ms: u64) {
        let new = {
            let mut ended = self.ended.write().unwrap_or_else(crate::panics::poisoned);
            ended.entry(revocation.user).or_default().take(revocation, now_ms)
        };
        rare!(RevocationFoundInTheStore, new && source == Source::Store);
        rare!(RevocationHeardAgain, !new && source == Source::Bus);
        if (new || source == Source::Here)
            && let Some(observer) = self.observer.get()
        {
            observer(revocation, source);
        }
    }

    /// Replaces what is known of an account's suspension with what the store has, and calls the observer when
    /// that differs. A node that read the store reads nothing older afterwards, so the last call is right.
    pub fn note_suspension(&self, revocation: &Revocation, suspension: Option<Suspension>, now_ms: u64) {
        let new = {
            let mut ended = self.ended.write().unwrap_or_else(crate::panics::poisoned);
            let known = &mut ended.entry(revocation.user).or_default().suspension;
            let new = known.as_ref().map(|(suspension, _)| suspension) != suspension.as_ref();
            *known = suspension.map(|suspension| (suspension, now_ms));
            new
        };
        if new && let Some(observer) = self.observer.get() {
            observer(revocation, Source::Store);
        }
    }

    /// Forgets the suspensions of all other users. After a failover the log may have lost some that this node
    /// knows.
    pub fn keep_suspensions_of(&self, named: &HashSet<UserId>) {
        let mut ended = self.ended.write().unwrap_or_else(crate::panics::poisoned);
        rare!(SuspensionsReadAnew, ended.values().any(|ended| ended.suspension.is_some()));
        let others = ended.iter_mut().filter(|(user, _)| !named.contains(user));
        others.for_each(|(_, ended)| ended.suspension = None);
    }

    /// Has the observer inform the other nodes of an entry that was made here.
    pub fn announce(&self, revocation: &Revocation) {
        if let Some(observer) = self.observer.get() {
            observer(revocation, Source::Here);
        }
    }

    /// Whether a token still holds at `now`.
    pub fn standing(&self, claims: &Claims, now: Timestamp) -> Standing {
        let ended = self.ended.read().unwrap_or_else(crate::panics::poisoned);
        ended.get(&claims.user).map_or(Standing::Good, |ended| ended.standing(claims, now))
    }

    /// Whether an account is known to be erased.
    pub fn is_gone(&self, user: UserId) -> bool {
        let ended = self.ended.read().unwrap_or_else(crate::panics::poisoned);
        ended.get(&user).is_some_and(|ended| ended.gone)
    }

    /// Drops what was noted so long ago that the tokens it concerns have expired: sign-ins before
    /// `families_before_ms`, and whole users before `users_before_ms`.
    pub fn prune(&self, families_before_ms: u64, users_before_ms: u64) {
        let mut ended = self.ended.write().unwrap_or_else(crate::panics::poisoned);
        ended.retain(|_, ended| {
            ended.families.retain(|(_, noted_ms)| *noted_ms >= families_before_ms);
            if ended.strangers.is_some_and(|(_, noted_ms)| noted_ms < users_before_ms) {
                ended.strangers = None;
                ended.gone = false;
            }
            if ended.suspension.as_ref().is_some_and(|(_, noted_ms)| *noted_ms < users_before_ms) {
                ended.suspension = None;
            }
            ended.strangers.is_some() || ended.suspension.is_some() || !ended.families.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use uuid::Uuid;

    use super::*;

    fn user() -> UserId {
        UserId::from_uuid(Uuid::from_u128(1))
    }

    fn family(n: u128) -> FamilyId {
        FamilyId::from_uuid(Uuid::from_u128(n))
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    fn claims(of: u128, issued_at: i64) -> Claims {
        Claims { user: user(), family: Some(family(of)), issued_at: at(issued_at), expires_at: at(i64::MAX) }
    }

    #[test]
    fn a_sign_in_ends_by_its_id_and_the_token_of_another_issuer_by_its_time() {
        let set = Revocations::default();
        let stranger = |issued_at| Claims { family: None, ..claims(0, issued_at) };
        let note = |family, kind| {
            set.note(&Revocation { user: user(), family, at: at(50), kind }, Source::Here, 7);
        };
        note(Some(family(1)), RevocationKind::Tokens);
        assert_eq!(set.standing(&claims(1, 60), at(0)), Standing::SignedOut, "an ended sign-in stays ended");
        assert_eq!(set.standing(&claims(2, 40), at(0)), Standing::Good);
        note(None, RevocationKind::Tokens);
        assert_eq!(
            set.standing(&claims(2, 40), at(0)),
            Standing::Good,
            "no clock says anything of our own tokens"
        );
        assert_eq!(set.standing(&stranger(50), at(0)), Standing::SignedOut);
        assert_eq!(set.standing(&stranger(51), at(0)), Standing::Good);
        assert!(!set.is_gone(user()));
        note(None, RevocationKind::Erasure);
        assert_eq!(set.standing(&claims(2, 51), at(0)), Standing::Gone);
        assert!(set.is_gone(user()));
    }

    #[test]
    fn the_observer_hears_each_once_and_each_that_was_made_here() {
        let (set, heard) = (Revocations::default(), Arc::new(AtomicUsize::new(0)));
        let count = heard.clone();
        assert!(set.observe(move |_, _| _ = count.fetch_add(1, Ordering::SeqCst)));
        let one =
            Revocation { user: user(), family: Some(family(1)), at: at(1), kind: RevocationKind::Tokens };
        let all = Revocation { user: user(), family: None, at: at(2), kind: RevocationKind::Tokens };
        for revocation in [one, one, all, all, Revocation { kind: RevocationKind::Erasure, ..all }] {
            set.note(&revocation, Source::Bus, 7);
        }
        assert_eq!(heard.load(Ordering::SeqCst), 3);
        set.note(&one, Source::Store, 7);
        assert_eq!(heard.load(Ordering::SeqCst), 3);
        set.note(&one, Source::Here, 7);
        assert_eq!(heard.load(Ordering::SeqCst), 4, "the others are still to be told");
    }

    #[test]
    fn what_concerns_only_expired_tokens_is_forgotten() {
        let set = Revocations::default();
        set.note(
            &Revocation { user: user(), family: Some(family(1)), at: at(10), kind: RevocationKind::Tokens },
            Source::Here,
            7,
        );
        set.note(
            &Revocation { user: user(), family: None, at: at(10), kind: RevocationKind::Erasure },
            Source::Here,
            7,
        );
        set.prune(8, 7);
        assert_eq!(set.standing(&claims(1, 5), at(0)), Standing::Gone);
        set.prune(8, 8);
        assert_eq!(set.standing(&claims(1, 5), at(0)), Standing::Good);
        assert!(set.ended.read().expect("no panic").is_empty());
    }

    #[test]
    fn a_suspension_is_what_the_store_said_last_and_ends_by_its_time() {
        let (set, heard) = (Revocations::default(), Arc::new(AtomicUsize::new(0)));
        let count = heard.clone();
        assert!(set.observe(move |_, _| _ = count.fetch_add(1, Ordering::SeqCst)));
        let entry = Revocation { user: user(), family: None, at: at(1), kind: RevocationKind::Suspension };
        let suspension = Suspension { until: at(50), reason: Some("spam".to_owned()) };
        set.note_suspension(&entry, Some(suspension.clone()), 7);
        set.note_suspension(&entry, Some(suspension.clone()), 7);
        assert_eq!(heard.load(Ordering::SeqCst), 1);
        let out = AccountSuspended { left_ms: 10, reason: suspension.reason.clone() };
        assert_eq!(set.standing(&claims(1, 60), at(40)), Standing::Suspended(out), "also for a new token");
        assert_eq!(set.standing(&claims(1, 60), at(50)), Standing::Good);
        set.note_suspension(&entry, None, 8);
        assert_eq!(set.standing(&claims(1, 60), at(40)), Standing::Good);
        set.note_suspension(&entry, Some(suspension.clone()), 9);
        set.prune(0, 10);
        assert!(set.ended.read().expect("no panic").is_empty(), "every token from before has expired");
        set.note_suspension(&entry, Some(suspension), 9);
        set.keep_suspensions_of(&HashSet::from([user()]));
        assert_ne!(set.standing(&claims(1, 60), at(40)), Standing::Good);
        set.keep_suspensions_of(&HashSet::new());
        assert_eq!(set.standing(&claims(1, 60), at(40)), Standing::Good);
    }
}
