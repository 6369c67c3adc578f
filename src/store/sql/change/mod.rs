//! Changes: one statement reads what a change depends on, the rules decide in memory, one statement writes.
//!
//! On Postgres the two statements are separate transactions: no lock and no transaction number is held while
//! this process computes or the network is slow. The write is conditional on the data that was read
//! ([`super::journal::Guard`]). If that data has changed, everything is repeated. An embedded database has
//! one writer, so the three steps run inside one transaction there.

mod facts;
mod membership;
mod message;
mod settings;

use std::sync::Arc;

use self::facts::Facts;
use super::invitations::{self, Invitation};
use super::journal::{Journal, Key, Recorded, Recorder};
use super::{Backend, Connection, Sql, Stop, statement, values};
use crate::domain::{
    ConsentRules, ConversationId, ConversationKind, LeaveReason, Limits, Refusal, Seq, Timestamp, UserId,
    permissions,
};
use crate::store::shared::columns::Columns;
use crate::store::shared::conversation::{Membership, outsider};
use crate::store::shared::roster::Roster;
use crate::store::{Change, Changed, Invited, Outcome, StoreError, sql};

/// The number of attempts for a change when other transactions change the data that it depends on.
const ATTEMPTS: usize = 10;

/// A change with the values that are known before any read.
#[derive(Debug)]
struct Asked {
    actor: UserId,
    conversation: ConversationId,
    change: Change,
    now: Timestamp,
    limits: Limits,
    consent: ConsentRules,
    /// The cached members.
    known: Option<Roster>,
    /// The account is erased: it leaves every conversation, without a check of permissions.
    erased: bool,
}

/// The decision of the rules on a change.
#[derive(Debug)]
enum Decision {
    /// The requested state already exists, since the event at this seq.
    Before(Seq),
    Write(Box<Journal>),
    /// The user is asked first.
    Invite(Box<Invitation>),
    /// The user was asked already.
    Invited,
}

/// A change with all facts for the decision.
struct Request<'r> {
    asked: &'r Asked,
    facts: Facts,
}

impl Request<'_> {
    fn actor(&self) -> UserId {
        self.asked.actor
    }

    /// The actor's membership, or the refusal for a user who is not a member.
    fn member(&self) -> Result<&Membership, Refusal> {
        self.facts.actor.as_ref().ok_or_else(|| outsider(Some(&self.facts.stored)))
    }

    /// A journal that is valid as long as the actor's membership stays the same.
    fn journal(&self) -> Journal {
        let facts = &self.facts;
        let mut journal = Journal::new(self.actor(), &facts.stored, facts.roster.as_ref(), self.asked.now);
        journal.guard.rely_on(self.actor(), facts.actor.as_ref());
        journal
    }

    /// Checks that the actor, a member, may add new content, also by an edit or a reaction.
    fn may_speak(&self) -> Result<(), Refusal> {
        if permissions::is_blocked(self.facts.pair_block) {
            return Err(Refusal::Blocked);
        }
        permissions::may_speak(self.member()?.member.muted_until, self.asked.now)
    }

    /// A journal that is valid as long as [`Request::may_speak`] allows it.
    fn journal_of_speech(&self) -> Journal {
        let mut journal = self.journal();
        if let Some((low, high)) = self.facts.stored.pair {
            journal.guard.rely_on_no_block(low, high);
        }
        journal
    }

    /// A journal that is valid as long as the membership of `user` stays the same too.
    fn journal_about(&self, user: UserId) -> Journal {
        let mut journal = self.journal();
        if user != self.actor() {
            journal.guard.rely_on(user, self.facts.subject.membership.as_ref());
        }
        journal
    }
}

/// Decides on a change. No input or output.
fn decide(asked: &Asked, facts: Option<Facts>) -> Result<Decision, Refusal> {
    let Some(facts) = facts else { return Err(Refusal::NotFound) };
    let over = facts.stored.deleted;
    let request = Request { asked, facts };
    match &asked.change {
        Change::DeleteConversation if over => settings::deleted_before(&request),
        _ if over => Err(Refusal::NotFound),
        Change::Leave { user } if asked.erased => membership::end(&request, *user, LeaveReason::Erased),
        Change::Edit { target, body, client_id } => message::edit(&request, *target, body, *client_id),
        Change::Delete { .. } => message::delete(&request),
        Change::React { emoji, on, .. } => message::react(&request, emoji, *on),
        Change::Join { user, role } => membership::join(&request, *user, *role),
        Change::Leave { user } => membership::leave(&request, *user),
        Change::SetRole { user, role } => membership::set_role(&request, *user, *role),
        Change::Mute { user, duration_ms } => membership::mute(&request, *user, *duration_ms),
        Change::Ban { user, until, reason } => membership::ban(&request, *user, *until, reason.as_deref()),
        Change::Configure(changes) => settings::configure(&request, changes),
        Change::DeleteConversation => settings::delete(&request),
    }
}

/// Reads the facts for a change and decides on it.
async fn look<C: Connection>(connection: &mut C, asked: &Asked) -> Result<Decision, Stop> {
    let facts = Facts::read(connection, asked).await?;
    Ok(decide(asked, facts)?)
}

/// Writes what was decided; `None` when what it was decided on holds no more.
async fn write<C: Recorder>(connection: &mut C, journal: &Journal) -> sql::Result<Option<Recorded>> {
    let written = connection.write(journal).await?;
    Ok(written.map(|written| journal.close(written)))
}

/// Does all three steps in one transaction, without other writers in between.
async fn at_once<C: Connection + Recorder>(
    connection: &mut C,
    asked: &Asked,
) -> Result<Option<Recorded>, Stop> {
    match look(connection, asked).await? {
        Decision::Before(seq) => Ok(Some(Recorded::before(seq))),
        Decision::Write(journal) => Ok(write(connection, &journal).await?),
        Decision::Invite(invitation) => {
            Ok(Some(Recorded::invited(invitations::invite(connection, &invitation).await?)))
        }
        Decision::Invited => Ok(Some(Recorded::invited(false))),
    }
}

async fn carry_out<B: Backend>(backend: &B, mut asked: Asked) -> Outcome<Changed> {
    if asked.conversation.kind() != ConversationKind::Channel {
        asked.known = backend.rosters().cached(asked.conversation);
    }
    let recorded = match record(backend, asked).await? {
        Ok(recorded) => recorded,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Recorded { seq, author, committed, invited, roster } = recorded;
    backend.rosters().keep(roster);
    Ok(Ok(Changed { seq, author, committed, invited }))
}

async fn record<B: Backend>(backend: &B, asked: Asked) -> Outcome<Recorded> {
    if B::ONE_WRITER {
        let done = backend.write(asked, |connection, asked| Box::pin(at_once(connection, asked))).await?;
        return match done {
            Ok(Some(recorded)) => Ok(Ok(recorded)),
            Ok(None) => Err(StoreError::Inconsistent("a change was overtaken inside its transaction".into())),
            Err(refusal) => Ok(Err(refusal)),
        };
    }
    let asked = Arc::new(asked);
    for _ in 0..ATTEMPTS {
        let looked = backend.read(Arc::clone(&asked), |connection, asked| Box::pin(look(connection, asked)));
        let journal = match looked.await? {
            Ok(Decision::Write(journal)) => journal,
            Ok(Decision::Before(seq)) => return Ok(Ok(Recorded::before(seq))),
            Ok(Decision::Invited) => return Ok(Ok(Recorded::invited(false))),
            Ok(Decision::Invite(invitation)) => {
                let invited = backend.write(invitation, |connection, invitation| {
                    Box::pin(invitations::invite(connection, invitation))
                });
                return Ok(invited.await?.map(Recorded::invited));
            }
            Err(refusal) => return Ok(Err(refusal)),
        };
        let written = backend.once(journal, |connection, journal| Box::pin(write(connection, journal)));
        if let Some(recorded) = written.await? {
            return Ok(Ok(recorded));
        }
        rare!(ChangeOvertaken);
    }
    Err(StoreError::definite("others kept changing what this change depends on"))
}

/// Makes a change.
pub(in crate::store) async fn change<B: Backend>(
    backend: &B,
    actor: UserId,
    conversation: ConversationId,
    change: &Change,
    now: Timestamp,
) -> Outcome<Changed> {
    let (limits, consent) = (*backend.limits(), *backend.consent());
    let change = change.clone();
    let asked = Asked { actor, conversation, change, now, limits, consent, known: None, erased: false };
    carry_out(backend, asked).await
}

const OF_DELETED: Sql = statement!(
    "DELETE FROM members WHERE user_id = $1 AND EXISTS ( \
     SELECT 1 FROM conversations c WHERE c.id = members.conversation AND c.deleted_at IS NOT NULL)",
);
const MEMBERSHIPS: Sql =
    statement!("SELECT conversation FROM members WHERE user_id = $1 ORDER BY conversation LIMIT 20");
/// Mutes and bans of an erased user.
const RESTRICTIONS: [Sql; 2] =
    [statement!("DELETE FROM mutes WHERE user_id = $1"), statement!("DELETE FROM bans WHERE user_id = $1")];

/// Some conversations of an erased user. For deleted conversations only the user's row is left, and it is
/// deleted here. A user without a membership cannot be muted any more, and an erased one cannot join, so
/// mutes and bans are deleted too.
async fn memberships<C: Connection>(connection: &mut C, user: UserId) -> sql::Result<Vec<ConversationId>> {
    connection.run(&OF_DELETED, values![user]).await?;
    let rows = connection.all(&MEMBERSHIPS, values![user]).await?;
    if rows.is_empty() {
        for sql in &RESTRICTIONS {
            connection.run(sql, values![user]).await?;
        }
    }
    rows.iter().map(|row| row.conversation(0)).collect()
}

/// Ends some memberships of an erased account in the caller's transaction; `None` when there are none left.
pub(in crate::store) async fn end_memberships<C: Connection + Recorder>(
    connection: &mut C,
    user: UserId,
    now: Timestamp,
) -> Result<Option<Vec<Recorded>>, Stop> {
    let some = memberships(connection, user).await?;
    let mut ended = Vec::with_capacity(some.len());
    for conversation in some.iter().copied() {
        let change = Change::Leave { user };
        let (limits, consent) = (Limits::default(), ConsentRules::open());
        let asked =
            Asked { actor: user, conversation, change, now, limits, consent, known: None, erased: true };
        match at_once(connection, &asked).await {
            Ok(recorded) => ended.extend(recorded),
            // The conversation was deleted in the meantime; the next step handles that.
            Err(Stop::Refused(_)) => {}
            Err(failed) => return Err(failed),
        }
    }
    Ok((!some.is_empty()).then_some(ended))
}

impl Recorded {
    /// Nothing was written: the state existed before.
    fn before(seq: Seq) -> Self {
        Self { seq, author: None, committed: Vec::new(), invited: None, roster: None }
    }

    /// No event: the user is asked first. `now`: by this call.
    fn invited(now: bool) -> Self {
        let invited = if now { Invited::Now } else { Invited::Before };
        Self { invited: Some(invited), ..Self::before(Seq::ZERO) }
    }
}
