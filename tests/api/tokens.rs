//! Access tokens on several servers: revocation, restarts, changed keys.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tidings::identity::KeySource;

use crate::support::{PASSWORD, PATIENCE, Person, Server, Skewed, World, until};

#[actix_web::test]
async fn what_one_server_ends_every_server_refuses_within_a_second_or_so() {
    let world = World::new().await;
    let (here, there) = (world.serve().await, world.serve().await);
    let ada = here.sign_up("ada").await;
    there.get(&ada, "/v1/me").await.wants(200);
    here.call(Some(&ada), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
    here.get(&ada, "/v1/me").await.refused(401, "unauthenticated");
    // The poll's interval is a second; what else runs on this machine may add to it.
    let heard = tokio::time::timeout(Duration::from_secs(5), async {
        while there.get(&ada, "/v1/me").await.status == 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(heard.await.is_ok(), "the other server went on accepting the token");
    there.get(&ada, "/v1/me").await.refused(401, "unauthenticated");
}

#[actix_web::test]
async fn a_revoked_token_stays_revoked_after_a_restart() {
    let world = World::new().await;
    let before = world.serve().await;
    let (ada, bob) = (before.sign_up("ada").await, before.sign_up("bob").await);
    before.call(Some(&ada), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
    before.stop().await;
    let after = world.serve().await;
    after.get(&ada, "/v1/me").await.refused(401, "unauthenticated");
    after.get(&bob, "/v1/me").await.wants(200);
}

#[actix_web::test]
async fn the_keys_change_without_signing_anybody_out() {
    let world = World::new().await;
    let old = world.serve().await;
    let ada = old.sign_up("ada").await;
    let kids = async |server: &Server| {
        let jwks = server.call(None, "GET", "/.well-known/jwks.json", Value::Null).await.wants(200);
        jwks["keys"].as_array().expect("keys").iter().map(|key| key["kid"].to_string()).collect::<Vec<_>>()
    };
    let old_kids = kids(&old).await;
    old.stop().await;
    fs::rename(world.keys().join("signing.pem"), world.keys().join("previous.pem")).expect("renamed");

    let both = world.serve().await;
    let both_kids = kids(&both).await;
    assert_eq!((both_kids.len(), &both_kids[1]), (2, &old_kids[0]), "the new key comes first");
    both.get(&ada, "/v1/me").await.wants(200);
    let refreshed =
        both.call(None, "POST", "/v1/tokens/refresh", serde_json::json!({ "refresh_token": ada.refresh }));
    let new_ada = Person::of(&refreshed.await.wants(200));
    both.stop().await;

    let signing = world.keys().join("signing.pem");
    let new = world.serve_with(|options| options.keys = KeySource::Files(vec![signing])).await;
    new.get(&new_ada, "/v1/me").await.wants(200);
    new.get(&ada, "/v1/me").await.refused(401, "unauthenticated");
}

#[actix_web::test]
async fn a_token_expires() {
    let world = World::new().await;
    let server = world.serve_with(|options| options.auth.access_token_s = 2).await;
    let ada = server.sign_up("ada").await;
    server.get(&ada, "/v1/me").await.wants(200);
    assert!(PATIENCE > Duration::from_secs(2));
    until("the token expires", || async { server.get(&ada, "/v1/me").await.status == 401 }).await;
}

#[actix_web::test]
async fn a_refresh_token_expires() {
    let world = World::new().await;
    let server = world.serve_with(|options| options.auth.refresh_token_s = 1).await;
    // Each use gives a new one, so the one that was never used is waited for.
    let ada = server.sign_up("ada").await;
    let ends_ms = world.environment.monotonic_ms() + 1_100;
    until("its second is over", || async { world.environment.monotonic_ms() > ends_ms }).await;
    let body = json!({ "refresh_token": ada.refresh });
    server.call(None, "POST", "/v1/tokens/refresh", body).await.refused(401, "unauthenticated");
}

#[actix_web::test]
async fn the_token_of_a_user_that_never_was_is_refused() {
    let (world, other) = (World::new().await, World::new().await);
    fs::create_dir_all(other.keys()).expect("a folder");
    let server = world.serve().await;
    fs::copy(world.keys().join("signing.pem"), other.keys().join("signing.pem")).expect("copied");
    let elsewhere = other.serve().await;
    let stranger = elsewhere.sign_up("ada").await;
    server.get(&stranger, "/v1/me").await.refused(401, "unauthenticated");
}

const TEN_MINUTES_MS: i64 = 600_000;

/// The clocks of two machines are never compared: what one has signed the other takes.
#[actix_web::test]
async fn a_token_of_a_machine_whose_clock_is_ahead_or_behind_is_taken() {
    let world = World::new().await;
    let here = world.serve().await;
    for (skew_ms, name) in [(TEN_MINUTES_MS, "ada"), (-TEN_MINUTES_MS, "ben")] {
        let there = world.serve_at(Skewed::new(&world.environment, skew_ms), |_| {}).await;
        let somebody = there.sign_up(name).await;
        here.get(&somebody, "/v1/me").await.wants(200);
        there.call(Some(&somebody), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
        until("it has ended", || async { here.get(&somebody, "/v1/me").await.status == 401 }).await;
    }
}

#[actix_web::test]
async fn a_clock_that_is_set_back_does_not_lock_anybody_out() {
    let world = World::new().await;
    let clock = Skewed::new(&world.environment, 0);
    let server = world.serve_at(clock.clone(), |_| {}).await;
    let ada = server.sign_up("ada").await;
    clock.set(-TEN_MINUTES_MS);
    server.get(&ada, "/v1/me").await.wants(200);
}

async fn sign_in(server: &Server, username: &str) -> Person {
    let body = json!({ "username": username, "password": PASSWORD });
    Person::of(&server.call(None, "POST", "/v1/tokens", body).await.wants(200))
}

/// Every sign-in up to now ends, and no later one, however far apart the clocks of two machines are.
#[actix_web::test]
async fn signing_out_everywhere_does_not_go_by_the_clock() {
    for skew_ms in [TEN_MINUTES_MS, -TEN_MINUTES_MS] {
        let world = World::new().await;
        let here = world.serve().await;
        let there = world.serve_at(Skewed::new(&world.environment, skew_ms), |_| {}).await;
        let before = [there.sign_up("ada").await, sign_in(&here, "ada").await];
        for server in [&here, &there] {
            for ada in &before {
                server.get(ada, "/v1/me").await.wants(200);
            }
        }
        here.call(Some(&before[1]), "DELETE", "/v1/tokens?all=true", Value::Null).await.wants(204);
        let after = [sign_in(&there, "ada").await, sign_in(&here, "ada").await];
        for server in [&here, &there] {
            for ada in &before {
                until("it has ended", || async { server.get(ada, "/v1/me").await.status == 401 }).await;
            }
            for ada in &after {
                server.get(ada, "/v1/me").await.wants(200);
            }
        }
    }
}

#[actix_web::test]
async fn a_clock_that_is_set_brings_no_ended_sign_in_back_and_ends_no_new_one() {
    let world = World::new().await;
    let clock = Skewed::new(&world.environment, 0);
    let server = world.serve_at(clock.clone(), |_| {}).await;
    let mut ada = server.sign_up("ada").await;
    // A token lives for 15 minutes.
    for step_ms in [-TEN_MINUTES_MS, 0, TEN_MINUTES_MS, 0] {
        clock.set(step_ms);
        server.get(&ada, "/v1/me").await.wants(200);
        server.call(Some(&ada), "DELETE", "/v1/tokens?all=true", Value::Null).await.wants(204);
        server.get(&ada, "/v1/me").await.refused(401, "unauthenticated");
        ada = sign_in(&server, "ada").await;
        server.get(&ada, "/v1/me").await.wants(200);
    }
}
