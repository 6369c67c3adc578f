//! Accounts that an operator keeps out.

use super::Timestamp;

/// An operator keeps an account out of the whole installation until a time. Its content and memberships stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// The end; [`Timestamp::LATEST`] where there is none.
    pub until: Timestamp,
    /// The operator's words, which the user is shown.
    pub reason: Option<String>,
}

impl Suspension {
    /// How long it lasts still, in milliseconds; `None` when it has ended. It ends at its time.
    pub fn left_ms(&self, now: Timestamp) -> Option<u64> {
        u64::try_from(self.until.ms_since(now)).ok().filter(|left_ms| *left_ms > 0)
    }
}

/// Whether an account may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountState {
    /// There is no such account, or it was erased.
    Gone,
    /// It is there. A suspension may have ended since it was stored.
    Living(Option<Suspension>),
}

impl AccountState {
    /// Whether the account exists and is not erased.
    pub const fn is_living(&self) -> bool {
        matches!(self, Self::Living(_))
    }

    /// The suspension that keeps the account out at `now`.
    pub fn suspension(self, now: Timestamp) -> Option<Suspension> {
        match self {
            Self::Gone => None,
            Self::Living(suspension) => suspension.filter(|suspension| suspension.left_ms(now).is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_ends_at_its_time() {
        let at = Timestamp::from_unix_ms;
        let suspension = Suspension { until: at(50), reason: None };
        assert_eq!(suspension.left_ms(at(49)), Some(1));
        assert_eq!(suspension.left_ms(at(50)), None);
        assert_eq!(
            AccountState::Living(Some(suspension.clone())).suspension(at(49)),
            Some(suspension.clone())
        );
        assert_eq!(AccountState::Living(Some(suspension)).suspension(at(50)), None);
        let endless = Suspension { until: Timestamp::LATEST, reason: None };
        assert!(endless.left_ms(at(i64::from(u32::MAX) * 1_000)).is_some());
    }
}
