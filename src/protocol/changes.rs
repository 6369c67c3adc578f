//! What a change says, as it is written: to clients, on the bus and in the log alike.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::{Changes, UserId, with_changes};

macro_rules! written {
    (
        { $($(#[$doc:meta])* $name:ident: $kind:ty;)+ }
        { $($(#[$about:meta])* $of_member:ident: $value:ty as $key:ident;)+ }
    ) => {
        #[derive(Serialize, Deserialize)]
        struct Written {
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $name: Option<$kind>,
            )+
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $of_member: Option<of_member::$of_member>,
            )+
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            deleted: bool,
        }

        /// What concerns one member.
        #[expect(non_camel_case_types, reason = "named like the field whose value it is")]
        mod of_member {
            use super::*;

            $(
                $(#[$about])*
                #[derive(Serialize, Deserialize, JsonSchema)]
                #[schemars(inline)]
                pub(super) struct $of_member {
                    pub user: UserId,
                    pub $key: $value,
                }
            )+
        }

        impl JsonSchema for Changes {
            fn schema_name() -> Cow<'static, str> {
                "Changes".into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let mut properties = serde_json::Map::new();
                let mut field = |name: &str, schema: Schema| properties.insert(name.to_owned(), schema.to_value());
                $(field(stringify!($name), generator.subschema_for::<$kind>());)+
                $(field(stringify!($of_member), generator.subschema_for::<of_member::$of_member>());)+
                field("deleted", generator.subschema_for::<bool>());
                json_schema!({
                    "type": "object",
                    "description": "What changed; absent fields stayed.",
                    "properties": properties
                })
            }
        }

        impl From<&Changes> for Written {
            fn from(changes: &Changes) -> Self {
                let Changes { $($name,)+ $($of_member,)+ deleted } = changes;
                Self {
                    $($name: $name.clone(),)+
                    $($of_member: $of_member.map(|(user, $key)| of_member::$of_member { user, $key }),)+
                    deleted: *deleted,
                }
            }
        }

        impl From<Written> for Changes {
            fn from(written: Written) -> Self {
                Self {
                    $($name: written.$name,)+
                    $($of_member: written.$of_member.map(|of| (of.user, of.$key)),)+
                    deleted: written.deleted,
                }
            }
        }
    };
}

with_changes!(written);

impl Serialize for Changes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Changes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer).map(Self::from)
    }
}
