//! The audit log: who did what to whom, in an order that nobody can change unnoticed.

use sha2::{Digest, Sha256};

use super::{ConversationId, Timestamp, UserId};

/// The hash of what precedes the first entry.
pub const FIRST_PREVIOUS: [u8; 32] = [0; 32];

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditActor {
    /// An operator, by the name that was given with the command.
    Operator(String),
    /// A user.
    User(UserId),
    /// Somebody who did not sign in, such as a guesser of passwords.
    Anonymous,
    /// The server itself.
    Server,
}

impl AuditActor {
    /// The actor as one text: `operator:NAME`, `user:ID`, `anonymous` or `server`.
    pub fn text(&self) -> String {
        match self {
            Self::Operator(name) => format!("operator:{name}"),
            Self::User(id) => format!("user:{id}"),
            Self::Anonymous => "anonymous".to_owned(),
            Self::Server => "server".to_owned(),
        }
    }
}

/// Writes [`AuditAction`] and the name of each action from one table.
macro_rules! actions {
    ($($variant:ident = $name:literal, $meaning:literal;)+) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum AuditAction {
            $(#[doc = $meaning] $variant,)+
        }

        impl AuditAction {
            /// Its name in the log.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

actions! {
    SignUp = "sign_up", "an account or a guest was created";
    SignIn = "sign_in", "somebody signed in with a password, or as a guest again";
    SignInFailed = "sign_in_failed", "a username, a password or a code was wrong or missing; `details` has the username";
    SignInRefused = "sign_in_refused", "a suspended account was refused";
    RefreshReused = "refresh_reused", "a used refresh token came again, and its sign-in was ended";
    SignOut = "sign_out", "a user ended a sign-in, or all of them";
    PasswordChanged = "password_changed", "a user changed the password";
    OneTimePassword = "one_time_password", "an operator set a password that signs in once";
    SecondFactorSet = "second_factor_set", "a user confirmed a second factor";
    SecondFactorEnded = "second_factor_ended", "a user or an operator ended a second factor";
    Claimed = "claimed", "a guest took a username and a password";
    Erased = "erased", "an account was erased by its owner or by an operator";
    Suspended = "suspended", "an operator suspended an account; `details` has the end and the reason";
    SuspensionLifted = "suspension_lifted", "an operator ended a suspension";
    SignInsEnded = "sign_ins_ended", "an operator ended all sign-ins of an account";
    Exported = "exported", "an operator exported what is stored of an account";
    LookedUp = "looked_up", "an operator searched for users, or looked at one";
    AuditRead = "audit_read", "an operator read the audit log";
    Moderated = "moderated", "an owner or admin changed a conversation, a member or another user's message";
    EntriesLost = "entries_lost", "entries that did not fit into the queue; `details` has their number";
}

/// An entry before it gets its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it happened, by the clock of the process.
    pub at: Timestamp,
    /// Who acted.
    pub actor: AuditActor,
    /// What was done.
    pub action: AuditAction,
    /// The user to whom it was done.
    pub subject: Option<UserId>,
    /// The conversation in which it was done.
    pub conversation: Option<ConversationId>,
    /// The address it came from, where it is known.
    pub address: Option<String>,
    /// What else belongs to it.
    pub details: Option<String>,
}

impl AuditEntry {
    /// An entry without subject, place, address and details.
    pub const fn new(at: Timestamp, actor: AuditActor, action: AuditAction) -> Self {
        Self { at, actor, action, subject: None, conversation: None, address: None, details: None }
    }

    /// The same with the user to whom it was done.
    #[must_use]
    pub const fn to(mut self, subject: UserId) -> Self {
        self.subject = Some(subject);
        self
    }

    /// The same with what else belongs to it.
    #[must_use]
    pub fn with(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    /// The entry as it is stored and hashed.
    pub fn fields(&self) -> AuditFields {
        AuditFields {
            at: self.at,
            actor: self.actor.text(),
            action: self.action.as_str().to_owned(),
            subject: self.subject.map(|id| id.to_string()),
            conversation: self.conversation.map(|id| id.to_string()),
            address: self.address.clone(),
            details: self.details.clone(),
        }
    }
}

/// The texts of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFields {
    /// When it happened.
    pub at: Timestamp,
    /// See [`AuditActor::text`].
    pub actor: String,
    /// See [`AuditAction::as_str`].
    pub action: String,
    /// The id of the user to whom it was done.
    pub subject: Option<String>,
    /// The id of the conversation in which it was done.
    pub conversation: Option<String>,
    /// The address it came from.
    pub address: Option<String>,
    /// What else belongs to it.
    pub details: Option<String>,
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Its number. The first entry has 1, and each has one more than the one before it.
    pub id: u64,
    /// What it says.
    pub fields: AuditFields,
    /// The hash of the entry before it; [`FIRST_PREVIOUS`] for the first.
    pub previous: [u8; 32],
    /// [`hash`] of this entry.
    pub hash: [u8; 32],
}

/// The hash of an entry: SHA-256 over the hash before it, its number, its time in milliseconds since 1970,
/// and its texts in the order of [`AuditFields`]. Numbers are 8 bytes, the highest first. Before each text
/// comes its length in bytes; a missing text has the length 2⁶⁴ − 1.
pub fn hash(previous: &[u8; 32], id: u64, fields: &AuditFields) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(id.to_be_bytes());
    hasher.update(fields.at.as_unix_ms().to_be_bytes());
    let texts = [
        Some(fields.actor.as_str()),
        Some(fields.action.as_str()),
        fields.subject.as_deref(),
        fields.conversation.as_deref(),
        fields.address.as_deref(),
        fields.details.as_deref(),
    ];
    for text in texts {
        match text {
            Some(text) => {
                hasher.update((text.len() as u64).to_be_bytes());
                hasher.update(text.as_bytes());
            }
            None => hasher.update(u64::MAX.to_be_bytes()),
        }
    }
    hasher.finalize().into()
}

/// Checks a stretch of the log, given in order. `before`: the entry before the stretch; `None` at the
/// beginning of what is kept, whose earlier entries retention may have removed.
///
/// # Errors
/// The number of the first entry that was changed, moved or put in, or that follows a removed one.
pub fn verify(before: Option<&Audited>, stretch: &[Audited]) -> Result<(), u64> {
    let mut before = before.map(|entry| (entry.id, entry.hash));
    for entry in stretch {
        let follows = match before {
            Some((id, hash)) => entry.id == id + 1 && entry.previous == hash,
            None => entry.id != 1 || entry.previous == FIRST_PREVIOUS,
        };
        if !follows || entry.hash != hash(&entry.previous, entry.id, &entry.fields) {
            return Err(entry.id);
        }
        before = Some((entry.id, entry.hash));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(details: &[&str]) -> Vec<Audited> {
        let mut previous = FIRST_PREVIOUS;
        let entries = details.iter().enumerate().map(|(at, details)| {
            let entry = AuditEntry::new(
                Timestamp::from_unix_ms(at as i64),
                AuditActor::Operator("ada".to_owned()),
                AuditAction::LookedUp,
            );
            let (id, fields) = (at as u64 + 1, entry.with(*details).fields());
            let hash = hash(&previous, id, &fields);
            let audited = Audited { id, fields, previous, hash };
            previous = hash;
            audited
        });
        entries.collect()
    }

    #[test]
    fn a_changed_a_removed_and_an_inserted_entry_are_found() {
        let good = chain(&["a", "b", "c", "d"]);
        assert_eq!(verify(None, &good), Ok(()));
        assert_eq!(verify(Some(&good[1]), &good[2..]), Ok(()));
        let mut changed = good.clone();
        changed[1].fields.details = Some("x".to_owned());
        assert_eq!(verify(None, &changed), Err(2));
        changed[1].hash = hash(&changed[1].previous, 2, &changed[1].fields);
        assert_eq!(verify(None, &changed), Err(3), "who hashes again breaks the next");
        let removed = [&good[..1], &good[2..]].concat();
        assert_eq!(verify(None, &removed), Err(3));
        let swapped = [good[0].clone(), good[2].clone(), good[1].clone()];
        assert_eq!(verify(None, &swapped), Err(3));
        assert_eq!(verify(None, &good[2..]), Ok(()), "what retention removed is missing from the beginning");
    }

    #[test]
    fn the_end_of_one_text_is_not_the_beginning_of_the_next() {
        let entry = AuditEntry::new(Timestamp::from_unix_ms(0), AuditActor::Server, AuditAction::SignIn);
        let mut one = entry.fields();
        let mut other = one.clone();
        one.address = Some("ab".to_owned());
        other.details = Some("ab".to_owned());
        assert_ne!(hash(&FIRST_PREVIOUS, 1, &one), hash(&FIRST_PREVIOUS, 1, &other));
    }
}
