//! The limits that section 4 of `docs/PROTOCOL.md` names: the last size inside is taken, the next is refused.

use std::fs;

use serde_json::{Value, json};

use crate::support::{PASSWORD, Server, World};

/// The row of the table that begins with this name: its least and its most.
fn told(name: &str) -> (usize, usize) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md");
    let page = fs::read_to_string(page).expect("docs/PROTOCOL.md is there");
    let section = page.split("\n## 4. Limits\n").nth(1).expect("the section is there");
    let begin = format!("| {name} |");
    let row =
        section.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no row {name}"));
    let number =
        |cell: usize| row.split('|').nth(cell).and_then(|cell| cell.trim().replace(',', "").parse().ok());
    (number(2).expect("a least"), number(3).expect("a most"))
}

/// Asks for each size around the two bounds that a row names, and holds the answers to it.
async fn hold(server: &Server, name: &str, call: impl AsyncFn(&Server, usize) -> (u16, Value)) {
    let (least, most) = told(name);
    assert!(least <= most && most > 0, "{name}: {least} to {most}");
    let beyond = [least.checked_sub(1), Some(most + 1)].into_iter().flatten();
    for (size, taken) in [(least, true), (most, true)].into_iter().chain(beyond.map(|size| (size, false))) {
        let (status, body) = call(server, size).await;
        assert_eq!((200..300).contains(&status), taken, "{name} of {size}: {status} {body}");
    }
}

async fn posted(server: &Server, path: &str, body: Value) -> (u16, Value) {
    let answer = server.call(None, "POST", path, body).await;
    (answer.status.as_u16(), answer.body)
}

#[actix_web::test]
async fn names_and_passwords_have_the_lengths_that_are_told() {
    let world = World::new().await;
    let server = world.serve().await;
    hold(&server, "`username`", async |server: &Server, size| {
        posted(server, "/v1/accounts", json!({ "username": "u".repeat(size), "password": PASSWORD })).await
    })
    .await;
    let count = std::cell::Cell::new(0);
    hold(&server, "`password`", async |server: &Server, size| {
        count.set(count.get() + 1);
        let username = format!("password.{}", count.get());
        posted(server, "/v1/accounts", json!({ "username": username, "password": "p".repeat(size) })).await
    })
    .await;
    // Characters, not bytes.
    hold(&server, "`display_name`", async |server: &Server, size| {
        posted(server, "/v1/accounts/guest", json!({ "display_name": "é".repeat(size) })).await
    })
    .await;
    hold(&server, "`device_name`", async |server: &Server, size| {
        posted(server, "/v1/accounts/guest", json!({ "device_name": "é".repeat(size) })).await
    })
    .await;
    hold(&server, "`device_id`", async |server: &Server, size| {
        posted(server, "/v1/accounts/guest", json!({ "device_id": "d4v1c3-s".repeat(9)[..size] })).await
    })
    .await;
}

#[actix_web::test]
async fn conversations_and_reactions_have_the_lengths_that_are_told() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.guest().await;
    hold(&server, "`name` of a conversation", async |server: &Server, size| {
        let body = json!({ "kind": "group", "name": "é".repeat(size) });
        let answer = server.call(Some(&ada), "POST", "/v1/conversations", body).await;
        (answer.status.as_u16(), answer.body)
    })
    .await;
    let group =
        server.call(Some(&ada), "POST", "/v1/conversations", json!({ "kind": "group" })).await.wants(201);
    let group = group["conversation"].as_str().expect("an id").to_owned();
    server.say(&ada, &group, "hi").await;
    hold(&server, "`topic` of a conversation", async |server: &Server, size| {
        let body = json!({ "kind": "group", "topic": "é".repeat(size) });
        let answer = server.call(Some(&ada), "POST", "/v1/conversations", body).await;
        (answer.status.as_u16(), answer.body)
    })
    .await;
    hold(&server, "`emoji`", async |server: &Server, size| {
        // An address without an emoji is another address.
        let emoji = if size == 0 { "%20".to_owned() } else { "x".repeat(size) };
        let path = format!("/v1/conversations/{group}/messages/2/reactions/{emoji}");
        let answer = server.call(Some(&ada), "PUT", &path, Value::Null).await;
        (answer.status.as_u16(), answer.body)
    })
    .await;
}

#[actix_web::test]
async fn a_request_costs_by_its_work() {
    let mut world = World::new().await;
    world.per_second = (0, 60);
    let server = world.serve().await;
    let ada = server.guest().await;
    let mut others = Vec::new();
    for _ in 0..40 {
        others.push(server.guest().await.id);
    }
    let group = json!({ "kind": "group", "members": others });
    server.call(Some(&ada), "POST", "/v1/conversations", group.clone()).await.wants(201);
    let refused = server.call(Some(&ada), "POST", "/v1/conversations", group).await;
    let wait_ms = refused.body["retry_after_ms"].as_u64().expect("a wait");
    refused.refused(429, "rate_limited");
    // 41 of 60 units were spent, another was by the refused request, and 40 are asked for.
    assert!((300..=400).contains(&wait_ms), "{wait_ms}");
}
