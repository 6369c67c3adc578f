//! Messages over REST: sending once, paging, editing, deleting, reacting, reading.

use serde_json::{Value, json};

use crate::support::{Answer, Person, Server, World, uuid};

async fn pair(server: &Server) -> (Person, Person, String) {
    let (ada, bob) = (server.guest().await, server.guest().await);
    let group = server.group(&ada, &[&bob]).await;
    (ada, bob, group)
}

#[actix_web::test]
async fn the_same_send_again_is_the_same_message() {
    let world = World::new().await;
    let (server, beside) = (world.serve().await, world.serve().await);
    let (ada, bob, group) = pair(&server).await;
    let (key, body) = (uuid(), json!({ "body": "once", "data": { "x": [1, null] }, "mentions": [bob.id] }));
    let first = server.send_with(&ada, &group, &key, body.clone()).await.wants(201);
    assert_eq!(first["duplicate"], false);
    for again in [&server, &beside] {
        let mut second = again.send_with(&ada, &group, &key, body.clone()).await.wants(200);
        assert_eq!(second["duplicate"].take(), true);
        second["duplicate"] = json!(false);
        assert_eq!(second, first);
    }
    let of_bob = server.send_with(&bob, &group, &key, body).await.wants(201);
    assert_ne!(of_bob["message_id"], first["message_id"], "keys are per sender");
    let page = server.get(&bob, &format!("/v1/conversations/{group}/messages")).await.wants(200);
    let messages = page["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["client_id"], Value::Null, "another's key is not shown");
    assert_eq!(messages[1]["client_id"], json!(key));
    let told = ["seq", "message_id", "sent_at", "conversation"];
    assert!(told.iter().all(|field| messages[0][field] == first[field]), "{page}");
    assert_eq!(
        (&messages[0]["data"], &messages[0]["mentions"]),
        (&json!({ "x": [1, null] }), &json!([bob.id]))
    );
    let other = server.group(&ada, &[]).await;
    server.send_with(&ada, &other, &key, json!({ "body": "elsewhere" })).await.refused(409, "conflict");
}

#[actix_web::test]
async fn a_send_needs_a_key_and_something_to_say() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, _, group) = pair(&server).await;
    let path = format!("/v1/conversations/{group}/messages");
    let detail = server.call(Some(&ada), "POST", &path, json!({ "body": "x" })).await.refused(422, "invalid");
    assert!(detail.contains("Idempotency-Key"), "{detail}");
    server.send_with(&ada, &group, "no-uuid", json!({ "body": "x" })).await.refused(422, "invalid");
    server.send_with(&ada, &group, &uuid(), json!({})).await.refused(422, "invalid");
    server
        .send_with(&ada, &group, &uuid(), json!({ "body": "x".repeat(8_193) }))
        .await
        .refused(413, "too_large");
}

#[actix_web::test]
async fn pages_meet_without_overlap_or_hole_in_both_directions() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, bob, group) = pair(&server).await;
    let mut sent = Vec::new();
    for n in 0..25 {
        sent.push(server.say(&ada, &group, &format!("message {n}")).await);
    }
    let page = async |query: String| {
        let body =
            server.get(&bob, &format!("/v1/conversations/{group}/messages?limit=10{query}")).await.wants(200);
        let seqs =
            body["messages"].as_array().expect("messages").iter().map(|m| m["seq"].as_u64().expect("a seq"));
        (seqs.collect::<Vec<_>>(), body["more"].as_bool().expect("more"))
    };
    let (mut back, mut query) = (Vec::new(), String::new());
    loop {
        let (seqs, more) = page(query).await;
        query = format!("&before={}", seqs[0]);
        back.splice(0..0, seqs);
        if !more {
            break;
        }
    }
    assert_eq!(back, sent);
    let (mut forth, mut after) = (Vec::new(), 0);
    loop {
        let (seqs, more) = page(format!("&after={after}")).await;
        after = *seqs.last().expect("not empty");
        forth.extend(seqs);
        if !more {
            break;
        }
    }
    assert_eq!(forth, sent);
    let path = format!("/v1/conversations/{group}");
    server.get(&bob, &format!("{path}/messages?before=3&after=1")).await.refused(422, "invalid");
    server.get(&bob, &format!("{path}/messages?min_seq={}", sent[24])).await.wants(200);
    server.get(&bob, &format!("{path}/messages?min_seq={}", sent[24] + 1)).await.refused(503, "unavailable");

    let events = server.get(&bob, &format!("{path}/events?limit=1000000")).await.wants(200);
    let seqs: Vec<_> =
        events["events"].as_array().expect("events").iter().map(|e| e["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=sent[24]).map(Some).collect::<Vec<_>>(), "every event, no hole");
    assert_eq!(events["more"], false);
}

#[actix_web::test]
async fn edits_deletes_and_reactions_show_in_history_and_in_the_log() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, bob, group) = pair(&server).await;
    let path = format!("/v1/conversations/{group}");
    let (kept, gone) = (server.say(&ada, &group, "first").await, server.say(&ada, &group, "secret").await);
    let edit = format!("{path}/messages/{kept}");
    let edited = server.call(Some(&ada), "PATCH", &edit, json!({ "body": "better" })).await.wants(200);
    assert_eq!(edited["conversation"], json!(group));
    let again = server.call(Some(&ada), "PATCH", &edit, json!({ "body": "better" })).await.wants(200);
    let repeated = |first: &Value| json!({ "conversation": group, "seq": first["seq"], "duplicate": true });
    assert_eq!(again, repeated(&edited), "repeating it changes nothing");
    let react = format!("{path}/messages/{kept}/reactions/%F0%9F%91%8D");
    let reacted = server.call(Some(&bob), "PUT", &react, Value::Null).await.wants(200);
    assert_eq!(server.call(Some(&bob), "PUT", &react, Value::Null).await.wants(200), repeated(&reacted));
    server.call(Some(&ada), "PUT", &react, Value::Null).await.wants(200);
    let shown = server.get(&bob, &format!("{path}/messages")).await.wants(200);
    assert_eq!(shown["messages"][0]["reactions"], json!([{ "emoji": "👍", "count": 2, "me": true }]));
    server.call(Some(&bob), "DELETE", &react, Value::Null).await.wants(200);
    let delete = format!("{path}/messages/{gone}");
    let deleted = server.call(Some(&ada), "DELETE", &delete, Value::Null).await.wants(200);
    assert_eq!(server.call(Some(&ada), "DELETE", &delete, Value::Null).await.wants(200), repeated(&deleted));

    let page = server.get(&bob, &format!("{path}/messages")).await.wants(200);
    let (first, second) = (&page["messages"][0], &page["messages"][1]);
    assert_eq!((&first["body"], first["edited_at"].is_string()), (&json!("better"), true), "{page}");
    assert_eq!(first["reactions"], json!([{ "emoji": "👍", "count": 1, "me": false }]));
    assert_eq!((&second["deleted"], &second["body"]), (&json!(true), &Value::Null));
    let events = server.get(&bob, &format!("{path}/events")).await;
    assert!(!events.text.contains("secret"), "{}", events.text);
    let kinds: Vec<_> =
        events.body["events"].as_array().expect("events").iter().map(|e| e["kind"].clone()).collect();
    let tail = &kinds[kinds.len() - 7..];
    assert_eq!(tail, ["message", "message", "edit", "reaction", "reaction", "reaction", "delete"]);
    for seq in [9_999, 1] {
        let path = format!("{path}/messages/{seq}");
        server.call(Some(&ada), "PATCH", &path, json!({ "body": "x" })).await.refused(404, "not_found");
    }
}

#[actix_web::test]
async fn an_edit_with_a_key_is_done_once_however_late_it_comes_again() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, bob, group) = pair(&server).await;
    let said = server.say(&ada, &group, "one").await;
    let path = format!("/v1/conversations/{group}/messages/{said}");
    let edit = async |key: &str, body: &str| {
        let request = server.request("PATCH", &path).bearer_auth(&ada.access).header("Idempotency-Key", key);
        Answer::of(request.json(&json!({ "body": body }))).await
    };
    let key = uuid();
    let first = edit(&key, "two").await.wants(200);
    edit(&key, "other").await.refused(409, "conflict");
    edit(&uuid(), "three").await.wants(200);
    let again = edit(&key, "two").await.wants(200);
    assert_eq!((&again["seq"], &again["duplicate"]), (&first["seq"], &json!(true)));
    edit("no key", "four").await.refused(422, "invalid");
    let page = server.get(&bob, &format!("/v1/conversations/{group}/messages")).await.wants(200);
    assert_eq!(page["messages"][0]["body"], "three");
}

#[actix_web::test]
async fn one_letter_in_two_forms_is_one_reaction() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, _, group) = pair(&server).await;
    let said = server.say(&ada, &group, "hi").await;
    let path = format!("/v1/conversations/{group}/messages");
    for (form, events) in [("%C3%A9", false), ("e%CC%81", true)] {
        let answer =
            server.call(Some(&ada), "PUT", &format!("{path}/{said}/reactions/{form}"), Value::Null).await;
        assert_eq!(answer.wants(200)["duplicate"].is_boolean(), events, "{form}");
    }
    let page = server.get(&ada, &path).await.wants(200);
    assert_eq!(page["messages"][0]["reactions"], json!([{ "emoji": "\u{e9}", "count": 1, "me": true }]));
}

#[actix_web::test]
async fn reading_moves_forward_only_and_counts_what_is_left() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, bob, group) = pair(&server).await;
    let (first, last) = (server.say(&ada, &group, "one").await, server.say(&ada, &group, "two").await);
    let path = format!("/v1/conversations/{group}");
    let state = async |who: &Person| {
        let body = server.get(who, &path).await.wants(200);
        (body["unread"].as_u64(), body["read_seq"].as_u64())
    };
    assert_eq!(state(&bob).await.0, Some(2));
    assert_eq!(state(&ada).await, (Some(0), Some(last)), "a send is read by its sender");
    for (seq, wanted) in
        [(first, (Some(1), Some(first))), (last + 50, (Some(0), Some(last))), (first, (Some(0), Some(last)))]
    {
        server.call(Some(&bob), "PUT", &format!("{path}/read"), json!({ "seq": seq })).await.wants(204);
        assert_eq!(state(&bob).await, wanted);
    }
}
