//! Changes: each decided by `domain::permissions` on what its own transaction read, each idempotent.

mod membership;
mod message;
mod purge;
mod settings;

use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::journal::{Journal, Recorded};
use super::lane::Phase;
use super::state::room_of;
use crate::domain::{ConversationId, Refusal, Seq, Timestamp, UserId};
use crate::store::shared::room::{Membership, Room, outsider};
use crate::store::shared::roster::Rosters;
use crate::store::sql::{self, Stop};
use crate::store::{Change, Changed, Outcome};

pub(super) use purge::{checkpoint, purge_all};

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
    connection: &'r mut SqliteConnection,
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
        Journal::open(self.connection, self.rosters, self.room, self.now).await
    }
}

pub(super) async fn change(
    store: &SqliteStore,
    actor: UserId,
    conversation: ConversationId,
    change: &Change,
    now: Timestamp,
) -> Outcome<Changed> {
    let phase = Phase::default();
    let work = async {
        let mut transaction = store.writer.begin().await?;
        let worked = in_transaction(store, &mut transaction, actor, conversation, change, now).await;
        transaction.finish(worked, &phase).await
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
    store: &SqliteStore,
    connection: &mut SqliteConnection,
    actor: UserId,
    conversation: ConversationId,
    change: &Change,
    now: Timestamp,
) -> Result<Made, Stop> {
    let (room, standing) = room_of(connection, conversation, actor).await?;
    let Some(room) = room else { return settings::gone(connection, actor, conversation, change).await };
    let most_members = store.limits.group_members;
    let request = Request { connection, rosters: &store.rosters, actor, room, standing, now, most_members };
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
