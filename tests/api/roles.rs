//! Who may do what, over REST: every role against every operation.

use serde_json::{Value, json};

use crate::support::{Answer, Person, Server, World};

struct Cast {
    server: Server,
    owner: Person,
    admin: Person,
    member: Person,
    outsider: Person,
}

async fn cast(world: &World) -> Cast {
    let server = world.serve().await;
    let (owner, admin) = (server.guest().await, server.guest().await);
    let (member, outsider) = (server.guest().await, server.guest().await);
    Cast { server, owner, admin, member, outsider }
}

impl Cast {
    /// A fresh group of owner, admin, member and a bystander; the group, the bystander and the seq of their
    /// message.
    async fn group(&self) -> (String, Person, u64) {
        let bystander = self.server.guest().await;
        let group = self.server.group(&self.owner, &[&self.admin, &self.member, &bystander]).await;
        let path = format!("/v1/conversations/{group}/members/{}", self.admin.id);
        self.server.call(Some(&self.owner), "PATCH", &path, json!({ "role": "admin" })).await.wants(200);
        let seq = self.server.say(&bystander, &group, "hello").await;
        (group, bystander, seq)
    }

    async fn attempt(&self, who: &Person, method: &str, rest: &str, body: &Value) -> Answer {
        let (group, bystander, seq) = self.group().await;
        let newcomer = self.server.guest().await;
        let fill = |text: &str| {
            text.replace("$BYSTANDER", &bystander.id)
                .replace("$NEWCOMER", &newcomer.id)
                .replace("$ADMIN", &self.admin.id)
                .replace("$OWNER", &self.owner.id)
                .replace("$SELF", &who.id)
                .replace("$SEQ", &seq.to_string())
        };
        let path = format!("/v1/conversations/{group}{}", fill(rest));
        let mut request = self.server.request(method, &path).bearer_auth(&who.access);
        request = request.header("Idempotency-Key", crate::support::uuid());
        if !body.is_null() {
            request = request.json(body);
        }
        Answer::of(request).await
    }
}

#[actix_web::test]
async fn every_role_against_every_operation() {
    let world = World::new().await;
    let cast = cast(&world).await;
    let none = Value::Null;
    // Method, path, body, then the statuses for owner, admin, member and outsider.
    let table = [
        ("GET", "", none.clone(), [200, 200, 200, 404]),
        ("GET", "/members", none.clone(), [200, 200, 200, 404]),
        ("GET", "/messages", none.clone(), [200, 200, 200, 404]),
        ("GET", "/events", none.clone(), [200, 200, 200, 404]),
        ("POST", "/messages", json!({ "body": "hi" }), [201, 201, 201, 404]),
        ("PUT", "/read", json!({ "seq": 1 }), [204, 204, 204, 404]),
        ("PUT", "/messages/$SEQ/reactions/x", none.clone(), [200, 200, 200, 404]),
        ("PATCH", "/messages/$SEQ", json!({ "body": "not mine" }), [403, 403, 403, 404]),
        ("DELETE", "/messages/$SEQ", none.clone(), [200, 200, 403, 404]),
        ("PATCH", "", json!({ "name": "a new name" }), [200, 200, 403, 404]),
        ("PATCH", "", json!({ "topic": "a new topic" }), [200, 200, 403, 404]),
        ("PATCH", "", json!({ "topic": "" }), [200, 200, 403, 404]),
        ("PATCH", "", json!({ "topic": "two\nlines" }), [422, 422, 422, 422]),
        ("PUT", "/members/$NEWCOMER", none.clone(), [201, 201, 403, 404]),
        ("PUT", "/members/$SELF", none.clone(), [200, 200, 200, 404]),
        ("PUT", "/members/$NEWCOMER", json!({ "role": "admin" }), [201, 403, 403, 404]),
        ("PATCH", "/members/$BYSTANDER", json!({ "role": "admin" }), [200, 403, 403, 404]),
        ("DELETE", "/members/$BYSTANDER", none.clone(), [204, 204, 403, 404]),
        ("DELETE", "/members/$OWNER", none.clone(), [204, 403, 403, 404]),
        ("PUT", "/members/$BYSTANDER/mute", json!({ "duration_s": 60 }), [200, 200, 403, 404]),
        ("PUT", "/members/$ADMIN/mute", json!({ "duration_s": 60 }), [200, 403, 403, 404]),
        ("PUT", "/members/$OWNER/mute", json!({ "duration_s": 60 }), [403, 403, 403, 404]),
        ("PUT", "/members/$SELF/mute", json!({ "duration_s": 60 }), [403, 403, 403, 404]),
        ("PUT", "/members/$NEWCOMER/mute", json!({ "duration_s": 60 }), [404, 404, 403, 404]),
        ("PUT", "/members/$BYSTANDER/mute", json!({ "duration_s": 0 }), [422, 422, 422, 422]),
        ("PUT", "/members/$BYSTANDER/mute", json!({ "duration_s": 31_536_001 }), [422, 422, 422, 422]),
        ("DELETE", "/members/$BYSTANDER/mute", none.clone(), [204, 204, 403, 404]),
        ("PUT", "/bans/$BYSTANDER", json!({ "duration_s": 60, "reason": "spam" }), [204, 204, 403, 404]),
        ("PUT", "/bans/$BYSTANDER", none.clone(), [204, 204, 403, 404]),
        ("PUT", "/bans/$NEWCOMER", none.clone(), [204, 204, 403, 404]),
        ("PUT", "/bans/$ADMIN", none.clone(), [204, 403, 403, 404]),
        ("PUT", "/bans/$OWNER", none.clone(), [403, 403, 403, 404]),
        ("PUT", "/bans/$SELF", none.clone(), [403, 403, 403, 404]),
        ("PUT", "/bans/$BYSTANDER", json!({ "duration_s": 0 }), [422, 422, 422, 422]),
        ("PUT", "/bans/$BYSTANDER", json!({ "reason": "two\nlines" }), [422, 422, 422, 422]),
        ("DELETE", "/bans/$BYSTANDER", none.clone(), [204, 204, 403, 404]),
        ("GET", "/bans", none.clone(), [200, 200, 403, 404]),
        ("DELETE", "", none, [204, 403, 403, 404]),
    ];
    let mut wrong = Vec::new();
    for (method, rest, body, statuses) in &table {
        let people = [
            ("owner", &cast.owner),
            ("admin", &cast.admin),
            ("member", &cast.member),
            ("outsider", &cast.outsider),
        ];
        for ((role, person), wanted) in people.into_iter().zip(statuses) {
            let answer = cast.attempt(person, method, rest, body).await;
            if answer.status != *wanted {
                wrong.push(format!(
                    "{role} {method} {rest} {body}: wanted {wanted}, got {} {}",
                    answer.status, answer.text
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[actix_web::test]
async fn ownership_is_handed_over_and_inherited() {
    let world = World::new().await;
    let cast = cast(&world).await;
    let (group, bystander, _) = cast.group().await;
    let roles = async |viewer: &Person| {
        let path = format!("/v1/conversations/{group}/members");
        let body = cast.server.get(viewer, &path).await.wants(200);
        let members = body["members"].as_array().expect("members").clone();
        let role = move |person: &Person| {
            members
                .iter()
                .find(|member| member["user"] == person.id.as_str())
                .map(|member| member["role"].clone())
        };
        [role(&cast.owner), role(&cast.admin), role(&cast.member), role(&bystander)]
    };
    let hand_over = format!("/v1/conversations/{group}/members/{}", cast.member.id);
    cast.server.call(Some(&cast.owner), "PATCH", &hand_over, json!({ "role": "owner" })).await.wants(200);
    let some = |text: &str| Some(json!(text));
    assert_eq!(roles(&bystander).await, [some("admin"), some("admin"), some("owner"), some("member")]);
    cast.server.call(Some(&cast.member), "DELETE", &hand_over, Value::Null).await.wants(204);
    let after = roles(&bystander).await;
    assert_eq!(after.iter().filter(|role| **role == some("owner")).count(), 1, "{after:?}");
    assert_eq!(after[2], None);
}

#[actix_web::test]
async fn a_muted_member_is_told_for_how_long_and_shown_as_muted() {
    let world = World::new().await;
    let cast = cast(&world).await;
    let (group, bystander, _) = cast.group().await;
    let mute = format!("/v1/conversations/{group}/members/{}/mute", bystander.id);
    let shown = async || {
        let members =
            cast.server.get(&bystander, &format!("/v1/conversations/{group}/members")).await.wants(200);
        let members = members["members"].as_array().expect("members").clone();
        let own = members.into_iter().find(|member| member["user"] == bystander.id.as_str());
        own.expect("a member")["muted_until"].clone()
    };
    let muted =
        cast.server.call(Some(&cast.admin), "PUT", &mute, json!({ "duration_s": 3_600 })).await.wants(200);
    assert!(muted["muted_until"].is_string());
    assert_eq!(shown().await, muted["muted_until"]);
    let own_view =
        async || cast.server.get(&bystander, &format!("/v1/conversations/{group}")).await.wants(200);
    assert_eq!(own_view().await["muted_until"], muted["muted_until"]);
    let of_the_admin = cast.server.get(&cast.admin, &format!("/v1/conversations/{group}")).await.wants(200);
    assert!(of_the_admin["muted_until"].is_null());
    let say = async || {
        let path = format!("/v1/conversations/{group}/messages");
        let request = cast.server.request("POST", &path).bearer_auth(&bystander.access);
        let request = request.header("Idempotency-Key", crate::support::uuid());
        Answer::of(request.json(&json!({ "body": "hi" }))).await
    };
    let refused = say().await.wants(403);
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("muted"), &json!(false)));
    let left_ms = refused["retry_after_ms"].as_u64().expect("a time");
    assert!((3_500_000..=3_600_000).contains(&left_ms), "{left_ms}");
    cast.server.call(Some(&cast.owner), "DELETE", &mute, Value::Null).await.wants(204);
    assert!(shown().await.is_null() && own_view().await["muted_until"].is_null());
    say().await.wants(201);
}

#[actix_web::test]
async fn a_banned_user_is_told_for_how_long_and_listed_with_the_reason() {
    let world = World::new().await;
    let cast = cast(&world).await;
    let (group, bystander, _) = cast.group().await;
    let (bans, member) = (
        format!("/v1/conversations/{group}/bans"),
        format!("/v1/conversations/{group}/members/{}", bystander.id),
    );
    let ban = format!("{bans}/{}", bystander.id);
    let wanted = json!({ "duration_s": 3_600, "reason": " sold gold " });
    cast.server.call(Some(&cast.admin), "PUT", &ban, wanted).await.wants(204);
    cast.server.get(&bystander, &format!("/v1/conversations/{group}")).await.wants(404);
    let refused = cast.server.call(Some(&cast.owner), "PUT", &member, Value::Null).await.wants(403);
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("banned"), &json!(false)));
    let left_ms = refused["retry_after_ms"].as_u64().expect("a time");
    assert!((3_500_000..=3_600_000).contains(&left_ms), "{left_ms}");
    let listed = cast.server.get(&cast.owner, &bans).await.wants(200);
    let [known] = &**listed["bans"].as_array().expect("bans") else { panic!("{listed}") };
    assert_eq!(
        (&known["user"], &known["banned_by"], &known["reason"]),
        (&json!(bystander.id), &json!(cast.admin.id), &json!("sold gold"))
    );
    cast.server.call(Some(&cast.owner), "PUT", &ban, Value::Null).await.wants(204);
    let listed = cast.server.get(&cast.owner, &bans).await.wants(200);
    assert_eq!(listed["bans"][0]["until"], json!("9999-12-31T23:59:59.999Z"));
    cast.server.call(Some(&cast.admin), "DELETE", &ban, Value::Null).await.wants(204);
    cast.server.call(Some(&cast.owner), "PUT", &member, Value::Null).await.wants(201);
}

#[actix_web::test]
async fn open_channels_are_joined_by_id_and_read_from_there_on() {
    let world = World::new().await;
    let cast = cast(&world).await;
    let made = cast.server.call(
        Some(&cast.owner),
        "POST",
        "/v1/conversations",
        json!({ "kind": "channel", "name": "Lobby" }),
    );
    let made = made.await.wants(201);
    assert_eq!(
        (&made["join"], &made["history"], &made["role"]),
        (&json!("open"), &json!("from_join"), &json!("owner"))
    );
    let channel = made["conversation"].as_str().expect("an id");
    cast.server.say(&cast.owner, channel, "before").await;
    let messages = format!("/v1/conversations/{channel}/messages");
    let refused = cast.server.get(&cast.outsider, &messages).await;
    assert!(matches!(refused.status.as_u16(), 403 | 404), "{}", refused.text);
    let join = format!("/v1/conversations/{channel}/members/{}", cast.outsider.id);
    let joined = cast.server.call(Some(&cast.outsider), "PUT", &join, Value::Null).await.wants(201);
    assert_eq!((&joined["user"], &joined["role"]), (&json!(cast.outsider.id), &json!("member")));
    cast.server.call(Some(&cast.outsider), "PUT", &join, Value::Null).await.wants(200);
    cast.server.say(&cast.owner, channel, "after").await;
    let page = cast.server.get(&cast.outsider, &messages).await.wants(200);
    let bodies: Vec<_> =
        page["messages"].as_array().expect("messages").iter().map(|m| m["body"].clone()).collect();
    assert_eq!(bodies, ["after"]);
}

#[actix_web::test]
async fn a_direct_conversation_is_one_from_both_sides() {
    let world = World::new().await;
    let cast = cast(&world).await;
    let direct = |with: &Person| json!({ "kind": "direct", "members": [with.id] });
    let create = async |who: &Person, body: Value| {
        cast.server.call(Some(who), "POST", "/v1/conversations", body).await
    };
    let made = create(&cast.owner, direct(&cast.member)).await.wants(201);
    let same = create(&cast.member, direct(&cast.owner)).await.wants(200);
    assert_eq!(made["conversation"], same["conversation"]);
    assert_eq!((&made["peer"], &same["peer"]), (&json!(cast.member.id), &json!(cast.owner.id)));
    let path = format!("/v1/conversations/{}", made["conversation"].as_str().expect("an id"));
    cast.server.get(&cast.outsider, &path).await.refused(404, "not_found");
    for body in [json!({ "name": "x" }), json!({ "topic": "x" })] {
        cast.server.call(Some(&cast.owner), "PATCH", &path, body).await.refused(403, "forbidden");
    }
    cast.server.call(Some(&cast.owner), "DELETE", &path, Value::Null).await.refused(403, "forbidden");
    for field in ["name", "topic"] {
        let mut body = direct(&cast.member);
        body[field] = json!("x");
        create(&cast.owner, body).await.refused(422, "invalid");
    }
}

#[actix_web::test]
async fn a_topic_is_shown_beside_the_name_until_it_is_emptied() {
    let world = World::new().await;
    let cast = cast(&world).await;
    let (server, owner, outsider) = (&cast.server, Some(&cast.owner), &cast.outsider);
    let body = json!({ "kind": "channel", "name": "Aquarium", "topic": " Of fish and tanks " });
    let made = server.call(owner, "POST", "/v1/conversations", body).await.wants(201);
    assert_eq!(made["topic"], "Of fish and tanks");
    let path = format!("/v1/conversations/{}", made["conversation"].as_str().expect("an id"));
    let seen = async || {
        let own = server.get(&cast.owner, &path).await.wants(200);
        let preview = server.get(outsider, &format!("{path}/preview")).await.wants(200);
        let listed = server.get(outsider, "/v1/channels?prefix=aqua").await.wants(200);
        [own, preview, listed["channels"][0].clone()].map(|one| one.get("topic").cloned())
    };
    assert_eq!(seen().await, [const { "Of fish and tanks" }; 3].map(|topic| Some(json!(topic))));
    let changed = server.call(owner, "PATCH", &path, json!({ "topic": "Frogs" })).await.wants(200);
    assert_eq!((&changed["topic"], &changed["name"]), (&json!("Frogs"), &json!("Aquarium")));
    let renamed = server.call(owner, "PATCH", &path, json!({ "name": "Pond" })).await.wants(200);
    assert_eq!(renamed["topic"], "Frogs", "what is not named stays");
    server.call(owner, "PATCH", &path, json!({ "name": "Aquarium", "topic": " " })).await.wants(200);
    assert_eq!(seen().await, [None, None, None]);
    let events = server.get(&cast.owner, &format!("{path}/events?after=1")).await.wants(200);
    let events = events["events"].as_array().expect("events");
    let changes: Vec<_> = events.iter().map(|event| event["changes"].clone()).collect();
    assert_eq!(
        changes,
        [json!({ "topic": "Frogs" }), json!({ "name": "Pond" }), json!({ "name": "Aquarium", "topic": "" })]
    );
}

#[actix_web::test]
async fn making_a_group_twice_under_one_key_makes_one() {
    let world = World::new().await;
    let cast = cast(&world).await;
    let body = json!({ "kind": "group", "members": [cast.member.id], "client_id": crate::support::uuid() });
    let create =
        async |who: &Person| cast.server.call(Some(who), "POST", "/v1/conversations", body.clone()).await;
    let made = create(&cast.owner).await.wants(201);
    assert_eq!(create(&cast.owner).await.wants(200), made);
    let others = create(&cast.admin).await.wants(201);
    assert_ne!(others["conversation"], made["conversation"], "keys are per user");
    let list = cast.server.get(&cast.member, "/v1/conversations?limit=1").await.wants(200);
    let cursor = list["next_cursor"].as_str().expect("a second page");
    let rest =
        cast.server.get(&cast.member, &format!("/v1/conversations?limit=1&cursor={cursor}")).await.wants(200);
    assert!(rest["next_cursor"].is_null());
    let ids = [&list["conversations"][0]["conversation"], &rest["conversations"][0]["conversation"]];
    assert_ne!(ids[0], ids[1]);
}
