//! A code of an authenticator app beside the password.

use serde_json::{Value, json};
use tidings::environment::Environment;
use totp_rs::{Builder, Secret};

use crate::support::{Answer, PASSWORD, Person, Server, Skewed, World};

const PATH: &str = "/v1/me/second-factor";

/// What the app shows at a time.
fn code(secret: &str, clock: &Skewed) -> String {
    let secret = Secret::try_from_base32(secret).expect("a secret");
    let now_s = u64::try_from(clock.now().as_unix_s()).expect("after 1970");
    Builder::new().with_secret(secret).build().expect("an app").generate(now_s).to_string()
}

async fn sign_in(server: &Server, code: Option<&str>) -> Answer {
    let body = json!({ "username": "ada", "password": PASSWORD, "code": code });
    server.call(None, "POST", "/v1/tokens", body).await
}

async fn begin(server: &Server, who: &Person) -> String {
    let begun = server.call(Some(who), "POST", PATH, json!({ "password": PASSWORD })).await.wants(200);
    let secret = begun["secret"].as_str().expect("a secret").to_owned();
    let link = begun["uri"].as_str().expect("a link");
    assert!(link.starts_with("otpauth://totp/") && link.contains(&secret) && link.contains("ada"), "{link}");
    secret
}

async fn confirm(server: &Server, who: &Person, code: &str) -> Answer {
    server.call(Some(who), "PUT", PATH, json!({ "code": code })).await
}

#[actix_web::test]
async fn a_sign_in_needs_a_code_once_the_app_was_confirmed_and_each_code_counts_once() {
    let world = World::new().await;
    let clock = Skewed::new(&world.environment, 0);
    let server = world.serve_at(clock.clone(), |_| {}).await;
    let ada = server.sign_up("ada").await;
    let other = Person::of(&sign_in(&server, None).await.wants(200));
    confirm(&server, &ada, "000000").await.refused(404, "not_found");
    for wrong in [json!({ "password": "a wrong horse" }), json!({})] {
        let refused = server.call(Some(&ada), "POST", PATH, wrong).await;
        assert!([403, 422].contains(&refused.status.as_u16()), "{refused:?}");
    }
    begin(&server, &ada).await;
    let secret = begin(&server, &ada).await;
    let state = server.get(&ada, PATH).await.wants(200);
    assert_eq!(state, json!({ "on": false, "pending": true }));
    sign_in(&server, None).await.wants(200);

    let first = code(&secret, &clock);
    confirm(&server, &ada, "12345").await.refused(403, "forbidden");
    confirm(&server, &ada, &first).await.wants(204);
    assert_eq!(server.get(&ada, PATH).await.wants(200), json!({ "on": true, "pending": false }));
    server.get(&other, "/v1/me").await.refused(401, "unauthenticated");
    server.call(Some(&ada), "POST", PATH, json!({ "password": PASSWORD })).await.refused(409, "conflict");

    sign_in(&server, None).await.refused(401, "second_factor_needed");
    sign_in(&server, Some(&first)).await.refused(401, "unauthenticated");
    let wrong = json!({ "username": "ada", "password": "a wrong horse", "code": first });
    let guessed = server.call(None, "POST", "/v1/tokens", wrong).await;
    assert_eq!(guessed.refused(401, "unauthenticated"), "username or password is wrong");
    let again = json!({ "username": "ada", "password": PASSWORD });
    server.call(None, "POST", "/v1/accounts", again).await.refused(409, "conflict");
    clock.set(60_000);
    let second = code(&secret, &clock);
    sign_in(&server, Some(&second)).await.wants(200);
    sign_in(&server, Some(&second)).await.refused(401, "unauthenticated");

    let password = json!({ "password": PASSWORD });
    server.call(Some(&ada), "DELETE", PATH, password).await.refused(422, "invalid");
    clock.set(120_000);
    let last = json!({ "password": PASSWORD, "code": code(&secret, &clock) });
    server.call(Some(&ada), "DELETE", PATH, last).await.wants(204);
    server.call(Some(&ada), "DELETE", PATH, json!({ "password": PASSWORD })).await.wants(204);
    sign_in(&server, None).await.wants(200);
}

#[actix_web::test]
async fn codes_are_guessed_as_rarely_as_passwords() {
    let world = World::new().await;
    let clock = Skewed::new(&world.environment, 0);
    let server = world.serve_at(clock.clone(), |options| options.auth.sign_ins_per_minute = 5).await;
    let ada = server.sign_up("ada").await;
    let secret = begin(&server, &ada).await;
    let right = code(&secret, &clock);
    let wrong = if right == "000000" { "000001" } else { "000000" };
    // The password above was one of the five.
    for _ in 0..4 {
        confirm(&server, &ada, wrong).await.refused(403, "forbidden");
    }
    confirm(&server, &ada, &right).await.refused(429, "rate_limited");
}

#[actix_web::test]
async fn a_guest_has_no_second_factor() {
    let world = World::new().await;
    let server = world.serve().await;
    let guest = server.call(None, "POST", "/v1/accounts/guest", json!({})).await.wants(201);
    let guest = Person::of(&guest);
    server.call(Some(&guest), "POST", PATH, Value::Null).await.refused(409, "conflict");
    server.call(Some(&guest), "DELETE", PATH, Value::Null).await.wants(204);
    assert_eq!(server.get(&guest, PATH).await.wants(200), json!({ "on": false, "pending": false }));
}
