//! The OpenAPI document, generated from the handlers and their types.

use std::sync::LazyLock;

use actix_web::{HttpResponse, Resource};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::problem::ProblemView;
use super::resource::calls;
use super::views::MessageBody;
use super::{
    accounts, asyncapi, bans, blocks, channels, conversations, health, invitations, me, members, messages,
    privacy, problem, reactions, read, second_factor, server, sessions, tokens, users,
};
use crate::protocol::event::EventView;
use crate::protocol::server::LimitsView;

calls! { "/openapi.json" => [get(serve)] }

/// Writes the list of modules with calls once, for what is routed and what is described.
macro_rules! modules {
    ($($module:ident),+) => {
        /// The resources of REST.
        pub fn resources_of_rest() -> Vec<Resource> {
            [resources(), $($module::resources()),+].into_iter().flatten().collect()
        }

        /// The descriptions of all calls, those that every process answers too.
        fn documents() -> impl Iterator<Item = utoipa::openapi::OpenApi> {
            [Document::openapi(), health::Document::openapi(), $($module::Document::openapi()),+].into_iter()
        }

        /// Method and path of all calls.
        #[cfg(test)]
        fn routed() -> impl Iterator<Item = (&'static str, &'static str)> {
            [ROUTED, health::ROUTED, $($module::ROUTED),+].into_iter().flatten().copied()
        }
    };
}

modules! { server, accounts, tokens, me, second_factor, sessions, users, conversations, channels, members, bans, messages, reactions, read, blocks, privacy, invitations, asyncapi }

#[derive(OpenApi)]
#[openapi(
    info(title = "Tidings", version = "1", description = "REST, version 1. The WebSocket is described in /asyncapi.json."),
    security(("bearer" = [])),
    components(schemas(ProblemView))
)]
struct About;

static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));

/// The document as it is served and checked in.
pub fn text() -> &'static str {
    &TEXT
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", security(()), responses((status = 200, body = Object)))]
pub async fn serve() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(text())
}

fn document() -> Value {
    let mut document = About::openapi();
    documents().for_each(|of_module| document.merge(of_module));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let mut document = serde_json::to_value(document).unwrap_or_default();
    describe_events(&mut document);
    describe_problems(&mut document);
    name_operations(&mut document);
    document
}

/// Events and limits are described from the types that write them to the socket as well: JSON Schema, which
/// OpenAPI 3.1 shares.
fn describe_events(document: &mut Value) {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let schemas = &mut document["components"]["schemas"];
    for (name, schema) in [
        ("Event", generator.root_schema_for::<EventView<'_>>()),
        ("Message", generator.root_schema_for::<MessageBody<'_>>()),
        ("Limits", generator.root_schema_for::<LimitsView>()),
    ] {
        schemas[name] = schema.to_value();
    }
    // Stand-ins that the derive collected under their own names.
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.retain(|name, _| !matches!(name.as_str(), "EventDoc" | "MessageDoc" | "LimitsDoc"));
    }
    replace_refs(document);
}

fn replace_refs(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(name) =
                text.strip_prefix("#/components/schemas/").and_then(|name| name.strip_suffix("Doc"))
            {
                *text = format!("#/components/schemas/{name}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(replace_refs),
        Value::Object(fields) => fields.values_mut().for_each(replace_refs),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Every operation may answer with a problem document.
fn describe_problems(document: &mut Value) {
    let problem = json!({
        "description": "A problem document; `code` is of the error catalogue.",
        "content": { (problem::MEDIA_TYPE): { "schema": { "$ref": "#/components/schemas/Problem" } } }
    });
    for_each_operation(document, |_, operation| {
        for response in operation["responses"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
            // The specification wants one, even where the status says it all.
            if response["description"].as_str().is_none_or(str::is_empty) {
                response["description"] = "Done.".into();
            }
        }
        operation["responses"]["default"] = problem.clone();
    });
}

/// Functions are named within their group; operations need a name of their own in the whole document.
fn name_operations(document: &mut Value) {
    for_each_operation(document, |path, operation| {
        let (group, name) = (&operation["tags"][0], &operation["operationId"]);
        let name = match path {
            "/openapi.json" => "openapi",
            "/asyncapi.json" => "asyncapi",
            _ => name.as_str().unwrap_or_default(),
        };
        operation["operationId"] = format!("{}_{name}", group.as_str().unwrap_or_default()).into();
    });
}

fn for_each_operation(document: &mut Value, mut change: impl FnMut(&str, &mut Value)) {
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            change(path, operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn operations() -> BTreeSet<(String, String)> {
        let document = document();
        let paths = document["paths"].as_object().expect("paths").clone();
        paths
            .into_iter()
            .flat_map(|(path, item)| {
                let methods: Vec<_> = item.as_object().expect("an item").keys().cloned().collect();
                methods.into_iter().map(move |method| (method.to_uppercase(), unnamed(&path)))
            })
            .collect()
    }

    /// The path with every parameter written alike: documents name them as they please.
    fn unnamed(path: &str) -> String {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    }

    /// The calls of the table in docs/PROTOCOL.md, section 2.
    fn promised() -> BTreeSet<(String, String)> {
        let text = include_str!("../../docs/PROTOCOL.md");
        let section =
            text.split("## 2. REST").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("section 2");
        let mut calls = BTreeSet::new();
        for cell in section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next()) {
            let (mut methods, mut path) = (Vec::new(), None);
            for word in cell.split(['`', ' ', ',', '·']).filter(|word| !word.is_empty()) {
                if word.bytes().all(|byte| byte.is_ascii_uppercase()) {
                    if path.is_some() {
                        methods.clear();
                    }
                    methods.push(word);
                    path = None;
                } else {
                    let whole = word.split('?').next().unwrap_or_default();
                    let whole = whole.replace('…', "/v1/conversations/{id}");
                    calls.extend(methods.iter().map(|method| ((*method).to_owned(), unnamed(&whole))));
                    path = Some(whole);
                }
            }
        }
        calls
    }

    #[test]
    fn the_document_and_the_protocols_table_name_the_same_calls() {
        let documents: BTreeSet<_> =
            ["/openapi.json", "/asyncapi.json"].map(|path| ("GET".into(), path.into())).into();
        let promised: BTreeSet<_> = promised().union(&documents).cloned().collect();
        assert!(promised.len() > 35, "the table was read: {promised:?}");
        assert_eq!(operations(), promised);
    }

    #[test]
    fn the_document_describes_what_is_routed() {
        let routed: BTreeSet<_> =
            routed().map(|(method, path)| (method.to_uppercase(), unnamed(path))).collect();
        assert_eq!(routed, operations());
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_parameter_is_in_its_path() {
        let document = document();
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("an item") {
                assert!(
                    ids.insert(operation["operationId"].to_string()) || method == "head",
                    "{method} {path}"
                );
                let responses = operation["responses"].as_object().expect("responses");
                let described =
                    |response: &Value| response["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(responses.len() > 1 && responses.values().all(described), "{method} {path}");
                let named: BTreeSet<_> = operation["parameters"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap_or_default().to_owned())
                    .collect();
                let in_path: BTreeSet<_> = path
                    .split('/')
                    .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                    .map(str::to_owned)
                    .collect();
                assert_eq!(named, in_path, "{method} {path}");
            }
        }
    }

    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                into.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, into));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, into)),
            _ => {}
        }
    }
}
