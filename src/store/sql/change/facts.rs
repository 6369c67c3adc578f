//! The facts that decide a change, read in one statement from one snapshot.

use super::Asked;
use crate::domain::permissions::Block;
use crate::domain::quotas::day_of;
use crate::domain::{ConversationId, ConversationKind, Openness, Role, Seq, Timestamp, UserId};
use crate::store::Change;
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::conversation::{CONVERSATION_COLUMNS, ConversationRow, MEMBER_COLUMNS, Membership};
use crate::store::shared::roster::Roster;
use crate::store::sql::journal::Given;
use crate::store::sql::{Connection, Result, Sql, conversations, statement, values};

/// A conversation with all facts that a change of it may depend on.
#[derive(Debug)]
pub(super) struct Facts {
    pub stored: ConversationRow,
    /// The actor's membership.
    pub actor: Option<Membership>,
    /// The membership of the user whom the change concerns.
    pub subject: Subject,
    /// The message that the change concerns.
    pub message: Option<Message>,
    /// The blocks between the two users of a direct conversation.
    pub pair_block: Block,
    pub reaction: Reaction,
    /// The result of an earlier change with the same key.
    pub before: Option<Before>,
    /// The member who becomes owner when the owner leaves.
    pub heir: Option<UserId>,
    /// The number of admins, counted if the change may add one.
    pub admins: i64,
    /// What a join adds to.
    pub counted: Counted,
    /// The members of a direct conversation or a group.
    pub roster: Option<Roster>,
    /// The user who deleted the conversation, if it is deleted.
    pub ended_by: Option<UserId>,
}

#[derive(Debug)]
pub(super) struct Subject {
    pub membership: Option<Membership>,
    /// The event that ended the last membership.
    pub left_seq: Option<Seq>,
    /// The account exists and is not erased.
    pub lives: bool,
    /// Until when an admin keeps the user out; it may be in the past.
    pub banned_until: Option<Timestamp>,
    pub block: Block,
    /// The actor is a contact of theirs.
    pub knows_actor: bool,
    /// Who may add them, if they have chosen.
    pub groups: Option<Openness>,
    /// An invitation that has not ended.
    pub invitation: Option<Invitation>,
}

/// An invitation of the user whom the change concerns.
#[derive(Debug)]
pub(super) struct Invitation {
    pub by: UserId,
    /// Who invited is a member, and there is no block between the two.
    pub role: Option<Role>,
    pub declined: bool,
}

/// Counted if somebody may become a member.
#[derive(Debug)]
pub(super) struct Counted {
    /// The groups and channels of the user whom the change concerns, at most as many as there may be.
    pub conversations: u64,
    /// The people whom the actor has added today.
    pub added: u64,
    /// The invitations that wait for the user whom the change concerns.
    pub waiting: u64,
}

#[derive(Debug)]
pub(super) struct Message {
    pub seq: Seq,
    pub sender: UserId,
    pub body: Option<String>,
    pub deleted: bool,
    pub edit_seq: Option<Seq>,
    pub delete_seq: Option<Seq>,
}

#[derive(Debug)]
pub(super) struct Reaction {
    /// The actor's latest reaction event for this emoji, on or off.
    pub said: Option<(bool, Seq)>,
    pub given: Given,
}

#[derive(Debug)]
pub(super) struct Before {
    pub conversation: ConversationId,
    pub seq: Seq,
    /// `None`: the content that it was computed from is erased.
    pub fingerprint: Option<i64>,
}

const FACTS: Sql = statement!(
    "SELECT {conversation_columns}, {member_columns m}, {member_columns s}, d.left_seq, u.id, {banned_until $3 $1}, \
     {has_blocked $2 $3}, {has_blocked $3 $2}, {has_blocked c.low c.high}, {has_blocked c.high c.low}, \
     e.sender, e.body, e.deleted, e.edit_seq, e.delete_seq, r.is_on, r.event_seq, \
     (SELECT count(*) FROM reaction_counts x WHERE x.conversation = $1 AND x.seq = $4 AND x.emoji <> $5), \
     (SELECT count(*) FROM reactions x \
      WHERE x.user_id = $2 AND x.conversation = $1 AND x.seq = $4 AND x.is_on AND x.emoji <> $5), \
     k.conversation, k.seq, k.fingerprint, \
     CASE WHEN $7 THEN coalesce( \
         (SELECT h.user_id FROM members h WHERE h.conversation = $1 AND h.role = {role_admin} ORDER BY h.joined_seq LIMIT 1), \
         (SELECT h.user_id FROM members h WHERE h.conversation = $1 AND h.role = {role_member} ORDER BY h.joined_seq LIMIT 1)) \
     END, \
     CASE WHEN $9 THEN ( \
         SELECT count(*) FROM ( \
             SELECT 1 FROM members h WHERE h.conversation = $1 AND h.role = {role_admin} LIMIT {most_admins}) h) \
     ELSE 0 END, \
     CASE WHEN $10 IS NOT NULL THEN {groups_of $3 $11} ELSE 0 END, \
     CASE WHEN $10 IS NOT NULL THEN {people_added $2 $10} ELSE 0 END, \
     CASE WHEN $10 IS NOT NULL THEN {waiting_for $3 $12 $13} ELSE 0 END, \
     {knows $3 $2}, {chosen_groups $3}, i.invited_by, i.declined, CASE WHEN NOT {is_blocked $3 i.invited_by} THEN v.role END, \
     CASE WHEN c.deleted_at IS NOT NULL THEN ( \
         SELECT l.sender FROM events l WHERE l.conversation = $1 AND l.seq = c.last_seq) \
     END, \
     CASE WHEN c.kind <> {channel} AND c.members_version IS DISTINCT FROM $8 THEN {members_of $1} END, \
     CASE WHEN c.kind <> {channel} AND c.members_version IS DISTINCT FROM $8 THEN {joins_of $1} END \
     FROM conversations c \
     LEFT JOIN members m ON m.user_id = $2 AND m.conversation = c.id \
     LEFT JOIN members s ON s.user_id = $3 AND s.conversation = c.id \
     LEFT JOIN departures d ON d.user_id = $3 AND d.conversation = c.id \
     LEFT JOIN users u ON u.id = $3 AND u.erased_at IS NULL \
     LEFT JOIN invitations i ON $10 IS NOT NULL AND i.user_id = $3 AND i.conversation = c.id AND i.ends_at > $12 \
     LEFT JOIN members v ON v.user_id = i.invited_by AND v.conversation = c.id \
     LEFT JOIN events e ON e.conversation = $1 AND e.seq = $4 AND e.kind = {message} \
     LEFT JOIN reactions r ON r.user_id = $2 AND r.conversation = $1 AND r.seq = $4 AND r.emoji = $5 \
     LEFT JOIN sends k ON k.sender = $2 AND k.client_id = $6 \
     WHERE c.id = $1"
);

const ACTOR: usize = CONVERSATION_COLUMNS;
const SUBJECT: usize = ACTOR + MEMBER_COLUMNS;
const LEFT: usize = SUBJECT + MEMBER_COLUMNS;
const BLOCKS: usize = LEFT + 3;
const MESSAGE: usize = BLOCKS + 4;
const REACTION: usize = MESSAGE + 5;
const KEY: usize = REACTION + 4;
const HEIR: usize = KEY + 3;
const COUNTED: usize = HEIR + 2;
const INVITATION: usize = COUNTED + 5;
const ROSTER: usize = INVITATION + 4;

impl Facts {
    /// `None` when the conversation does not exist and never existed.
    pub(super) async fn read<C: Connection>(connection: &mut C, asked: &Asked) -> Result<Option<Self>> {
        let change = &asked.change;
        let target = change.target();
        let emoji = if let Change::React { emoji, .. } = change { Some(emoji.as_str()) } else { None };
        let client_id = if let Change::Edit { client_id, .. } = change { *client_id } else { None };
        // Somebody may have to take over from an owner, and there may be one admin more.
        let (heir, admins) = (matches!(change, Change::Leave { .. }), change.role() > Some(Role::Member));
        let known = asked.known.as_ref().map(|roster| roster.version);
        let joins = matches!(change, Change::Join { .. });
        let (day, most) = (joins.then(|| day_of(asked.now)), asked.limits.conversations as i64);
        let most_waiting = asked.consent.pending_invitations as i64;
        let row = connection
            .optional(
                &FACTS,
                values![
                    asked.conversation,
                    asked.actor,
                    change.user(),
                    target.map(Seq::as_stored),
                    emoji,
                    client_id,
                    heir,
                    known,
                    admins,
                    day,
                    most,
                    asked.now,
                    most_waiting
                ],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let stored =
            ConversationRow::read(&row, 0)?.ok_or_else(|| impossible("a conversation without an id"))?;
        let roster = roster(&row, &stored, asked.known.as_ref())?;
        Ok(Some(Self {
            actor: Membership::read(&row, ACTOR)?,
            subject: Subject {
                membership: Membership::read(&row, SUBJECT)?,
                left_seq: seq_or_null(&row, LEFT)?,
                lives: row.uuid_or_null(LEFT + 1)?.is_some(),
                banned_until: row.int_or_null(LEFT + 2)?.map(Timestamp::from_unix_ms),
                block: block(&row, BLOCKS)?,
                knows_actor: row.flag(COUNTED + 3)?,
                groups: row.int_or_null(COUNTED + 4)?.map(Openness::from_stored),
                invitation: invitation(&row)?,
            },
            pair_block: block(&row, BLOCKS + 2)?,
            message: message(&row, target)?,
            reaction: reaction(&row)?,
            before: before(&row)?,
            heir: row.user_or_null(HEIR)?,
            admins: row.int(HEIR + 1)?,
            counted: Counted {
                conversations: row.count(COUNTED)?,
                added: row.count(COUNTED + 1)?,
                waiting: row.count(COUNTED + 2)?,
            },
            ended_by: row.user_or_null(INVITATION + 3)?,
            roster,
            stored,
        }))
    }
}

fn block(row: &impl Columns, at: usize) -> Result<Block> {
    Ok(Block { by_actor: row.flag(at)?, by_other: row.flag(at + 1)? })
}

fn seq_or_null(row: &impl Columns, column: usize) -> Result<Option<Seq>> {
    Ok(row.int_or_null(column)?.map(Seq::from_stored))
}

fn invitation(row: &impl Columns) -> Result<Option<Invitation>> {
    let Some(by) = row.user_or_null(INVITATION)? else { return Ok(None) };
    let role = row.int_or_null(INVITATION + 2)?;
    let role = role.map(|role| Role::from_stored(i16::try_from(role).unwrap_or_default()));
    Ok(Some(Invitation { by, role, declined: row.flag(INVITATION + 1)? }))
}

fn message(row: &impl Columns, target: Option<Seq>) -> Result<Option<Message>> {
    let Some((seq, sender)) = target.zip(row.user_or_null(MESSAGE)?) else { return Ok(None) };
    Ok(Some(Message {
        seq,
        sender,
        body: row.text_or_null(MESSAGE + 1)?,
        deleted: row.flag(MESSAGE + 2)?,
        edit_seq: seq_or_null(row, MESSAGE + 3)?,
        delete_seq: seq_or_null(row, MESSAGE + 4)?,
    }))
}

fn reaction(row: &impl Columns) -> Result<Reaction> {
    let on = row.int_or_null(REACTION)?.map(|on| on != 0);
    let said = on.zip(seq_or_null(row, REACTION + 1)?);
    Ok(Reaction {
        said,
        given: Given {
            said_seq: said.map_or(Seq::ZERO, |(_, seq)| seq),
            others: row.count(REACTION + 2)?,
            own: row.count(REACTION + 3)?,
        },
    })
}

fn before(row: &impl Columns) -> Result<Option<Before>> {
    if row.uuid_or_null(KEY)?.is_none() {
        return Ok(None);
    }
    let (conversation, seq) = (row.conversation(KEY)?, row.seq(KEY + 1)?);
    Ok(Some(Before { conversation, seq, fingerprint: row.int_or_null(KEY + 2)? }))
}

/// The members in the row if it has them, else the cached members, whose version the statement compared.
fn roster(row: &impl Columns, stored: &ConversationRow, known: Option<&Roster>) -> Result<Option<Roster>> {
    if stored.kind() == ConversationKind::Channel {
        return Ok(None);
    }
    let read = conversations::roster(row, stored.members_version, ROSTER)?;
    Ok(read.or_else(|| known.filter(|roster| roster.version == stored.members_version).cloned()))
}
