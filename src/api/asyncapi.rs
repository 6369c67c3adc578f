//! The AsyncAPI document of the WebSocket, generated from the frame types.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::resource::calls;
use crate::protocol::ClientFrame;
use crate::protocol::event::EventView;
use crate::protocol::server::ServerFrame;

calls! { "/asyncapi.json" => [get(serve)] }

static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));

/// The document as it is served and checked in.
pub fn text() -> &'static str {
    &TEXT
}

/// The AsyncAPI document of the WebSocket.
#[utoipa::path(get, path = "/asyncapi.json", tag = "operations", security(()),
    responses((status = 200, body = Object)))]
pub async fn serve() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(text())
}

fn document() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut reading = settings.clone().for_deserialize().into_generator();
    let mut writing = settings.for_serialize().into_generator();
    let from_client = client_frames(&mut reading);
    let from_server = server_frames(&mut writing);
    let mut schemas = reading.take_definitions(true);
    schemas.extend(writing.take_definitions(true));

    let messages = |frames: &[(String, Value)], side: &str| -> Map<String, Value> {
        let message = |(name, payload): &(String, Value)| {
            (format!("{side}.{name}"), json!({ "name": name, "title": name, "payload": payload }))
        };
        frames.iter().map(message).collect()
    };
    let references = |frames: &[(String, Value)], side: &str| -> Vec<Value> {
        let reference =
            |(name, _): &(String, Value)| json!({ "$ref": format!("#/channels/v1/messages/{side}.{name}") });
        frames.iter().map(reference).collect()
    };
    let (client, server) = (messages(&from_client, "client"), messages(&from_server, "server"));
    let mut all = client;
    all.extend(server);
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tidings",
            "version": "1",
            "description": "The WebSocket, version 1. REST is described in /openapi.json.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "v1": {
                "address": "/v1/ws",
                "description": "Subprotocol `tidings.v1.json`: one object per text frame. `tidings.v1.msgpack`: the same fields as one MessagePack map per binary frame.",
                "messages": all,
            }
        },
        "operations": {
            "fromClient": {
                "action": "receive",
                "channel": { "$ref": "#/channels/v1" },
                "messages": references(&from_client, "client"),
            },
            "fromServer": {
                "action": "send",
                "channel": { "$ref": "#/channels/v1" },
                "messages": references(&from_server, "server"),
            }
        },
        "components": { "schemas": schemas }
    })
}

/// Each type's schema with the `type` that names it on the wire.
fn client_frames(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
    let frames = ClientFrame::schemas(generator).into_iter();
    frames.map(|(name, schema)| (name.to_owned(), typed(name, schema.to_value()))).collect()
}

/// The variants of [`ServerFrame`], and `event`, which is written by a type of its own.
fn server_frames(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
    let all = ServerFrame::json_schema(generator).to_value();
    let variants = all["oneOf"].as_array().cloned().unwrap_or_default();
    let named = variants.into_iter().filter_map(|mut variant| {
        // In draft 7 a reference hides the fields beside it.
        if let Some(reference) = variant.as_object_mut().and_then(|fields| fields.remove("$ref")) {
            variant["allOf"] = json!([{ "$ref": reference }]);
        }
        let name = variant["properties"]["type"]["const"].as_str()?.to_owned();
        Some((name, variant))
    });
    let event: Schema = EventView::json_schema(generator);
    named.chain([("event".to_owned(), typed("event", event.to_value()))]).collect()
}

fn typed(name: &str, mut schema: Value) -> Value {
    schema["type"] = json!("object");
    schema["properties"]["type"] = json!({ "type": "string", "const": name });
    let mut required = vec![json!("type")];
    required.extend(schema["required"].as_array().cloned().unwrap_or_default());
    schema["required"] = json!(required);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(side: &str) -> Vec<String> {
        let document = document();
        let messages = document["channels"]["v1"]["messages"].as_object().expect("messages").clone();
        messages
            .keys()
            .filter_map(|key| key.strip_prefix(side)?.strip_prefix('.').map(str::to_owned))
            .collect()
    }

    /// The frame types of a table in docs/PROTOCOL.md.
    fn promised(heading: &str) -> Vec<String> {
        let text = include_str!("../../docs/PROTOCOL.md");
        let table =
            text.split(heading).nth(1).and_then(|rest| rest.split("\n### ").next()).expect("the section");
        let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
        let mut names: Vec<_> = cells
            .flat_map(|cell| {
                cell.split(['`', ',', ' '])
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .filter(|name| name != "type")
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_document_and_the_protocols_tables_name_the_same_frames() {
        for (side, heading) in [("client", "### 1.1 "), ("server", "### 1.2 ")] {
            let mut documented = names(side);
            documented.sort();
            assert_eq!(documented, promised(heading));
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let references: Vec<_> =
            text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 20);
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
