//! Users and their names.

use std::fmt;

use super::{FamilyId, Timestamp, UserId};

/// The most characters of a name that people are shown.
pub const SHOWN_NAME_CHARS: usize = 64;

/// The most characters of the name of a device.
pub const DEVICE_NAME_CHARS: usize = 64;

/// A user's public profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The unique name for signing in and for search; guests and external users have none.
    pub username: Option<Username>,
    /// The name shown.
    pub display_name: String,
    /// A guest: not claimed yet by a username and password.
    pub guest: bool,
    /// When the profile was created.
    pub created_at: Timestamp,
}

/// A revocation. Every node knows it within a second, with Redis or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// The user whose tokens end.
    pub user: UserId,
    /// One sign-in; `None`: all tokens of the user issued until now.
    pub family: Option<FamilyId>,
    /// When. Tokens issued later are not concerned.
    pub at: Timestamp,
    /// What ends.
    pub kind: RevocationKind,
}

/// What a revocation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationKind {
    /// Sign-ins: connections close with 4401, and the user may sign in again.
    Tokens,
    /// The account is erased: connections close with 4403.
    Erasure,
    /// An operator suspended the account or lifted that. The entry itself does not say which: every reader
    /// looks at the account's present suspension, so the order in which entries arrive does not matter.
    Suspension,
}

/// A unique name: 2 to 32 characters of `a-z 0-9 _ . -`, beginning with a letter or digit, stored in lower
/// case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(String);

/// A text that cannot be a username.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsernameError;

impl fmt::Display for UsernameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("username: 2 to 32 of a-z, 0-9, '_', '.', '-', beginning with a letter or digit")
    }
}

impl std::error::Error for UsernameError {}

impl Username {
    /// The fewest characters it has.
    pub const MIN_CHARS: usize = 2;
    /// The most characters it has.
    pub const MAX_CHARS: usize = 32;
    /// Its characters as a regular expression, for clients that check before they send.
    pub const PATTERN: &str = "[a-z0-9][a-z0-9_.\\-]{1,31}";

    /// Checks a name and folds it to lower case.
    ///
    /// # Errors
    /// [`UsernameError`] when it breaks the rule; its text can be shown to the user.
    pub fn parse(text: &str) -> Result<Self, UsernameError> {
        let folded = text.to_ascii_lowercase();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
        let begins_well = folded.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&folded.len())
            && begins_well
            && folded.bytes().all(allowed)
        {
            Ok(Self(folded))
        } else {
            Err(UsernameError)
        }
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_fold_case_and_keep_to_their_alphabet() {
        assert_eq!(Username::parse("Ada.L-1").map(|name| name.as_str().to_owned()), Ok("ada.l-1".to_owned()));
        for bad in ["", "a", "_ada", "ad a", "adä", &"a".repeat(33)] {
            assert_eq!(Username::parse(bad), Err(UsernameError), "{bad}");
        }
    }
}
