//! Changes: each decided by `domain::permissions` on what its own transaction read, each idempotent.

mod membership;
mod message;
mod purge;
mod settings;

use super::PostgresStore;
use super::journal::{Journal, Recorded};
use super::lane::Phase;
use super::link::Link;
use super::state::begin_locked;
use super::work::ATTEMPTS;
use crate::domain::{ConversationId, Refusal, Seq, Timestamp, UserId};
use crate::store::shared::room::{Membership, Room, outsider};
use crate::store::shared::roster::Rosters;
use crate::store::sql::{self, Stop};
use crate::store::{Change, Changed, Outcome};

pub(super) use purge::purge_all;

/// The event that made it so, and what was recorded now.
struct Made {
    seq: Seq,
    recorded: Recorded,
}

impl Made {
    /// What was asked for holds already, since the event at `seq`.
    fn before(seq: Seq) -> Self {
        Self { seq, recorded: Recorded::default() }
    }
}

/// A change with everything that it is decided on.
struct Request<'r> {
    link: &'r mut Link,
    rosters: &'r Rosters,
    actor: UserId,
    room: Room,
    /// The actor's membership.
    standing: Option<Membership>,
    now: Timestamp,
    most_members: usize,
}

impl<'r> Request<'r> {
    /// The actor's membership, or what an outsider is told.
    fn member(&self) -> Result<&Membership, Refusal> {
        self.standing.as_ref().ok_or_else(|| outsider(Some(&self.room)))
    }

    async fn journal(self) -> sql::Result<Journal<'r>> {
        Journal::open(self.link, self.rosters, self.room, self.now).await
    }
}

pub(super) async fn change(
    store: &PostgresStore,
    actor: UserId,
    conversation: ConversationId,
    change: &Change,
    now: Timestamp,
) -> Outcome<Changed> {
    let phase = Phase::default();
    let work = async {
        let mut attempts = ATTEMPTS;
        loop {
            let mut transaction = store.writer.unbegun().await?;
            let worked = match begin_locked(&mut transaction, conversation, actor).await {
                Ok(found) => {
                    in_transaction(store, &mut transaction, found, conversation, actor, change, now).await
                }
                Err(error) => Err(error.into()),
            };
            attempts -= 1;
            match worked {
                Err(Stop::Failed(error)) if attempts > 0 && error.worth_another() => {
                    transaction.abandon(&error).await;
                }
                worked => break transaction.finish(worked, &phase).await,
            }
        }
    };
    let made = match phase.bound(store.timeout, work).await? {
        Ok(made) => made,
        Err(refusal) => return Ok(Err(refusal)),
    };
    for (conversation, roster) in made.recorded.rosters {
        store.rosters.keep(conversation, roster).await;
    }
    if matches!(change, Change::DeleteConversation) && !made.recorded.committed.is_empty() {
        purge::after_commit(store, conversation).await;
    }
    Ok(Ok(Changed { seq: made.seq, committed: made.recorded.committed }))
}

async fn in_transaction(
    store: &PostgresStore,
    link: &mut Link,
    (room, standing): (Option<Room>, Option<Membership>),
    conversation: ConversationId,
    actor: UserId,
    change: &Change,
    now: Timestamp,
) -> Result<Made, Stop> {
    let Some(room) = room else { return settings::gone(link, actor, conversation, change).await };
    let most_members = store.limits.group_members;
    let request = Request { link, rosters: &store.rosters, actor, room, standing, now, most_members };
    match change {
        Change::Edit { target, body } => message::edit(request, *target, body).await,
        Change::Delete { target } => message::delete(request, *target).await,
        Change::React { target, emoji, on } => message::react(request, *target, emoji, *on).await,
        Change::Join { user, role } => membership::join(request, *user, *role).await,
        Change::Leave { user } => membership::leave(request, *user).await,
        Change::SetRole { user, role } => membership::set_role(request, *user, *role).await,
        Change::Configure(changes) => settings::configure(request, changes).await,
        Change::DeleteConversation => settings::delete(request).await,
    }
}

/// Text that every backend can hold.
fn storable(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        Err(Refusal::Invalid(format!("{field}: must not contain the character NUL").into()))
    } else {
        Ok(())
    }
}
