//! How domain values are described in the OpenAPI document.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::{
    ClientId, ConversationId, ConversationKind, FamilyId, HistoryPolicy, JoinPolicy, MessageId, Openness,
    Role, Seq, Timestamp, UserId,
};

macro_rules! described {
    ($($name:ident: $schema:expr;)*) => { $(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )* };
}

fn id(what: &str) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).max_length(Some(64)).description(Some(what)).build().into()
}

fn names<const N: usize>(names: [&str; N]) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build().into()
}

described! {
    UserId: id("A user id, opaque.");
    ConversationId: id("A conversation id, opaque.");
    MessageId: id("A message id, opaque.");
    FamilyId: id("The id of a sign-in, opaque.");
    ClientId: id("A UUID made by the client: the idempotency key.");
    Seq: ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(Seq::MAX.get()))
        .description(Some("A place in a conversation, from 1; 0 is before the first."))
        .build();
    Timestamp: ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build();
    ConversationKind: names(["direct", "group", "channel"]);
    HistoryPolicy: names(["from_join", "all"]);
    JoinPolicy: names(["open", "invite"]);
    Openness: names(["everyone", "contacts", "nobody"]);
    Role: names(["owner", "admin", "member"]);
}

/// An event: described once, from the type that writes it (`super::openapi` puts it in).
pub struct EventDoc;

/// A message of a history page: an event and its reactions.
pub struct MessageDoc;

/// The limits that clients are told.
pub struct LimitsDoc;

described! {
    LimitsDoc: Ref::from_schema_name("Limits");
    EventDoc: Ref::from_schema_name("Event");
    MessageDoc: Ref::from_schema_name("Message");
}
