//! Signing up, in and out; guests; passwords.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Person, World};
use tidings::config::{AuthSettings, Settings, SignUps};
use tidings::identity::Claims;
use tidings::store::{Revocation, RevocationCursor, RevocationKind};

#[actix_web::test]
async fn an_account_signs_in_and_knows_itself() {
    let (world, body) =
        (World::new().await, json!({ "username": "Ada", "password": PASSWORD, "display_name": " Ada L " }));
    let server = world.serve().await;
    let made = server.call(None, "POST", "/v1/accounts", body).await.wants(201);
    assert_eq!(made["user"]["username"], "ada");
    assert_eq!(made["user"]["display_name"], "Ada L");
    assert_eq!(made["user"]["guest"], false);
    assert_eq!(made["expires_in"], 900);
    let other = json!({ "username": "ADA", "password": "another horse" });
    let detail = server.call(None, "POST", "/v1/accounts", other).await.refused(409, "conflict");
    assert!(detail.contains("username"), "{detail}");

    let right = json!({ "username": "ADA", "password": PASSWORD });
    let ada = Person::of(&server.call(None, "POST", "/v1/tokens", right).await.wants(200));
    let me = server.get(&ada, "/v1/me").await.wants(200);
    assert_eq!((&me["id"], &me), (&made["user"]["id"], &made["user"]));
    for wrong in [
        json!({ "username": "ada", "password": "wrong horse" }),
        json!({ "username": "bob", "password": PASSWORD }),
    ] {
        let detail = server.call(None, "POST", "/v1/tokens", wrong).await.refused(401, "unauthenticated");
        assert_eq!(detail, "username or password is wrong", "the same for both");
    }
}

#[actix_web::test]
async fn a_refresh_token_that_comes_back_after_its_successor_was_used_ends_the_sign_in() {
    let world = World::new().await;
    let server = world.serve().await;
    let first = server.sign_up("ada").await;
    let refresh = async |person: &Person| {
        server.call(None, "POST", "/v1/tokens/refresh", json!({ "refresh_token": person.refresh })).await
    };
    let second = Person::of(&refresh(&first).await.wants(200));
    let third = Person::of(&refresh(&second).await.wants(200));
    server.get(&third, "/v1/me").await.wants(200);
    refresh(&first).await.refused(401, "unauthenticated");
    refresh(&third).await.refused(401, "unauthenticated");
    for ended in [&first, &second, &third] {
        server.get(ended, "/v1/me").await.refused(401, "unauthenticated");
    }
    let body = json!({ "username": "ada", "password": PASSWORD });
    let again = Person::of(&server.call(None, "POST", "/v1/tokens", body).await.wants(200));
    server.get(&again, "/v1/me").await.wants(200);
}

/// The node still knows the end of a sign-in that a failover of the database lost.
#[actix_web::test]
async fn a_refresh_token_does_not_survive_a_sign_out_that_the_database_lost() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.sign_up("ada").await;
    let claims = server.identity.authenticate(&ada.access).await.expect("the token is good");
    let Claims { user, family, issued_at: at, .. } = claims;
    server.identity.on_bus_revocation(&Revocation { user, family, at, kind: RevocationKind::Tokens });
    server.get(&ada, "/v1/me").await.refused(401, "unauthenticated");
    let refresh = json!({ "refresh_token": ada.refresh });
    server.call(None, "POST", "/v1/tokens/refresh", refresh).await.refused(401, "unauthenticated");
    let (revocations, _) =
        world.store.revocations(RevocationCursor::default()).await.expect("the store answers");
    assert!(revocations.iter().any(|one| one.revocation.family == family), "its end is stored again");
}

/// The node still knows that an account was erased, and a restore of the database lost that.
#[actix_web::test]
async fn an_account_whose_erasure_the_database_lost_is_erased_again() {
    let world = World::new().await;
    let server = world.serve().await;
    let lost = async |access: &str| {
        let claims = server.identity.authenticate(access).await.expect("the token is good");
        let Claims { user, issued_at: at, .. } = claims;
        server.identity.on_bus_revocation(&Revocation {
            user,
            family: None,
            at,
            kind: RevocationKind::Erasure,
        });
        user
    };
    let erased = async |user| !world.store.account_state(user).await.expect("the store answers").is_living();
    let [ada, ben, cleo] =
        [server.sign_up("ada").await, server.sign_up("ben").await, server.sign_up("cleo").await];

    // A refresh ends the account, and so does a sign-in.
    let user = lost(&ada.access).await;
    let refresh = json!({ "refresh_token": ada.refresh });
    server.call(None, "POST", "/v1/tokens/refresh", refresh).await.refused(401, "unauthenticated");
    assert!(erased(user).await);
    let user = lost(&ben.access).await;
    let named = |username: &str| json!({ "username": username, "password": PASSWORD });
    server.call(None, "POST", "/v1/tokens", named("ben")).await.refused(401, "unauthenticated");
    assert!(erased(user).await);

    // The names are free, and so is a guest's device.
    let user = lost(&cleo.access).await;
    for username in ["ada", "ben", "cleo"] {
        let again = server.call(None, "POST", "/v1/accounts", named(username)).await.wants(201);
        assert_ne!(again["user"]["id"], json!(user.to_string()));
    }
    assert!(erased(user).await);
    let guest = json!({ "device_id": "a-secret-of-a-telephone" });
    let first = server.call(None, "POST", "/v1/accounts/guest", guest.clone()).await.wants(201);
    let user = lost(first["access_token"].as_str().expect("a token")).await;
    let again = server.call(None, "POST", "/v1/accounts/guest", guest).await.wants(201);
    assert!(erased(user).await && again["user"]["id"] != first["user"]["id"]);
}

#[actix_web::test]
async fn a_refresh_whose_answer_was_lost_is_asked_for_again() {
    let world = World::new().await;
    let server = world.serve().await;
    let guest = server.guest().await;
    let refresh = async |person: &Person| {
        let body = json!({ "refresh_token": person.refresh });
        server.call(None, "POST", "/v1/tokens/refresh", body).await
    };
    let lost = Person::of(&refresh(&guest).await.wants(200));
    let second = Person::of(&refresh(&guest).await.wants(200));
    for good in [&guest, &lost, &second] {
        server.get(good, "/v1/me").await.wants(200);
    }
    let third = Person::of(&refresh(&second).await.wants(200));
    refresh(&lost).await.refused(401, "unauthenticated");
    server.get(&third, "/v1/me").await.refused(401, "unauthenticated");
}

#[actix_web::test]
async fn of_two_that_refresh_at_once_one_token_lives_on() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.sign_up("ada").await;
    let body = json!({ "refresh_token": ada.refresh });
    let (one, other) = tokio::join!(
        server.call(None, "POST", "/v1/tokens/refresh", body.clone()),
        server.call(None, "POST", "/v1/tokens/refresh", body),
    );
    let [one, other] = [one, other].map(|answer| Person::of(&answer.wants(200)));
    let refresh = async |person: &Person| {
        let body = json!({ "refresh_token": person.refresh });
        server.call(None, "POST", "/v1/tokens/refresh", body).await
    };
    // The later one took the place of the other's.
    let (first, second) = (refresh(&one).await, refresh(&other).await);
    assert!(first.status == 401 || second.status == 401, "{} {}", first.text, second.text);
    for ended in [&one, &other] {
        server.get(ended, "/v1/me").await.refused(401, "unauthenticated");
    }
}

#[actix_web::test]
async fn signing_out_ends_one_sign_in_or_all() {
    let world = World::new().await;
    let server = world.serve().await;
    let phone = server.sign_up("ada").await;
    let body = json!({ "username": "ada", "password": PASSWORD });
    let laptop = Person::of(&server.call(None, "POST", "/v1/tokens", body.clone()).await.wants(200));
    server.call(Some(&phone), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
    server.get(&phone, "/v1/me").await.refused(401, "unauthenticated");
    server.get(&laptop, "/v1/me").await.wants(200);
    let tablet = Person::of(&server.call(None, "POST", "/v1/tokens", body.clone()).await.wants(200));
    server.call(Some(&laptop), "DELETE", "/v1/tokens?all=true", Value::Null).await.wants(204);
    for ended in [&laptop, &tablet] {
        server.get(ended, "/v1/me").await.refused(401, "unauthenticated");
        let refresh = json!({ "refresh_token": ended.refresh });
        server.call(None, "POST", "/v1/tokens/refresh", refresh).await.refused(401, "unauthenticated");
    }
    let back = Person::of(&server.call(None, "POST", "/v1/tokens", body).await.wants(200));
    server.get(&back, "/v1/me").await.wants(200);
}

#[actix_web::test]
async fn a_guest_comes_back_by_its_device_until_it_is_claimed() {
    let world = World::new().await;
    let server = world.serve().await;
    let device = json!({ "device_id": "d4a1c0de-0000-4000-8000-000000000001", "display_name": "Max" });
    let made = server.call(None, "POST", "/v1/accounts/guest", device.clone()).await.wants(201);
    assert_eq!((&made["user"]["guest"], &made["user"]["username"]), (&json!(true), &Value::Null));
    let known = server.call(None, "POST", "/v1/accounts/guest", device.clone()).await.wants(200);
    assert_eq!(known["user"], made["user"]);
    let guest = Person::of(&known);

    server.sign_up("taken").await;
    let claim = |name: &str| json!({ "username": name, "password": PASSWORD });
    server.call(Some(&guest), "POST", "/v1/me/claim", claim("taken")).await.refused(409, "conflict");
    let claimed = server.call(Some(&guest), "POST", "/v1/me/claim", claim("max")).await.wants(200);
    assert_eq!(
        (&claimed["id"], &claimed["username"], &claimed["guest"]),
        (&json!(guest.id), &json!("max"), &json!(false))
    );
    server.call(Some(&guest), "POST", "/v1/me/claim", claim("maxine")).await.refused(409, "conflict");
    let max = Person::of(&server.call(None, "POST", "/v1/tokens", claim("max")).await.wants(200));
    assert_eq!(max.id, guest.id);
    let stranger = server.call(None, "POST", "/v1/accounts/guest", device).await;
    assert_ne!(
        stranger.body["user"]["id"],
        json!(guest.id),
        "the device alone opens nothing that has a password"
    );
}

#[actix_web::test]
async fn a_new_password_needs_the_old_one_and_ends_other_sign_ins() {
    let world = World::new().await;
    let server = world.serve().await;
    let (ada, guest) = (server.sign_up("ada").await, server.guest().await);
    let old = json!({ "username": "ada", "password": PASSWORD });
    let other = Person::of(&server.call(None, "POST", "/v1/tokens", old.clone()).await.wants(200));
    let change = async |who: &Person, body: Value| server.call(Some(who), "PATCH", "/v1/me", body).await;
    change(&ada, json!({ "password": "a better horse" })).await.refused(422, "invalid");
    change(&ada, json!({ "password": "a better horse", "current_password": "no" }))
        .await
        .refused(403, "forbidden");
    change(&ada, json!({ "password": "short", "current_password": PASSWORD })).await.refused(422, "invalid");
    change(&guest, json!({ "password": "a better horse" })).await.refused(409, "conflict");
    server.get(&other, "/v1/me").await.wants(200);
    change(&ada, json!({ "password": "a better horse", "current_password": PASSWORD })).await.wants(200);
    server.get(&ada, "/v1/me").await.wants(200);
    server.get(&other, "/v1/me").await.refused(401, "unauthenticated");
    let refresh = json!({ "refresh_token": other.refresh });
    server.call(None, "POST", "/v1/tokens/refresh", refresh).await.refused(401, "unauthenticated");
    server.call(None, "POST", "/v1/tokens", old).await.refused(401, "unauthenticated");
    let new = json!({ "username": "ada", "password": "a better horse" });
    server.call(None, "POST", "/v1/tokens", new).await.wants(200);
}

#[actix_web::test]
async fn sign_ups_can_be_closed_to_all_or_to_all_but_guests() {
    let world = World::new().await;
    let account = json!({ "username": "ada", "password": PASSWORD });
    let guests = world.serve_with(|options| options.auth.sign_ups = SignUps::Guests).await;
    guests.call(None, "POST", "/v1/accounts", account.clone()).await.refused(403, "forbidden");
    let guest = guests.guest().await;
    guests.call(Some(&guest), "POST", "/v1/me/claim", account.clone()).await.refused(403, "forbidden");
    let closed = world.serve_with(|options| options.auth.sign_ups = SignUps::Closed).await;
    closed.call(None, "POST", "/v1/accounts", account).await.refused(403, "forbidden");
    closed.call(None, "POST", "/v1/accounts/guest", json!({})).await.refused(403, "forbidden");
}

#[actix_web::test]
async fn guessing_is_slowed_per_account_and_per_forwarded_address() {
    let world = World::new().await;
    let limits = AuthSettings {
        sign_ins_per_minute: 2,
        sign_ins_per_account_per_minute: 3,
        sign_ins_per_ip_per_minute: 4,
        sign_ups_per_ip_per_minute: 1,
        refreshes_per_ip_per_minute: 0,
        ..Settings::for_tests().auth
    };
    let server = world.serve_with(|options| options.auth = limits).await;
    let from = async |address: &str, path: &str, body: Value| {
        let request = server.request("POST", path).header("X-Forwarded-For", address).json(&body);
        crate::support::Answer::of(request).await
    };
    let account = |name: &str| json!({ "username": name, "password": PASSWORD });
    from("192.0.2.1", "/v1/accounts", account("ada")).await.wants(201);
    from("192.0.2.1", "/v1/accounts/guest", json!({})).await.refused(429, "rate_limited");
    from("192.0.2.2", "/v1/accounts/guest", json!({})).await.wants(201);
    let wrong = json!({ "username": "ada", "password": "a wrong horse" });
    from("192.0.2.3", "/v1/tokens", wrong.clone()).await.refused(401, "unauthenticated");
    from("192.0.2.3", "/v1/tokens", wrong.clone()).await.refused(401, "unauthenticated");
    from("192.0.2.3", "/v1/tokens", wrong.clone()).await.refused(429, "rate_limited");
    from("192.0.2.4", "/v1/tokens", wrong.clone()).await.refused(401, "unauthenticated");
    from("192.0.2.5", "/v1/tokens", account("ada")).await.refused(429, "rate_limited");
    for name in ["x1", "x2", "x3", "x5"] {
        from("192.0.2.6", "/v1/tokens", account(name)).await.refused(401, "unauthenticated");
    }
    from("192.0.2.6", "/v1/tokens", account("x4")).await.refused(429, "rate_limited");
}

#[actix_web::test]
async fn what_signs_up_may_be_asked_again_when_its_answer_was_lost() {
    let world = World::new().await;
    let server = world.serve().await;
    let post = async |who: Option<&Person>, path: &str, name: &str, password: &str| {
        server.call(who, "POST", path, json!({ "username": name, "password": password })).await
    };
    let first = post(None, "/v1/accounts", "ada", PASSWORD).await.wants(201);
    let again = post(None, "/v1/accounts", "ada", PASSWORD).await.wants(200);
    assert_eq!(again["user"], first["user"]);
    server.get(&Person::of(&again), "/v1/me").await.wants(200);
    post(None, "/v1/accounts", "ada", "somebody else's").await.refused(409, "conflict");

    let guest = server.guest().await;
    post(Some(&guest), "/v1/me/claim", "ada", PASSWORD).await.refused(409, "conflict");
    let claimed = post(Some(&guest), "/v1/me/claim", "max", PASSWORD).await.wants(200);
    assert_eq!(post(Some(&guest), "/v1/me/claim", "max", PASSWORD).await.wants(200), claimed);
    post(Some(&guest), "/v1/me/claim", "max", "another horse").await.refused(409, "conflict");
    post(Some(&guest), "/v1/me/claim", "maxine", PASSWORD).await.refused(409, "conflict");

    let (ada, other) = (Person::of(&first), Person::of(&again));
    let change = json!({ "password": "a better horse", "current_password": PASSWORD });
    let changed = server.call(Some(&ada), "PATCH", "/v1/me", change.clone()).await.wants(200);
    assert_eq!(server.call(Some(&ada), "PATCH", "/v1/me", change).await.wants(200), changed);
    server.get(&other, "/v1/me").await.refused(401, "unauthenticated");
    let third = json!({ "password": "a third horse", "current_password": PASSWORD });
    server.call(Some(&ada), "PATCH", "/v1/me", third).await.refused(403, "forbidden");
    post(None, "/v1/tokens", "ada", "a better horse").await.wants(200);
}

#[actix_web::test]
async fn a_password_is_one_password_however_its_letters_are_put_together() {
    let world = World::new().await;
    let server = world.serve().await;
    let (composed, apart) = ("Schl\u{fc}ssel-eins", "Schlu\u{308}ssel-eins");
    let named = |password: &str| json!({ "username": "zoe", "password": password });
    let zoe = Person::of(&server.call(None, "POST", "/v1/accounts", named(composed)).await.wants(201));
    server.call(None, "POST", "/v1/tokens", named(apart)).await.wants(200);
    server.call(None, "POST", "/v1/tokens", named("Schlussel-eins")).await.refused(401, "unauthenticated");
    let change = json!({ "password": "zwei-Schlu\u{308}ssel", "current_password": apart });
    server.call(Some(&zoe), "PATCH", "/v1/me", change).await.wants(200);
    server.call(None, "POST", "/v1/tokens", named("zwei-Schl\u{fc}ssel")).await.wants(200);
    let erase = json!({ "password": "zwei-Schl\u{fc}ssel" });
    server.call(Some(&zoe), "DELETE", "/v1/me", erase).await.wants(202);

    let guest = server.guest().await;
    server.call(Some(&guest), "POST", "/v1/me/claim", named(apart)).await.wants(200);
    server.call(None, "POST", "/v1/tokens", named(composed)).await.wants(200);
}

#[actix_web::test]
async fn a_proxy_may_add_a_port_and_whom_it_does_not_name_is_limited_too() {
    let world = World::new().await;
    let limits = AuthSettings {
        sign_ins_per_minute: 0,
        sign_ins_per_account_per_minute: 0,
        sign_ins_per_ip_per_minute: 0,
        sign_ups_per_ip_per_minute: 1,
        refreshes_per_ip_per_minute: 1,
        ..Settings::for_tests().auth
    };
    let server = world.serve_with(|options| options.auth = limits).await;
    let from = async |entry: &str, path: &str, body: Value| {
        let request = server.request("POST", path).header("X-Forwarded-For", entry).json(&body);
        crate::support::Answer::of(request).await
    };
    for (entry, status) in [
        ("203.0.113.2:40001", 201),
        ("203.0.113.2:40002", 429),
        ("203.0.113.3:40001", 201),
        ("[2001:db8:9:1::1]:40001", 201),
        ("[2001:db8:8:1::1]", 201),
        ("2001:db8:8:1::2", 429),
        ("unknown", 201),
        ("unknown", 429),
    ] {
        from(entry, "/v1/accounts/guest", json!({})).await.wants(status);
    }
    let unknown = json!({ "refresh_token": "tr_unknown" });
    from("203.0.113.2", "/v1/tokens/refresh", unknown.clone()).await.refused(401, "unauthenticated");
    from("203.0.113.2", "/v1/tokens/refresh", unknown).await.refused(429, "rate_limited");
}

/// A user who signs in with the old password while it is changed is signed out by the change or refused;
/// never kept.
#[actix_web::test]
async fn a_sign_in_with_the_old_password_does_not_outlive_its_change() {
    let world = World::new().await;
    let server = world.serve().await;
    let ada = server.sign_up("ada").await;
    let mut old = PASSWORD.to_owned();
    for round in 0..20 {
        let new = format!("horse number {round}");
        let sign_in = json!({ "username": "ada", "password": old });
        let change = json!({ "password": new, "current_password": old });
        let (late, changed) = tokio::join!(
            server.call(None, "POST", "/v1/tokens", sign_in),
            server.call(Some(&ada), "PATCH", "/v1/me", change),
        );
        changed.wants(200);
        if late.status == 200 {
            server.get(&Person::of(&late.body), "/v1/me").await.refused(401, "unauthenticated");
        }
        old = new;
    }
}
