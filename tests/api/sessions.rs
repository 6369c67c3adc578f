//! One's own sign-ins: seen, and ended.

use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Person, Server, Skewed, World};

async fn sign_in(server: &Server, device_name: &str) -> Person {
    let body = json!({ "username": "ada", "password": PASSWORD, "device_name": device_name });
    Person::of(&server.call(None, "POST", "/v1/tokens", body).await.wants(200))
}

async fn sessions(server: &Server, who: &Person) -> Vec<Value> {
    let body = server.get(who, "/v1/me/sessions").await.wants(200);
    body["sessions"].as_array().expect("a list").clone()
}

fn names(sessions: &[Value]) -> Vec<Option<&str>> {
    sessions.iter().map(|session| session["device_name"].as_str()).collect()
}

async fn end(server: &Server, who: &Person, session: &Value) -> Answer {
    let path = format!("/v1/me/sessions/{}", session.as_str().expect("an id"));
    server.call(Some(who), "DELETE", &path, Value::Null).await
}

#[actix_web::test]
async fn a_user_sees_the_own_sign_ins_and_ends_one_or_all_others() {
    let world = World::new().await;
    let server = world.serve().await;
    let first = server.sign_up("ada").await;
    let phone = sign_in(&server, " Ada's phone ").await;
    let laptop = sign_in(&server, "").await;

    let seen = sessions(&server, &phone).await;
    assert_eq!(names(&seen), [None, Some("Ada's phone"), None], "the last one first; {seen:?}");
    let current: Vec<_> = seen.iter().map(|session| session["current"].as_bool()).collect();
    assert_eq!(current, [Some(false), Some(true), Some(false)]);
    for session in &seen {
        assert_eq!(session["network"], "127.0.0.0/24");
        assert_eq!(session["created_at"], session["last_used_at"]);
    }

    end(&server, &phone, &seen[0]["session"]).await.wants(204);
    server.get(&laptop, "/v1/me").await.refused(401, "unauthenticated");
    let refresh = json!({ "refresh_token": laptop.refresh });
    server.call(None, "POST", "/v1/tokens/refresh", refresh).await.refused(401, "unauthenticated");
    end(&server, &phone, &seen[0]["session"]).await.wants(204);
    assert_eq!(sessions(&server, &phone).await, seen[1..]);

    let tablet = sign_in(&server, "tablet").await;
    server.call(Some(&phone), "DELETE", "/v1/me/sessions", Value::Null).await.wants(204);
    for ended in [&first, &tablet] {
        server.get(ended, "/v1/me").await.refused(401, "unauthenticated");
    }
    assert_eq!(sessions(&server, &phone).await, seen[1..2]);
    end(&server, &phone, &seen[1]["session"]).await.wants(204);
    server.get(&phone, "/v1/me").await.refused(401, "unauthenticated");
}

#[actix_web::test]
async fn nobody_ends_what_is_not_theirs_and_nobody_learns_that_it_exists() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let hers = sessions(&server, &ada).await;
    let one = end(&server, &eve, &hers[0]["session"]).await.refused(404, "not_found");
    let unknown = json!("f_00000000000000000000000000000001");
    assert_eq!(end(&server, &eve, &unknown).await.refused(404, "not_found"), one);
    end(&server, &eve, &json!("f_1")).await.refused(404, "not_found");
    server.get(&ada, "/v1/me").await.wants(200);
    server.call(Some(&eve), "DELETE", "/v1/me/sessions", Value::Null).await.wants(204);
    server.get(&ada, "/v1/me").await.wants(200);
}

/// The address is a whole one, and what is kept of it is not.
#[actix_web::test]
async fn a_refresh_moves_the_last_use_and_the_network() {
    let world = World::new().await;
    let clock = Skewed::new(&world.environment, 0);
    let server = world.serve_at(clock.clone(), |_| {}).await;
    let ada = server.sign_up("ada").await;
    let before = sessions(&server, &ada).await;
    clock.set(60_000);
    let body = json!({ "refresh_token": ada.refresh });
    let request = server.request("POST", "/v1/tokens/refresh").header("X-Forwarded-For", "2001:db8:1:2:3::4");
    let ada = Person::of(&Answer::of(request.json(&body)).await.wants(200));
    let after = sessions(&server, &ada).await;
    assert_eq!(after[0]["network"], "2001:db8:1::/48");
    assert_eq!(after[0]["created_at"], before[0]["created_at"]);
    assert!(after[0]["last_used_at"].as_str() > before[0]["last_used_at"].as_str(), "{after:?}");
    server.get(&ada, "/v1/me").await.wants(200);
    assert_eq!(sessions(&server, &ada).await, after, "a request moves nothing");
}

#[actix_web::test]
async fn a_device_name_is_text_for_people() {
    let world = World::new().await;
    let server = world.serve().await;
    server.sign_up("ada").await;
    for bad in ["two\nlines", "right \u{202e} left", &"x".repeat(65)] {
        let account = json!({ "username": "ada", "password": PASSWORD, "device_name": bad });
        for path in ["/v1/tokens", "/v1/accounts", "/v1/accounts/guest"] {
            let detail = server.call(None, "POST", path, account.clone()).await.refused(422, "invalid");
            assert!(detail.starts_with("device_name: "), "{detail}");
        }
    }
}

/// Whoever had the device id could sign in until the claim, and has nothing after it.
#[actix_web::test]
async fn a_claim_ends_the_other_sign_ins_of_the_guest() {
    let world = World::new().await;
    let server = world.serve().await;
    let device = json!({ "device_id": "4be0643f-1d98-473b-97cd-ca98a65347dd" });
    let guest = async || {
        let answer = server.call(None, "POST", "/v1/accounts/guest", device.clone()).await;
        Person::of(&answer.body)
    };
    let (thief, owner) = (guest().await, guest().await);
    assert_eq!(thief.id, owner.id);
    let claim = json!({ "username": "max", "password": PASSWORD });
    server.call(Some(&owner), "POST", "/v1/me/claim", claim.clone()).await.wants(200);
    server.get(&thief, "/v1/me").await.refused(401, "unauthenticated");
    let refresh = json!({ "refresh_token": thief.refresh });
    server.call(None, "POST", "/v1/tokens/refresh", refresh).await.refused(401, "unauthenticated");
    server.get(&owner, "/v1/me").await.wants(200);
    assert_eq!(sessions(&server, &owner).await.len(), 1);
    assert_ne!(guest().await.id, owner.id, "the device id leads to another guest");

    // When the answer was lost, it is asked for again.
    server.call(Some(&owner), "POST", "/v1/me/claim", claim).await.wants(200);
    server.get(&owner, "/v1/me").await.wants(200);
}

#[actix_web::test]
async fn a_device_id_is_long_and_random_and_ends_with_its_session() {
    let world = World::new().await;
    let server = world.serve().await;
    let by = async |device_id: &str| {
        server.call(None, "POST", "/v1/accounts/guest", json!({ "device_id": device_id })).await
    };
    for bad in ["1", "my telephone", "12345678901234567890a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let detail = by(bad).await.refused(422, "invalid");
        assert!(detail.starts_with("device_id: ") && detail.contains("send a new UUID"), "{detail}");
    }
    for path in ["/v1/tokens", "/v1/tokens?all=true"] {
        let device = "1d96a7e6-c4a5-4b8c-9c2f-0a3c1b4ed5f0";
        let guest = Person::of(&by(device).await.wants(201));
        assert_eq!(Person::of(&by(device).await.wants(200)).id, guest.id);
        server.call(Some(&guest), "DELETE", path, Value::Null).await.wants(204);
        let next = Person::of(&by(device).await.wants(201));
        assert_ne!(next.id, guest.id, "{path}");
        server.call(Some(&next), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
    }
}
