//! What strangers may do to a user, and who is none.
//!
//! A *contact* of a user is somebody whom the user has written to or accepted. It says nothing about the
//! other direction.

use super::Refusal;

/// Who may do something to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Openness {
    /// Everybody may do it.
    Everyone,
    /// The user's contacts may.
    Contacts,
    /// Nobody may do it.
    Nobody,
}

impl Openness {
    /// All of them, the most open first.
    pub const ALL: [Self; 3] = [Self::Everyone, Self::Contacts, Self::Nobody];
    /// Their names.
    pub const WORDS: [&'static str; 3] = ["everyone", "contacts", "nobody"];

    /// Its name on the wire and in settings.
    pub const fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The one of a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|openness| openness.as_str() == text)
    }

    /// Its number in stores.
    pub const fn as_stored(self) -> i64 {
        self as i64
    }

    /// The one of a stored number; an unknown one is the most careful.
    pub const fn from_stored(number: i64) -> Self {
        match number {
            0 => Self::Everyone,
            1 => Self::Contacts,
            _ => Self::Nobody,
        }
    }

    /// Whether it lets somebody do it who is a contact or is none.
    pub const fn allows(self, contact: bool) -> bool {
        match self {
            Self::Everyone => true,
            Self::Contacts => contact,
            Self::Nobody => false,
        }
    }
}

/// What a user lets others do without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privacy {
    /// Who may write to the user before the user has written to them.
    pub messages: Openness,
    /// Who may add the user to groups and channels.
    pub groups: Openness,
    /// Who of those who share a conversation with the user is sent the user's presence.
    pub presence: Openness,
}

/// What a user changes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrivacyChange {
    /// The new value; `None`: it stays.
    pub messages: Option<Openness>,
    /// The same.
    pub groups: Option<Openness>,
    /// The same.
    pub presence: Option<Openness>,
}

/// The installation's rules about strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentRules {
    /// What applies to users who have chosen nothing.
    pub defaults: Privacy,
    /// Messages that somebody may write to a user who has neither written to them nor accepted them.
    pub stranger_messages: u32,
    /// How long an invitation waits for its user, in milliseconds.
    pub invitation_ms: i64,
    /// Invitations that may wait for one user.
    pub pending_invitations: usize,
    /// A direct conversation in which only one of the two has written shows nobody's presence.
    pub presence_needs_answer: bool,
}

impl ConsentRules {
    /// Nobody is a stranger to anybody.
    pub const fn open() -> Self {
        let everyone = Openness::Everyone;
        let defaults = Privacy { messages: everyone, groups: everyone, presence: everyone };
        Self {
            defaults,
            stranger_messages: u32::MAX,
            invitation_ms: 86_400_000,
            pending_invitations: 100,
            presence_needs_answer: false,
        }
    }
}

/// How somebody is added to a group or a channel by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adding {
    /// At once.
    AtOnce,
    /// The user is invited, and accepts or declines.
    Invited,
}

/// How may a user be added, whose setting is `groups`, by a contact or by somebody who is none?
///
/// # Errors
/// `Blocked`: the user wants to be added by nobody.
pub fn how_to_add(groups: Openness, contact: bool) -> Result<Adding, Refusal> {
    match groups {
        Openness::Nobody => Err(Refusal::Blocked),
        openness if openness.allows(contact) => Ok(Adding::AtOnce),
        _ => Ok(Adding::Invited),
    }
}

/// May one more invitation wait for a user for whom so many wait?
///
/// # Errors
/// `TooLarge`.
pub fn may_wait(waiting: u64, most: usize) -> Result<(), Refusal> {
    if waiting < most as u64 {
        return Ok(());
    }
    Err(Refusal::TooLarge("this user has as many invitations as can wait: they have to answer some first"))
}

/// Somebody writes to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approach {
    /// The sender is a contact of the user.
    pub known: bool,
    /// Whose messages the user takes.
    pub takes: Openness,
    /// How many messages there are between the two. As long as the sender is no contact all are the sender's.
    pub said: u64,
    /// How many there may be as long as the sender is no contact.
    pub most: u32,
}

impl Approach {
    /// One that nothing stands against.
    pub const fn welcome() -> Self {
        Self { known: true, takes: Openness::Everyone, said: 0, most: u32::MAX }
    }
}

/// May the sender write this message? What both have begun goes on. A user who takes no such message is
/// answered for as one who has blocked the sender: so nobody learns which of the two it is.
///
/// # Errors
/// `Blocked`; `Unanswered`.
pub fn may_approach(approach: Approach) -> Result<(), Refusal> {
    let Approach { known, takes, said, most } = approach;
    let goes_on = known && said > 0;
    if !goes_on && !takes.allows(known) {
        return Err(Refusal::Blocked);
    }
    if !known && said >= u64::from(most) {
        return Err(Refusal::Unanswered);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_go_both_ways() {
        for openness in Openness::ALL {
            assert_eq!(Openness::parse(openness.as_str()), Some(openness));
            assert_eq!(Openness::from_stored(openness.as_stored()), openness);
        }
        assert_eq!(Openness::from_stored(9), Openness::Nobody, "of a later release");
    }

    #[test]
    fn a_contact_is_added_and_somebody_else_asks() {
        use Openness::{Contacts, Everyone, Nobody};
        for contact in [false, true] {
            assert_eq!(how_to_add(Everyone, contact), Ok(Adding::AtOnce));
            assert_eq!(how_to_add(Nobody, contact), Err(Refusal::Blocked));
        }
        assert_eq!(how_to_add(Contacts, true), Ok(Adding::AtOnce));
        assert_eq!(how_to_add(Contacts, false), Ok(Adding::Invited));
        assert!(may_wait(1, 2).is_ok() && may_wait(2, 2).is_err());
    }

    #[test]
    fn what_both_have_begun_goes_on_and_a_stranger_says_little() {
        use Openness::{Contacts, Everyone, Nobody};
        for (takes, known, said, allowed) in [
            (Everyone, false, 0, Ok(())),
            (Everyone, false, 1, Ok(())),
            (Everyone, false, 2, Err(Refusal::Unanswered)),
            (Everyone, true, 2, Ok(())),
            (Contacts, false, 0, Err(Refusal::Blocked)),
            (Contacts, false, 2, Err(Refusal::Blocked)),
            (Contacts, true, 0, Ok(())),
            (Nobody, false, 0, Err(Refusal::Blocked)),
            (Nobody, true, 0, Err(Refusal::Blocked)),
            (Nobody, true, 1, Ok(())),
        ] {
            let approach = Approach { known, takes, said, most: 2 };
            assert_eq!(may_approach(approach), allowed, "{approach:?}");
        }
        assert_eq!(may_approach(Approach::welcome()), Ok(()));
    }
}
