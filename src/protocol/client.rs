//! What clients send. Unknown fields are ignored, unknown types answered.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, IgnoredAny, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use serde_json::Value;

use super::whole;
use crate::domain::{ClientId, ConversationId, Seq, SessionId, UserId};

/// A client's name for one of its requests, repeated in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RequestId {
    /// An integer.
    Number(i64),
    /// A string of at most 64 bytes.
    Text(String),
}

/// The longest string a request id may be, in bytes.
pub const REQUEST_ID_BYTES: usize = 64;

struct RequestIdVisitor;

impl<'de> Visitor<'de> for RequestIdVisitor {
    type Value = RequestId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, or a string of at most 64 bytes")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<RequestId, E> {
        Ok(RequestId::Number(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<RequestId, E> {
        i64::try_from(value).map(RequestId::Number).map_err(|_| E::custom("integer too large"))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<RequestId, E> {
        whole::from_float(value).map(RequestId::Number).ok_or_else(|| E::custom("not a whole number"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<RequestId, E> {
        if value.len() > REQUEST_ID_BYTES {
            return Err(E::custom("longer than 64 bytes"));
        }
        Ok(RequestId::Text(value.to_owned()))
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequestIdVisitor)
    }
}

/// An `id` of whatever type: read first, so that an error can repeat a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LenientId {
    /// A request id that an answer can repeat.
    Good(RequestId),
    /// Of another type, or too long.
    Bad,
}

impl<'de> Deserialize<'de> for LenientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lenient;
        impl<'de> Visitor<'de> for Lenient {
            type Value = LenientId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<LenientId, E> {
                Ok(LenientId::Good(RequestId::Number(value)))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<LenientId, E> {
                Ok(RequestIdVisitor.visit_u64::<E>(value).map_or(LenientId::Bad, LenientId::Good))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<LenientId, E> {
                Ok(RequestIdVisitor.visit_str::<E>(value).map_or(LenientId::Bad, LenientId::Good))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<LenientId, E> {
                Ok(LenientId::Bad)
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<LenientId, E> {
                Ok(RequestIdVisitor.visit_f64::<E>(value).map_or(LenientId::Bad, LenientId::Good))
            }
            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<LenientId, E> {
                Ok(LenientId::Bad)
            }
            fn visit_unit<E: de::Error>(self) -> Result<LenientId, E> {
                Ok(LenientId::Bad)
            }
            fn visit_none<E: de::Error>(self) -> Result<LenientId, E> {
                Ok(LenientId::Bad)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<LenientId, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(LenientId::Bad)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<LenientId, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(LenientId::Bad)
            }
        }
        deserializer.deserialize_any(Lenient)
    }
}

/// The part of every frame that is read first.
#[derive(Debug, DeriveDeserialize)]
pub struct Envelope<'a> {
    /// The frame's type.
    #[serde(rename = "type", borrow)]
    pub frame_type: Cow<'a, str>,
    /// The request's id.
    #[serde(default)]
    pub id: Option<LenientId>,
}

/// `hello`: who this connection is for, and where it left off.
#[derive(Debug, Clone, Default, DeriveDeserialize, JsonSchema)]
pub struct Hello {
    /// An access token; the upgrade's `Authorization` header may stand in for it.
    #[serde(default)]
    pub token: Option<String>,
    /// A name for the device, at most 64 bytes.
    #[serde(default)]
    pub device: Option<String>,
    /// The cursor of the last `welcome` or `heads`.
    #[serde(default)]
    pub cursor: Option<String>,
    /// The highest seq held, per open conversation.
    #[serde(default)]
    pub positions: Option<HashMap<ConversationId, Seq>>,
    /// The session that this one takes over from.
    #[serde(default)]
    pub handover: Option<SessionId>,
}

/// `send`: a message.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Send {
    /// Repeated in the `ack`.
    pub id: RequestId,
    /// Where; or `to`.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
    /// The other user of a direct conversation; or `conversation`.
    #[serde(default)]
    pub to: Option<UserId>,
    /// The idempotency key.
    pub client_id: ClientId,
    /// The text.
    #[serde(default)]
    pub body: Option<String>,
    /// The message this one answers.
    #[serde(default)]
    pub reply_to: Option<Seq>,
    /// Who is called by name.
    #[serde(default)]
    pub mentions: Option<Vec<UserId>>,
    /// Attachment objects.
    #[serde(default)]
    pub attachments: Option<Vec<Value>>,
    /// A JSON object for custom kinds.
    #[serde(default)]
    pub data: Option<Value>,
}

impl Send {
    /// The content alone, checked and stored like that of a REST send. (Serde's `flatten` would buffer every
    /// frame.)
    pub fn take_content(&mut self) -> SendContent {
        SendContent {
            body: self.body.take(),
            reply_to: self.reply_to,
            mentions: self.mentions.take(),
            attachments: self.attachments.take(),
            data: self.data.take(),
        }
    }
}

/// What a message holds: the body of a REST send, and the middle of a socket's.
#[derive(Debug, Clone, Default, DeriveDeserialize, JsonSchema, utoipa::ToSchema)]
pub struct SendContent {
    /// The text.
    #[serde(default)]
    pub body: Option<String>,
    /// The message this one answers.
    #[serde(default)]
    pub reply_to: Option<Seq>,
    /// Who is called by name.
    #[serde(default)]
    pub mentions: Option<Vec<UserId>>,
    /// Attachment objects.
    #[serde(default)]
    pub attachments: Option<Vec<Value>>,
    /// A JSON object for custom kinds.
    #[serde(default)]
    pub data: Option<Value>,
}

/// `edit`: a new body for one's own message.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Edit {
    /// Repeated in the `ack`.
    pub id: RequestId,
    /// The conversation it is about.
    pub conversation: ConversationId,
    /// The message.
    pub seq: Seq,
    /// The new text.
    pub body: String,
    /// The idempotency key: the same edit under the same key is done once, however late it comes again.
    #[serde(default)]
    pub client_id: Option<ClientId>,
}

/// `delete`: a message's content goes for good.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Delete {
    /// Repeated in the `ack`.
    pub id: RequestId,
    /// The conversation it is about.
    pub conversation: ConversationId,
    /// The message.
    pub seq: Seq,
}

/// `react` and `unreact`.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct React {
    /// Repeated in the `ack`.
    pub id: RequestId,
    /// The conversation it is about.
    pub conversation: ConversationId,
    /// The message.
    pub seq: Seq,
    /// Which reaction, at most 64 bytes.
    pub emoji: String,
}

/// `read` and `delivered`.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct MarkUpTo {
    /// Given: answered with `ok`.
    #[serde(default)]
    pub id: Option<RequestId>,
    /// The conversation it is about.
    pub conversation: ConversationId,
    /// Up to here.
    pub seq: Seq,
}

/// `typing`: the user begins or stops typing.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Typing {
    /// The conversation it is about.
    pub conversation: ConversationId,
    /// Began (true) or stopped.
    pub on: bool,
}

/// `watch` and `unwatch`.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Watch {
    /// Repeated in the `ok`.
    pub id: RequestId,
    /// Whose presence.
    pub users: Vec<UserId>,
}

/// `sync`: exactly what one lacks.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Sync {
    /// Repeated in `events` and `synced`.
    pub id: RequestId,
    /// The ranges.
    pub ranges: Vec<SyncRange>,
}

/// One range of a `sync`.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct SyncRange {
    /// Whose events.
    pub conversation: ConversationId,
    /// Those after this seq.
    pub after: Seq,
    /// At most this many.
    #[serde(default, deserialize_with = "whole::optional")]
    pub limit: Option<u64>,
}

/// `auth`: a fresh token on the living connection.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Auth {
    /// Repeated in the `ok`.
    pub id: RequestId,
    /// The token, of the same user.
    pub token: String,
}

/// `background`, `foreground` and `ping`.
#[derive(Debug, Clone, Default, DeriveDeserialize, JsonSchema)]
pub struct Bare {
    /// Given: answered.
    #[serde(default)]
    pub id: Option<RequestId>,
}

/// Reads one frame as the type that its `type` names.
pub trait FrameReader {
    /// Why a frame cannot be read.
    type Error;

    /// Reads the fields of `T`.
    ///
    /// # Errors
    /// When the frame is not well-formed or does not fit `T`.
    fn read<T: DeserializeOwned>(&self) -> Result<T, Self::Error>;
}

/// Writes [`ClientFrame`] and everything that follows from the names of frames from one table.
macro_rules! client_frames {
    ($($variant:ident($fields:ty) = $name:literal,)+) => {
        /// Everything a client can say.
        #[derive(Debug, Clone)]
        #[expect(missing_docs, reason = "each variant carries the documented frame of its name")]
        pub enum ClientFrame {
            $($variant($fields),)+
        }

        impl ClientFrame {
            /// The types of all frames: values of a metric's label.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The frame's type on the wire.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),+ }
            }

            /// The frame of this type; `None` when there is no such type.
            pub fn read<R: FrameReader>(name: &str, reader: &R) -> Option<Result<Self, R::Error>> {
                Some(match name {
                    $($name => reader.read().map(Self::$variant),)+
                    _ => return None,
                })
            }

            /// Each frame's type with the schema of its fields.
            pub fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![$(($name, <$fields>::json_schema(generator))),+]
            }
        }
    };
}

// The only list of what clients send; the codec, the AsyncAPI document and the metrics' labels follow it.
client_frames! {
    Hello(Box<Hello>) = "hello",
    Send(Box<Send>) = "send",
    Edit(Box<Edit>) = "edit",
    Delete(Delete) = "delete",
    React(React) = "react",
    Unreact(React) = "unreact",
    Read(MarkUpTo) = "read",
    Delivered(MarkUpTo) = "delivered",
    Typing(Typing) = "typing",
    Watch(Watch) = "watch",
    Unwatch(Watch) = "unwatch",
    Sync(Sync) = "sync",
    Auth(Auth) = "auth",
    Background(Bare) = "background",
    Foreground(Bare) = "foreground",
    Ping(Bare) = "ping",
}
