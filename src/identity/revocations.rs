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

use std::collections::HashMap;
use std::fmt;
use std::sync::{OnceLock, RwLock};

use smallvec::SmallVec;

use super::tokens::Claims;
use crate::domain::{FamilyId, Timestamp, UserId};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No revocation concerns it.
    Good,
    /// Its sign-in was ended. Another sign-in may work.
    SignedOut,
    /// The account is erased or banned.
    Gone,
}

#[derive(Debug, Default)]
struct Ended {
    /// Tokens of another issuer, which belong to no sign-in, with an `iat` up to this time; and when that was
    /// noted.
    strangers: Option<(Timestamp, u64)>,
    /// The account is erased.
    gone: bool,
    /// Each with when it was noted, on the monotonic clock of this process: the clock of the node that ended
    /// it may be wrong.
    families: SmallVec<[(FamilyId, u64); 1]>,
}

impl Ended {
    /// Adds a revocation. Returns whether it was new.
    fn take(&mut self, revocation: &Revocation, now_ms: u64) -> bool {
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
                let new = self.strangers.is_none_or(|(known, _)| known < until)
                    || (revocation.final_ && !self.gone);
                self.strangers = Some((until, now_ms));
                self.gone |= revocation.final_;
                new
            }
        }
    }

    fn standing(&self, claims: &Claims) -> Standing {
        if self.gone {
            return Standing::Gone;
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
    /// `Unauthenticated` unless it is good.
    pub fn into_result(self) -> Result<(), Failure> {
        match self {
            Self::Good => Ok(()),
            Self::SignedOut => Err(Failure::Unauthenticated("the sign-in was ended")),
            Self::Gone => Err(Failure::Unauthenticated("the account is gone")),
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

    /// Whether a token still holds.
    pub fn standing(&self, claims: &Claims) -> Standing {
        let ended = self.ended.read().unwrap_or_else(crate::panics::poisoned);
        ended.get(&claims.user).map_or(Standing::Good, |ended| ended.standing(claims))
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
            ended.strangers.is_some() || !ended.families.is_empty()
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
        let note = |family, final_| {
            set.note(&Revocation { user: user(), family, at: at(50), final_ }, Source::Here, 7);
        };
        note(Some(family(1)), false);
        assert_eq!(set.standing(&claims(1, 60)), Standing::SignedOut, "an ended sign-in stays ended");
        assert_eq!(set.standing(&claims(2, 40)), Standing::Good);
        note(None, false);
        assert_eq!(set.standing(&claims(2, 40)), Standing::Good, "no clock says anything of our own tokens");
        assert_eq!(set.standing(&stranger(50)), Standing::SignedOut);
        assert_eq!(set.standing(&stranger(51)), Standing::Good);
        assert!(!set.is_gone(user()));
        note(None, true);
        assert_eq!(set.standing(&claims(2, 51)), Standing::Gone);
        assert!(set.is_gone(user()));
    }

    #[test]
    fn the_observer_hears_each_once_and_each_that_was_made_here() {
        let (set, heard) = (Revocations::default(), Arc::new(AtomicUsize::new(0)));
        let count = heard.clone();
        assert!(set.observe(move |_, _| _ = count.fetch_add(1, Ordering::SeqCst)));
        let one = Revocation { user: user(), family: Some(family(1)), at: at(1), final_: false };
        let all = Revocation { user: user(), family: None, at: at(2), final_: false };
        for revocation in [one, one, all, all, Revocation { final_: true, ..all }] {
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
            &Revocation { user: user(), family: Some(family(1)), at: at(10), final_: false },
            Source::Here,
            7,
        );
        set.note(&Revocation { user: user(), family: None, at: at(10), final_: true }, Source::Here, 7);
        set.prune(8, 7);
        assert_eq!(set.standing(&claims(1, 5)), Standing::Gone);
        set.prune(8, 8);
        assert_eq!(set.standing(&claims(1, 5)), Standing::Good);
        assert!(set.ended.read().expect("no panic").is_empty());
    }
}
