//! Other users (search and blocks), and the user's own data (export and erasure).

use serde_json::{Value, json};
use tidings::config::Directory;
use tidings::store::JobKind;

use crate::support::{PASSWORD, Person, World};

#[actix_web::test]
async fn users_are_found_by_the_beginning_of_their_name() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.sign_up("ada").await;
    for name in ["adam", "adele", "bob"] {
        server.sign_up(name).await;
    }
    let names = async |query: &str| {
        let body = server.get(&ada, &format!("/v1/users?{query}")).await.wants(200);
        let users = body["users"].as_array().expect("users").clone();
        users
            .into_iter()
            .map(|user| user["username"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("prefix=ad").await, ["ada", "adam", "adele"]);
    assert_eq!(names("prefix=AD&limit=2").await, ["ada", "adam"]);
    assert_eq!(names("prefix=b&limit=100000").await, ["bob"]);
    assert_eq!(names("prefix=zz").await, Vec::<String>::new());
    for bad in ["", "prefix=", "prefix=%25", "prefix=a%20b", "prefix=ad&limit=0"] {
        server.get(&ada, &format!("/v1/users?{bad}")).await.refused(422, "invalid");
    }
    server.call(None, "GET", "/v1/users?prefix=ad", Value::Null).await.refused(401, "unauthenticated");
    let shown = server.get(&ada, &format!("/v1/users/{}", ada.id)).await.wants(200);
    assert_eq!(shown["username"], "ada");
    server.get(&ada, "/v1/users/u_00000000000000000000000000000000").await.refused(404, "not_found");
}

#[actix_web::test]
async fn people_are_found_by_any_word_of_their_names_guests_too() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.sign_up("ada").await;
    let body = json!({ "display_name": "Zoë O'Neil" });
    let guest = Person::of(&server.call(None, "POST", "/v1/accounts/guest", body).await.wants(201));
    let ids = async |query: &str| -> Vec<String> {
        let body = server.get(&ada, &format!("/v1/users?{query}")).await.wants(200);
        let users = body["users"].as_array().expect("users").clone();
        users.iter().map(|user| user["id"].as_str().expect("an id").to_owned()).collect()
    };
    for text in ["zoe", "ZO%C3%8B", "neil", "neil%20zo"] {
        assert_eq!(ids(&format!("name={text}")).await, [guest.id.as_str()], "{text}");
    }
    assert_eq!(ids("name=ada").await, [ada.id.as_str()], "by username too");
    assert_eq!(ids("name=nobody").await, Vec::<String>::new());
    let long = "x".repeat(65);
    for bad in ["name=", "name=%20", "name=a&prefix=ad", "name=a&limit=0", &format!("name={long}")] {
        server.get(&ada, &format!("/v1/users?{bad}")).await.refused(422, "invalid");
    }

    let (unknown, three) =
        ("u_00000000000000000000000000000000", format!("{},{},{}", guest.id, ada.id, guest.id));
    assert_eq!(ids(&format!("ids={three},{unknown}")).await, [guest.id.clone(), ada.id.clone()]);
    for bad in ["ids=", "ids=ada", "ids=,"] {
        server.get(&ada, &format!("/v1/users?{bad}")).await.refused(422, "invalid");
    }
    let many: Vec<String> = (0..101).map(|n| format!("u_{n:032x}")).collect();
    server.get(&ada, &format!("/v1/users?ids={}", many[1..].join(","))).await.wants(200);
    server.get(&ada, &format!("/v1/users?ids={}", many.join(","))).await.refused(413, "too_large");

    let closed = World { directory: Directory::Closed, ..World::new().await };
    let server = closed.serve().await;
    let ada = server.sign_up("ada").await;
    server.get(&ada, "/v1/users?name=ada").await.refused(403, "forbidden");
    let found = server.get(&ada, &format!("/v1/users?ids={}", ada.id)).await.wants(200);
    assert_eq!(found["users"][0]["id"], json!(ada.id), "ids are no search");
}

#[actix_web::test]
async fn a_block_holds_in_both_directions_until_it_is_lifted() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, bob) = (server.guest().await, server.guest().await);
    let direct = json!({ "kind": "direct", "members": [bob.id] });
    let made = server.call(Some(&ada), "POST", "/v1/conversations", direct).await.wants(201);
    let direct = made["conversation"].as_str().expect("an id");
    server.say(&bob, direct, "hi").await;
    let block = format!("/v1/blocks/{}", bob.id);
    server.get(&ada, &block).await.refused(404, "not_found");
    for _ in 0..2 {
        server.call(Some(&ada), "PUT", &block, Value::Null).await.wants(204);
    }
    server.get(&ada, &block).await.wants(204);
    assert_eq!(server.get(&ada, "/v1/blocks").await.wants(200), json!({ "users": [bob.id] }));
    assert_eq!(server.get(&bob, "/v1/blocks").await.wants(200), json!({ "users": [] }));
    for who in [&ada, &bob] {
        server
            .send_with(who, direct, &crate::support::uuid(), json!({ "body": "?" }))
            .await
            .refused(403, "blocked");
    }
    let group = json!({ "kind": "group", "members": [ada.id] });
    server.call(Some(&bob), "POST", "/v1/conversations", group).await.refused(403, "blocked");
    for _ in 0..2 {
        server.call(Some(&ada), "DELETE", &block, Value::Null).await.wants(204);
    }
    server.say(&bob, direct, "thanks").await;
    server
        .call(Some(&ada), "PUT", &format!("/v1/blocks/{}", ada.id), Value::Null)
        .await
        .refused(422, "invalid");
    let nobody = "/v1/blocks/u_00000000000000000000000000000000";
    server.call(Some(&ada), "PUT", nobody, Value::Null).await.refused(404, "not_found");
}

#[actix_web::test]
async fn an_export_holds_everything_and_says_that_it_is_complete() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, bob) = (server.sign_up("ada").await, server.guest().await);
    let group = server.group(&ada, &[&bob]).await;
    for n in 0..1_200 {
        let key = crate::support::uuid();
        if n % 100 == 0 {
            server
                .send_with(&ada, &group, &key, json!({ "body": format!("words of ada {n}") }))
                .await
                .wants(201);
        } else {
            // Beyond one step of the export, without two minutes of waiting.
            append(&world, &ada, &group, &key, n).await;
        }
    }
    server.say(&bob, &group, "words of bob").await;
    let answer = server.get(&ada, "/v1/me/export").await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let (end, records) = lines.split_last().expect("lines");
    assert_eq!((&end["type"], &end["records"]), (&json!("end"), &json!(records.len())));
    let of = |text: &str| answer.text.matches(text).count();
    assert_eq!((of("words of ada"), of("words of bob")), (1_200, 0), "one's own words, each once");
    assert!(of("password") == 0 && of("argon2") == 0, "no credential leaves");
}

/// What a slow reader has not taken yet is not given out once the token is worth nothing.
#[actix_web::test]
async fn an_export_breaks_off_when_its_token_is_ended() {
    use tidings::domain::{Content, Timestamp};
    use tidings::store::{NewMessage, Target};
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.sign_up("ada").await;
    let group = server.group(&ada, &[]).await;
    let message = || NewMessage {
        sender: ada.id.parse().expect("an id"),
        target: Target::Conversation(group.parse().expect("an id")),
        client_id: crate::support::uuid().parse().expect("a key"),
        content: Content { body: Some("x".repeat(8_000)), ..Content::default() },
    };
    // Far more than the buffers of both ends hold.
    for _ in 0..30 {
        let messages: Vec<_> = (0..200).map(|_| message()).collect();
        world.store.append(&messages, Timestamp::from_unix_ms(1_800_000_000_000)).await.expect("kept");
    }
    let request = server.request("GET", "/v1/me/export").bearer_auth(&ada.access);
    let mut export = request.send().await.expect("an answer");
    assert!(export.chunk().await.expect("the beginning").is_some());
    server.call(Some(&ada), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
    let mut bytes = 0;
    let broken = loop {
        match export.chunk().await {
            Ok(Some(part)) => bytes += part.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "it went on to its end, {bytes} bytes");
}

async fn append(world: &World, who: &Person, conversation: &str, key: &str, n: usize) {
    use tidings::domain::{Content, Timestamp};
    use tidings::store::{NewMessage, Target};
    let message = NewMessage {
        sender: who.id.parse().expect("an id"),
        target: Target::Conversation(conversation.parse().expect("an id")),
        client_id: key.parse().expect("a key"),
        content: Content { body: Some(format!("words of ada {n}")), ..Content::default() },
    };
    let results = world.store.append(&[message], Timestamp::from_unix_ms(1_800_000_000_000)).await;
    assert!(results.expect("the store answers")[0].is_ok());
}

#[actix_web::test]
async fn erasing_an_account_takes_its_words_its_name_and_its_tokens() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, bob) = (server.sign_up("ada").await, server.guest().await);
    let group = server.group(&bob, &[&ada]).await;
    let seq = server.say(&ada, &group, "a secret of ada").await;
    server.call(Some(&ada), "DELETE", "/v1/me", Value::Null).await.refused(422, "invalid");
    server
        .call(Some(&ada), "DELETE", "/v1/me", json!({ "password": "wrong" }))
        .await
        .refused(403, "forbidden");
    server.get(&ada, "/v1/me").await.wants(200);
    server.call(Some(&ada), "DELETE", "/v1/me", json!({ "password": PASSWORD })).await.wants(202);
    server.get(&ada, "/v1/me").await.refused(401, "unauthenticated");
    let refresh = json!({ "refresh_token": ada.refresh });
    server.call(None, "POST", "/v1/tokens/refresh", refresh).await.refused(401, "unauthenticated");
    let sign_in = json!({ "username": "ada", "password": PASSWORD });
    server.call(None, "POST", "/v1/tokens", sign_in).await.refused(401, "unauthenticated");

    while world.store.backlog(JobKind::Erasure).await.expect("the store answers").jobs > 0 {
        let step = world.store.work(JobKind::Erasure, world.environment.now()).await;
        step.expect("the store answers");
    }

    let shown = server.get(&bob, &format!("/v1/users/{}", ada.id)).await.wants(200);
    assert_eq!((&shown["display_name"], &shown["username"]), (&json!("deleted"), &Value::Null));
    let events = server.get(&bob, &format!("/v1/conversations/{group}/events")).await;
    assert!(!events.text.contains("secret"), "{}", events.text);
    let events = events.wants(200);
    let events = events["events"].as_array().expect("events");
    let tombstone = events.iter().find(|event| event["seq"] == seq).expect("its place stays");
    assert_eq!(tombstone["deleted"], true);
    let left = events.last().expect("an event");
    assert_eq!((&left["kind"], &left["reason"]), (&json!("member_left"), &json!("erased")));
    assert_ne!(server.sign_up("ada").await.id, ada.id, "the name is free, the account is not the same");
    let guest = server.guest().await;
    server.call(Some(&guest), "DELETE", "/v1/me", Value::Null).await.wants(202);
    server.get(&guest, "/v1/me").await.refused(401, "unauthenticated");
}
