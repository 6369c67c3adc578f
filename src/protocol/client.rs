//! The frames that clients send. Unknown fields are ignored; an unknown type is answered with an error.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, IgnoredAny, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use serde_json::Value;

use super::whole;
use crate::domain::{ClientId, ConversationId, Seq, SessionId, UserId};

/// The id that a client gives to a request. The answer repeats it.
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

/// An `id` of any type. It is read first, so that an error can repeat a valid one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LenientId {
    /// A request id that an answer can repeat.
    Good(RequestId),
    /// An id of another type, or one that is too long.
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

/// `hello`: signs the connection in and resumes from a cursor.
#[derive(Debug, Clone, Default, DeriveDeserialize, JsonSchema)]
pub struct Hello {
    /// An access token. It may be absent when the upgrade has an `Authorization` header.
    #[serde(default)]
    pub token: Option<String>,
    /// A name for the device, at most 64 bytes.
    #[serde(default)]
    pub device: Option<String>,
    /// The cursor of the last `welcome` or `heads` frame.
    #[serde(default)]
    pub cursor: Option<String>,
    /// For each open conversation, the highest seq that the client has.
    #[serde(default)]
    pub positions: Option<HashMap<ConversationId, Seq>>,
    /// The session that this one replaces.
    #[serde(default)]
    pub handover: Option<SessionId>,
}

/// `send`: sends a message.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Send {
    /// Request id, repeated in the `ack`.
    pub id: RequestId,
    /// The conversation. Give either this or `to`.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
    /// The other user of a direct conversation. Give either this or `conversation`.
    #[serde(default)]
    pub to: Option<UserId>,
    /// The idempotency key.
    pub client_id: ClientId,
    /// The text.
    #[serde(default)]
    pub body: Option<String>,
    /// The seq of the message that this one answers.
    #[serde(default)]
    pub reply_to: Option<Seq>,
    /// The users whom the message mentions.
    #[serde(default)]
    pub mentions: Option<Vec<UserId>>,
    /// Attachment objects.
    #[serde(default)]
    pub attachments: Option<Vec<Value>>,
    /// A JSON object for message kinds of the application.
    #[serde(default)]
    pub data: Option<Value>,
}

impl Send {
    /// Takes the content out. It is checked and stored like the content of a REST send. (Serde's `flatten`
    /// would buffer every frame.)
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

/// The content of a message: the body of a REST send, and a part of a `send` frame.
#[derive(Debug, Clone, Default, DeriveDeserialize, JsonSchema, utoipa::ToSchema)]
pub struct SendContent {
    /// The text.
    #[serde(default)]
    pub body: Option<String>,
    /// The seq of the message that this one answers.
    #[serde(default)]
    pub reply_to: Option<Seq>,
    /// The users whom the message mentions.
    #[serde(default)]
    pub mentions: Option<Vec<UserId>>,
    /// Attachment objects.
    #[serde(default)]
    pub attachments: Option<Vec<Value>>,
    /// A JSON object for message kinds of the application.
    #[serde(default)]
    pub data: Option<Value>,
}

/// `edit`: replaces the body of the user's own message.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Edit {
    /// Request id, repeated in the `ack`.
    pub id: RequestId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The seq of the message.
    pub seq: Seq,
    /// The new text.
    pub body: String,
    /// The idempotency key. The same edit with the same key is applied once, also when it is repeated much
    /// later.
    #[serde(default)]
    pub client_id: Option<ClientId>,
}

/// `delete`: removes the content of a message permanently.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Delete {
    /// Request id, repeated in the `ack`.
    pub id: RequestId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The seq of the message.
    pub seq: Seq,
}

/// `react` and `unreact`: add or remove the user's reaction to a message.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct React {
    /// Request id, repeated in the `ack`.
    pub id: RequestId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The seq of the message.
    pub seq: Seq,
    /// The reaction, at most 64 bytes.
    pub emoji: String,
}

/// `read` and `delivered`: move the user's receipt forward.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct ReceiptUpTo {
    /// When present, the server answers with `ok`.
    #[serde(default)]
    pub id: Option<RequestId>,
    /// The conversation.
    pub conversation: ConversationId,
    /// The highest seq that was read or delivered.
    pub seq: Seq,
}

/// `typing`: the user begins or stops typing.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Typing {
    /// The conversation.
    pub conversation: ConversationId,
    /// True when the user begins, false when the user stops.
    pub on: bool,
}

/// `watch` and `unwatch`: subscribe to the presence of users, or end the subscription.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Watch {
    /// Request id, repeated in the `ok`.
    pub id: RequestId,
    /// The users whose presence the client wants.
    pub users: Vec<UserId>,
}

/// `sync`: asks for the events that the client does not have.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Sync {
    /// Request id, repeated in `events` and `synced`.
    pub id: RequestId,
    /// The ranges of events.
    pub ranges: Vec<SyncRange>,
}

/// One range of a `sync`.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct SyncRange {
    /// The conversation of the events.
    pub conversation: ConversationId,
    /// The range begins after this seq.
    pub after: Seq,
    /// The maximum number of events.
    #[serde(default, deserialize_with = "whole::optional")]
    pub limit: Option<u64>,
}

/// `auth`: presents a new token on an open connection.
#[derive(Debug, Clone, DeriveDeserialize, JsonSchema)]
pub struct Auth {
    /// Request id, repeated in the `ok`.
    pub id: RequestId,
    /// The new access token of the same user.
    pub token: String,
}

/// `background`, `foreground` and `ping`: the app's state, or a check of the connection.
#[derive(Debug, Clone, Default, DeriveDeserialize, JsonSchema)]
pub struct Bare {
    /// When present, the server answers.
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
        /// Every frame that a client can send.
        #[derive(Debug, Clone)]
        #[expect(missing_docs, reason = "each variant carries the documented frame of its name")]
        pub enum ClientFrame {
            $($variant($fields),)+
        }

        impl ClientFrame {
            /// The types of all frames. A metric's label has these values.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The frame's type on the wire.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),+ }
            }

            /// Reads the frame of this type; `None` when there is no such type.
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

// The only list of client frames. The codec, the AsyncAPI document and the labels of metrics are derived
// from it.
client_frames! {
    Hello(Box<Hello>) = "hello",
    Send(Box<Send>) = "send",
    Edit(Box<Edit>) = "edit",
    Delete(Delete) = "delete",
    React(React) = "react",
    Unreact(React) = "unreact",
    Read(ReceiptUpTo) = "read",
    Delivered(ReceiptUpTo) = "delivered",
    Typing(Typing) = "typing",
    Watch(Watch) = "watch",
    Unwatch(Watch) = "unwatch",
    Sync(Sync) = "sync",
    Auth(Auth) = "auth",
    Background(Bare) = "background",
    Foreground(Bare) = "foreground",
    Ping(Bare) = "ping",
}
