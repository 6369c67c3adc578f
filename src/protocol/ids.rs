//! How domain values look on the wire: ids and times as strings, seqs as integers.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::whole;
use crate::domain::{
    ClientId, ConversationId, ConversationKind, FamilyId, HistoryPolicy, JoinPolicy, LeaveReason, MessageId,
    Openness, Role, Seq, SessionId, Timestamp, UserId,
};

struct TextVisitor<T>(PhantomData<T>, &'static str);

impl<T: FromStr> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::custom(format_args!("not {}", self.1)))
    }
}

macro_rules! text_on_the_wire {
    ($($name:ident: $what:literal),* $(,)?) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(PhantomData, $what))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "maxLength": 64, "description": $what })
            }
        }
    )* };
}

text_on_the_wire! {
    UserId: "a user id",
    ConversationId: "a conversation id",
    MessageId: "a message id",
    SessionId: "a session id",
    FamilyId: "a sign-in id",
    ClientId: "a UUID made by the client",
}

macro_rules! name_on_the_wire {
    ($($name:ident: $what:literal [$($value:literal),*]),* $(,)?) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| de::Error::custom(concat!("not ", $what)))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$($value),*] })
            }
        }
    )* };
}

name_on_the_wire! {
    Role: "a role (owner, admin, member)" ["owner", "admin", "member"],
    HistoryPolicy: "a history policy (from_join, all)" ["from_join", "all"],
    JoinPolicy: "a join policy (open, invite)" ["open", "invite"],
    Openness: "one of everyone, contacts, nobody" ["everyone", "contacts", "nobody"],
    LeaveReason: "a reason" ["left", "removed", "erased"],
    ConversationKind: "a kind (direct, group, channel)" ["direct", "group", "channel"],
}

impl ConversationKind {
    /// The kind of a wire name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Channel].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Serialize for Seq {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(whole::deserialize(deserializer)?)
            .ok_or_else(|| de::Error::custom("seq must be below 2^53"))
    }
}

impl JsonSchema for Seq {
    fn schema_name() -> Cow<'static, str> {
        "Seq".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64 })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom("not a time"))
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
