//! Which passwords are taken, and what becomes of their hashes.

use serde_json::{Value, json};
use tidings::config::{AuthSettings, Settings};
use tidings::domain::UserId;

use crate::support::{PASSWORD, Person, World};

#[actix_web::test]
async fn a_password_that_is_guessed_first_is_refused_wherever_one_is_set() {
    let world = World::new().await;
    let server = world.serve_with(|options| options.server_name = "Harbour Chat".to_owned()).await;
    let (ada, guest) = (server.sign_up("ada.lovelace").await, server.guest().await);
    for bad in ["iloveyou", "PassWord1", "Grace.Hopper", "harbour chat"] {
        let account = json!({ "username": "grace.hopper", "password": bad });
        let refusals = [
            server.call(None, "POST", "/v1/accounts", account.clone()).await,
            server.call(Some(&guest), "POST", "/v1/me/claim", account).await,
        ];
        for refusal in refusals {
            let detail = refusal.refused(422, "invalid");
            assert!(detail.starts_with("password: one of those that are guessed first"), "{detail}");
        }
    }
    for bad in ["iloveyou", "Ada.Lovelace"] {
        let body = json!({ "password": bad, "current_password": PASSWORD });
        server.call(Some(&ada), "PATCH", "/v1/me", body).await.refused(422, "invalid");
    }
    let other = json!({ "password": "Grace.Hopper", "current_password": PASSWORD });
    server.call(Some(&ada), "PATCH", "/v1/me", other).await.wants(200);
}

/// Passwords are judged when they are set: one that was taken before the list still signs in.
#[actix_web::test]
async fn a_hash_of_former_parameters_is_replaced_at_the_next_sign_in() {
    let world = World::new().await;
    let former = world.serve().await;
    let ada = former.sign_up("ada").await;
    let id: UserId = ada.id.parse().expect("an id");
    let stored = async || world.store.password_hash(id).await.expect("the store answers").expect("a hash");
    let before = stored().await;
    let auth = AuthSettings { argon2_memory_kib: 64, argon2_iterations: 2, ..Settings::for_tests().auth };
    let present = world.serve_with(|options| options.auth = auth).await;
    let body = |password: &str| json!({ "username": "ada", "password": password });
    present.call(None, "POST", "/v1/tokens", body("another horse")).await.refused(401, "unauthenticated");
    assert_eq!(stored().await, before, "only the right password can be hashed again");

    // Two at once: one replaces the hash, and both are in.
    let (one, other) = tokio::join!(
        present.call(None, "POST", "/v1/tokens", body(PASSWORD)),
        present.call(None, "POST", "/v1/tokens", body(PASSWORD)),
    );
    for signed_in in [one, other] {
        present.get(&Person::of(&signed_in.wants(200)), "/v1/me").await.wants(200);
    }
    let after = stored().await;
    assert!(after.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{after}");
    present.get(&ada, "/v1/me").await.wants(200);
    present.call(None, "POST", "/v1/tokens", body(PASSWORD)).await.wants(200);
    assert_eq!(stored().await, after, "it is the present one now");
    former.call(Some(&ada), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
}
