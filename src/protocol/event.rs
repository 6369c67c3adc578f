//! An event as clients see it, in live frames, `sync` answers and REST pages.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::{
    Changes, ClientId, ConversationId, Event, EventKind, JsonText, LeaveReason, MessageId, Role, Seq,
    Timestamp, UserId,
};

/// A stored JSON text, written as the value it is: verbatim in JSON, parsed for other encodings.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a>(pub &'a JsonText);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let raw: &RawValue = serde_json::from_str(&self.0.0).map_err(serde::ser::Error::custom)?;
            raw.serialize(serializer)
        } else {
            let value: serde_json::Value =
                serde_json::from_str(&self.0.0).map_err(serde::ser::Error::custom)?;
            value.serialize(serializer)
        }
    }
}

impl JsonSchema for Json<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "As it was sent." })
    }
}

/// One event with the fields of its kind; absent fields are not written.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventView<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    frame_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<ConversationId>,
    seq: Seq,
    #[schemars(extend("enum" = KIND_NAMES))]
    kind: &'static str,
    sender: UserId,
    sent_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Seq>,
    #[serde(skip_serializing_if = "<[UserId]>::is_empty")]
    mentions: &'a [UserId],
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_seq: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<LeaveReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a Changes>,
}

impl<'a> EventView<'a> {
    /// The event inside a list whose conversation is named beside it. `viewer` sees the `client_id` of own
    /// messages.
    pub fn listed(event: &'a Event, viewer: UserId) -> Self {
        Self::new(event, viewer == event.sender)
    }

    /// The event inside a list, naming its conversation itself. `viewer` sees the `client_id` of own
    /// messages.
    pub fn named(event: &'a Event, viewer: UserId) -> Self {
        Self { conversation: Some(event.conversation), ..Self::new(event, viewer == event.sender) }
    }

    /// The event as a live frame of its own. `own`: for the sender's devices, with the `client_id`.
    pub fn live(event: &'a Event, own: bool) -> Self {
        Self { frame_type: Some("event"), conversation: Some(event.conversation), ..Self::new(event, own) }
    }

    fn new(event: &'a Event, own: bool) -> Self {
        let mut view = Self {
            frame_type: None,
            conversation: None,
            seq: event.seq,
            kind: kind_name(&event.kind),
            sender: event.sender,
            sent_at: event.sent_at,
            message_id: None,
            client_id: None,
            body: None,
            reply_to: None,
            mentions: &[],
            attachments: None,
            data: None,
            edited_at: None,
            deleted: false,
            target_seq: None,
            emoji: None,
            on: None,
            user: None,
            role: None,
            reason: None,
            changes: None,
        };
        match &event.kind {
            EventKind::Message(message) => {
                view.message_id = Some(message.id(event.sender));
                view.client_id = own.then_some(message.client_id);
                view.body = message.content.body.as_deref();
                view.reply_to = message.content.reply_to;
                view.mentions = &message.content.mentions;
                view.attachments = message.content.attachments.as_ref().map(Json);
                view.data = message.content.data.as_ref().map(Json);
                view.edited_at = message.edited_at;
                view.deleted = message.deleted;
            }
            EventKind::Edit { target, body } => {
                view.target_seq = Some(*target);
                view.body = body.as_deref();
                view.deleted = body.is_none();
            }
            EventKind::Delete { target } => view.target_seq = Some(*target),
            EventKind::Reaction { target, emoji, on } => {
                view.target_seq = Some(*target);
                view.emoji = Some(emoji);
                view.on = Some(*on);
            }
            EventKind::MemberJoined { user, role } => {
                view.user = Some(*user);
                view.role = Some(*role);
            }
            EventKind::MemberLeft { user, reason } => {
                view.user = Some(*user);
                view.reason = Some(*reason);
            }
            EventKind::ConversationChanged(changes) => view.changes = Some(changes),
        }
        view
    }
}

/// Writes the names of kinds from one table; an added kind does not compile without its name.
macro_rules! kinds {
    ($($variant:ident = $name:literal,)+) => {
        /// The names of all kinds.
        pub const KIND_NAMES: &[&str] = &[$($name),+];

        /// The kind's name on the wire.
        pub const fn kind_name(kind: &EventKind) -> &'static str {
            match kind { $(EventKind::$variant { .. } => $name),+ }
        }
    };
}

kinds! {
    Message = "message",
    Edit = "edit",
    Delete = "delete",
    Reaction = "reaction",
    MemberJoined = "member_joined",
    MemberLeft = "member_left",
    ConversationChanged = "conversation_changed",
}

impl<E> JsonSchema for EventList<'_, E> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EventList".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<EventView<'_>>() })
    }
}

/// A list of events for one viewer.
#[derive(Debug)]
pub struct EventList<'a, E> {
    /// The events, ascending.
    pub events: &'a [E],
    /// Who will read them.
    pub viewer: UserId,
}

impl<E: AsRef<Event>> Serialize for EventList<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.events.len()))?;
        for event in self.events {
            list.serialize_element(&EventView::listed(event.as_ref(), self.viewer))?;
        }
        list.end()
    }
}
