//! Events as rows: the columns of each kind, and the JSON of its particulars.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::columns::{Columns, impossible};
use super::part::Part;
use super::{error, numbers};
use crate::domain::{Content, Event, EventKind, JsonText, LeaveReason, Message, Role, Seq, UserId};

/// The columns that [`decode`] reads, from a table named `e`.
pub(in crate::store) const PARTS: &[Part] = &[Part::same(
    "event_columns",
    "e.conversation, e.seq, e.kind, e.sender, e.sent_at, e.client_id, e.target_seq, e.body, e.extra, e.edited_at, e.deleted",
)];

/// The number of columns of `{event_columns}`: a statement's own columns begin there.
pub(in crate::store) const EVENT_COLUMNS: usize = 11;

/// The particulars of a reaction whose content was erased: it reads as a removed reaction.
pub(in crate::store) const BLANK_REACTION: &str = r#"{"emoji":"","on":false}"#;

/// An event's particulars, as columns.
#[derive(Debug)]
pub(in crate::store) struct Encoded {
    pub kind: i64,
    pub target: Option<i64>,
    pub body: Option<String>,
    pub extra: Option<String>,
}

/// All other fields, which are neither searched nor the text: one JSON object, absent when empty.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Extra {
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn encode_error(error: serde_json::Error) -> error::Error {
    error::Error::unstorable(error)
}

fn to_text(extra: &Extra) -> error::Result<Option<String>> {
    serde_json::to_string(extra).map(Some).map_err(encode_error)
}

fn raw(json: Option<&JsonText>) -> error::Result<Option<Box<RawValue>>> {
    json.map(|text| RawValue::from_string(text.0.clone())).transpose().map_err(encode_error)
}

/// A message's content as its two columns.
pub(in crate::store) fn encode_content(content: &Content) -> error::Result<(Option<String>, Option<String>)> {
    let plain = content.reply_to.is_none()
        && content.mentions.is_empty()
        && content.attachments.is_none()
        && content.data.is_none();
    let extra = if plain {
        None
    } else {
        to_text(&Extra {
            reply_to: content.reply_to.map(Seq::get),
            mentions: content.mentions.iter().map(|user| *user.as_uuid()).collect(),
            attachments: raw(content.attachments.as_ref())?,
            data: raw(content.data.as_ref())?,
            ..Extra::default()
        })?
    };
    Ok((content.body.clone(), extra))
}

/// An event's particulars as columns.
///
/// # Errors
/// [`error::Error::unstorable`] when a value that should be JSON is not.
pub(in crate::store) fn encode(kind: &EventKind) -> error::Result<Encoded> {
    let empty = Encoded { kind: numbers::DELETE, target: None, body: None, extra: None };
    Ok(match kind {
        EventKind::Message(message) => {
            let (body, extra) = encode_content(&message.content)?;
            Encoded { kind: numbers::MESSAGE, body, extra, ..empty }
        }
        EventKind::Edit { target, body } => {
            Encoded { kind: numbers::EDIT, target: Some(target.as_stored()), body: body.clone(), ..empty }
        }
        EventKind::Delete { target } => {
            Encoded { kind: numbers::DELETE, target: Some(target.as_stored()), ..empty }
        }
        EventKind::Reaction { target, emoji, on } => {
            let extra = to_text(&Extra { emoji: Some(emoji.clone()), on: Some(*on), ..Extra::default() })?;
            Encoded { kind: numbers::REACTION, target: Some(target.as_stored()), extra, ..empty }
        }
        EventKind::MemberJoined { user, role } => {
            let (user, role) = (Some(*user.as_uuid()), Some(role.as_stored()));
            Encoded {
                kind: numbers::MEMBER_JOINED,
                extra: to_text(&Extra { user, role, ..Extra::default() })?,
                ..empty
            }
        }
        EventKind::MemberLeft { user, reason } => {
            let (user, reason) = (Some(*user.as_uuid()), Some(reason.as_str().to_owned()));
            Encoded {
                kind: numbers::MEMBER_LEFT,
                extra: to_text(&Extra { user, reason, ..Extra::default() })?,
                ..empty
            }
        }
        EventKind::ConversationChanged(changes) => {
            let extra = Some(serde_json::to_string(changes).map_err(encode_error)?);
            Encoded { kind: numbers::CONVERSATION_CHANGED, extra, ..empty }
        }
    })
}

/// An event from a row that begins with `{event_columns}`.
pub(in crate::store) fn decode(row: &impl Columns) -> error::Result<Event> {
    let body = row.text_or_null(7)?;
    let (kind, extra) = (row.int(2)?, row.text_or_null(8)?);
    if kind == numbers::CONVERSATION_CHANGED {
        let kind = EventKind::ConversationChanged(particulars(extra.as_deref())?);
        return event(row, kind);
    }
    let extra: Extra = particulars(extra.as_deref())?;
    let target = || row.seq(6);
    let kind = match kind {
        numbers::MESSAGE => EventKind::Message(Message {
            client_id: row.client_id(5)?,
            content: content(body, extra),
            edited_at: row.int_or_null(9)?.map(crate::domain::Timestamp::from_unix_ms),
            deleted: row.flag(10)?,
        }),
        numbers::EDIT => EventKind::Edit { target: target()?, body },
        numbers::DELETE => EventKind::Delete { target: target()? },
        numbers::REACTION => EventKind::Reaction {
            target: target()?,
            emoji: extra.emoji.unwrap_or_default(),
            on: extra.on.unwrap_or_default(),
        },
        numbers::MEMBER_JOINED => EventKind::MemberJoined {
            user: user(&extra)?,
            role: extra.role.map_or(Role::Member, Role::from_stored),
        },
        numbers::MEMBER_LEFT => EventKind::MemberLeft { user: user(&extra)?, reason: reason(&extra)? },
        _ => return Err(impossible("an event of a kind that this release does not know")),
    };
    event(row, kind)
}

/// What the JSON of an event's particulars says; nothing when there is none.
fn particulars<T: Default + DeserializeOwned>(extra: Option<&str>) -> error::Result<T> {
    extra
        .map_or_else(|| Ok(T::default()), |text| serde_json::from_str(text).map_err(error::Error::impossible))
}

fn event(row: &impl Columns, kind: EventKind) -> error::Result<Event> {
    Ok(Event {
        conversation: row.conversation(0)?,
        seq: row.seq(1)?,
        sender: row.user(3)?,
        sent_at: row.time(4)?,
        kind,
    })
}

fn user(extra: &Extra) -> error::Result<UserId> {
    extra.user.map(UserId::from_uuid).ok_or_else(|| impossible("a membership event that names nobody"))
}

fn reason(extra: &Extra) -> error::Result<LeaveReason> {
    extra
        .reason
        .as_deref()
        .and_then(LeaveReason::parse)
        .ok_or_else(|| impossible("a member left for no known reason"))
}

fn content(body: Option<String>, extra: Extra) -> Content {
    let json = |value: Option<Box<RawValue>>| value.map(|raw| JsonText(raw.get().to_owned()));
    Content {
        body,
        reply_to: extra.reply_to.and_then(Seq::new),
        mentions: extra.mentions.into_iter().map(UserId::from_uuid).collect(),
        attachments: json(extra.attachments),
        data: json(extra.data),
    }
}
