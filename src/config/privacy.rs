//! `[privacy]`: what strangers may do to users who have chosen nothing.

use serde::{Deserialize, Deserializer, de};

use super::problems::SectionProblems;
use super::units::not_a_choice;
use crate::domain::{ConsentRules, Openness, Privacy};

const DAY_MS: i64 = 86_400_000;

/// `[privacy]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacySettings {
    /// Who may write to a user first.
    #[serde(deserialize_with = "openness")]
    pub messages: Openness,
    /// Who may add a user to groups and channels.
    #[serde(deserialize_with = "openness")]
    pub groups: Openness,
    /// Who of those who share a conversation sees a user's presence.
    #[serde(deserialize_with = "openness")]
    pub presence: Openness,
    /// Messages that a stranger may write before an answer.
    pub stranger_messages: u32,
    /// Days for which an invitation waits.
    pub invitation_days: u16,
    /// Invitations that wait for one user.
    pub pending_invitations: usize,
}

impl PrivacySettings {
    /// The rules that the store decides by.
    pub fn to_domain(&self) -> ConsentRules {
        let Self { messages, groups, presence, stranger_messages, invitation_days, pending_invitations } =
            *self;
        ConsentRules {
            defaults: Privacy { messages, groups, presence },
            stranger_messages,
            invitation_ms: i64::from(invitation_days) * DAY_MS,
            pending_invitations,
            presence_needs_answer: true,
        }
    }

    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("stranger_messages", self.stranger_messages, 1, 1_000_000);
        problems.range("invitation_days", self.invitation_days, 1, 3_650);
        problems.range("pending_invitations", self.pending_invitations, 1, 200);
    }
}

fn openness<'de, D: Deserializer<'de>>(value: D) -> Result<Openness, D::Error> {
    let word = String::deserialize(value)?;
    Openness::parse(&word).ok_or_else(|| de::Error::custom(not_a_choice(&word, &Openness::WORDS)))
}
