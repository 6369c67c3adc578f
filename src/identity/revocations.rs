//! What ended before its time: an in-memory set that every token is held against.
//!
//! Fed from two sides: directly by this node ([`Revocations::note`]) and by polling the store, so that every node knows
//! within a second, with or without a bus. Entries are dropped once the tokens they concern have expired anyway.

use std::collections::HashMap;
use std::fmt;
use std::sync::{OnceLock, RwLock};

use smallvec::SmallVec;

use super::tokens::Claims;
use crate::domain::{FamilyId, Timestamp, UserId};
use crate::store::Revocation;

/// How a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known against it.
    Good,
    /// Its sign-in was ended; another sign-in may work.
    SignedOut,
    /// The account is gone or banned.
    Gone,
}

#[derive(Debug, Default)]
struct Ended {
    /// Everything issued until then.
    all: Option<Timestamp>,
    /// The account is gone.
    gone: bool,
    families: SmallVec<[(FamilyId, Timestamp); 1]>,
}

impl Ended {
    /// Takes a revocation in; whether it told anything new.
    fn take(&mut self, revocation: &Revocation) -> bool {
        match revocation.family {
            Some(family) => {
                let new = !self.families.iter().any(|(known, _)| *known == family);
                if new {
                    self.families.push((family, revocation.at));
                }
                new
            }
            None => {
                let new = self.all.is_none_or(|at| at < revocation.at) || (revocation.final_ && !self.gone);
                self.all = self.all.max(Some(revocation.at));
                self.gone |= revocation.final_;
                new
            }
        }
    }

    fn standing(&self, claims: &Claims) -> Standing {
        if self.gone {
            return Standing::Gone;
        }
        let signed_out = self.all.is_some_and(|at| claims.issued_at <= at)
            || claims.family.is_some_and(|own| self.families.iter().any(|(family, _)| *family == own));
        if signed_out { Standing::SignedOut } else { Standing::Good }
    }
}

type Observer = Box<dyn Fn(&Revocation) + Send + Sync>;

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
    /// Who is told of every revocation that is new to this node, once each: the gateway, to close connections. It must not
    /// block. Set once; answers false when there was one already.
    pub fn observe(&self, observer: impl Fn(&Revocation) + Send + Sync + 'static) -> bool {
        self.observer.set(Box::new(observer)).is_ok()
    }

    /// Takes a revocation in; tells the observer when it is new.
    pub fn note(&self, revocation: &Revocation) {
        let new = {
            let mut ended = self.ended.write().unwrap_or_else(crate::panics::poisoned);
            ended.entry(revocation.user).or_default().take(revocation)
        };
        if new && let Some(observer) = self.observer.get() {
            observer(revocation);
        }
    }

    /// How a token stands now.
    pub fn standing(&self, claims: &Claims) -> Standing {
        let ended = self.ended.read().unwrap_or_else(crate::panics::poisoned);
        ended.get(&claims.user).map_or(Standing::Good, |ended| ended.standing(claims))
    }

    /// Drops what concerns only tokens that have expired: sign-ins ended before `families_before`, and whole users before
    /// `users_before`.
    pub fn prune(&self, families_before: Timestamp, users_before: Timestamp) {
        let mut ended = self.ended.write().unwrap_or_else(crate::panics::poisoned);
        ended.retain(|_, ended| {
            ended.families.retain(|(_, at)| *at >= families_before);
            if ended.all.is_some_and(|at| at < users_before) {
                ended.all = None;
                ended.gone = false;
            }
            ended.all.is_some() || !ended.families.is_empty()
        });
    }

    /// How many users have something in the set.
    pub fn len(&self) -> usize {
        self.ended.read().unwrap_or_else(crate::panics::poisoned).len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
    fn one_sign_in_or_everything_until_now_but_not_what_comes_after() {
        let set = Revocations::default();
        set.note(&Revocation { user: user(), family: Some(family(1)), at: at(50), final_: false });
        assert_eq!(set.standing(&claims(1, 60)), Standing::SignedOut, "an ended sign-in stays ended");
        assert_eq!(set.standing(&claims(2, 40)), Standing::Good);
        set.note(&Revocation { user: user(), family: None, at: at(50), final_: false });
        assert_eq!(set.standing(&claims(2, 50)), Standing::SignedOut);
        assert_eq!(set.standing(&claims(2, 51)), Standing::Good, "a later sign-in is meant to work");
        set.note(&Revocation { user: user(), family: None, at: at(50), final_: true });
        assert_eq!(set.standing(&claims(2, 51)), Standing::Gone);
    }

    #[test]
    fn the_observer_hears_each_once() {
        let (set, heard) = (Revocations::default(), Arc::new(AtomicUsize::new(0)));
        let count = heard.clone();
        assert!(set.observe(move |_| _ = count.fetch_add(1, Ordering::SeqCst)));
        let one = Revocation { user: user(), family: Some(family(1)), at: at(1), final_: false };
        let all = Revocation { user: user(), family: None, at: at(2), final_: false };
        for revocation in [one, one, all, all, Revocation { final_: true, ..all }] {
            set.note(&revocation);
        }
        assert_eq!(heard.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn what_concerns_only_expired_tokens_is_forgotten() {
        let set = Revocations::default();
        set.note(&Revocation { user: user(), family: Some(family(1)), at: at(10), final_: false });
        set.note(&Revocation { user: user(), family: None, at: at(10), final_: true });
        set.prune(at(11), at(10));
        assert_eq!(set.standing(&claims(1, 5)), Standing::Gone);
        set.prune(at(11), at(11));
        assert!(set.is_empty());
    }
}
