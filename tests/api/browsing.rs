//! Open channels: browsing and previews by those who are not in them.

use serde_json::{Value, json};
use tidings::config::Directory;

use crate::support::{Person, Server, World};

async fn channel(server: &Server, owner: &Person, name: &str, history: &str) -> String {
    let body = json!({ "kind": "channel", "name": name, "history": history });
    let made = server.call(Some(owner), "POST", "/v1/conversations", body).await.wants(201);
    made["conversation"].as_str().expect("an id").to_owned()
}

#[actix_web::test]
async fn channels_are_browsed_page_by_page_and_previewed_before_joining() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, eve) = (server.guest().await, server.guest().await);
    let arena = channel(&server, &ada, "Arena", "all").await;
    for name in ["lobby", "Library"] {
        channel(&server, &ada, name, "from_join").await;
    }
    let names = async |query: &str| -> Vec<String> {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&eve, &format!("/v1/channels?limit=1{query}{cursor}")).await.wants(200);
            let channels = page["channels"].as_array().expect("channels");
            names.extend(channels.iter().map(|one| one["name"].as_str().expect("a name").to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { return names };
            cursor = format!("&cursor={next}");
        }
    };
    assert_eq!(names("&order=name").await, ["Arena", "Library", "lobby"]);
    assert_eq!(names("&prefix=LI").await, ["Library"]);
    assert_eq!(names("&order=name&prefix=l").await, ["Library", "lobby"]);
    let mut by_activity = names("").await;
    by_activity.sort_unstable();
    assert_eq!(by_activity, ["Arena", "Library", "lobby"]);

    let page = server.get(&eve, "/v1/channels?order=name&limit=1").await.wants(200);
    let by_name = page["next_cursor"].as_str().expect("more");
    let long = format!("prefix={}", "x".repeat(65));
    for bad in
        ["order=size", "order=activity&prefix=l", "limit=0", "cursor=x", &format!("cursor={by_name}"), &long]
    {
        server.get(&eve, &format!("/v1/channels?{bad}")).await.refused(422, "invalid");
    }
    server.call(None, "GET", "/v1/channels", Value::Null).await.refused(401, "unauthenticated");

    for n in 0..25 {
        server.say(&ada, &arena, &format!("message {n}")).await;
    }
    let preview = server.get(&eve, &format!("/v1/conversations/{arena}/preview")).await.wants(200);
    let messages = preview["messages"].as_array().expect("messages");
    assert_eq!((messages.len(), &messages[19]["body"]), (20, &json!("message 24")));
    assert_eq!((&preview["member"], &preview["member_count"]), (&json!(false), &json!(1)));
    // What one may preview one may not read: nothing else of it is answered.
    server.get(&eve, &format!("/v1/conversations/{arena}/messages")).await.refused(403, "not_member");

    let group = server.group(&ada, &[]).await;
    let closed =
        server.get(&eve, &format!("/v1/conversations/{group}/preview")).await.refused(404, "not_found");
    let nowhere = "/v1/conversations/c_00000000000000000000000000000002/preview";
    assert_eq!(
        server.get(&eve, nowhere).await.refused(404, "not_found"),
        closed,
        "the two are told apart by nothing"
    );
}

#[actix_web::test]
async fn a_closed_directory_lists_no_channels() {
    let world = World { directory: Directory::Closed, ..World::new().await };
    let server = world.serve().await;
    let ada = server.guest().await;
    let arena = channel(&server, &ada, "Arena", "all").await;
    server.get(&ada, "/v1/channels").await.refused(403, "forbidden");
    let eve = server.guest().await;
    // Whoever was given its id may join it, and look at it before.
    server.get(&eve, &format!("/v1/conversations/{arena}/preview")).await.wants(200);
}
