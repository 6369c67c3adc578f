//! The bad-input corpus: what broken, hostile or careless clients send, and the documented answer to each.
//! After every group good clients still chat, nothing was stored that was not acked, and the log contains no
//! secret.

mod case;
mod claims;
mod fields;
mod frames;
mod http;
mod json;
mod msgpack;
mod resources;
mod rest;
mod routes;
mod state;
mod tokens;
mod world;

use reqwest::Method;
use serde_json::json;

use crate::support::client::{Ws, chat_works};
use crate::support::rest::Rest;
use crate::support::server::Server;
use crate::support::{DEADLINE, Encoding, unique, unix_seconds};
use fields::Sizes;
use world::{World, keeps_secrets, secret_part};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_of_every_frame() {
    let world = World::new(&[]).await;
    let cases = frames::cases(Sizes { body: world.limit("body_bytes"), data: world.limit("data_bytes") });
    assert!(cases.len() >= 250, "{}", cases.len());
    let (mut world, acked) = case::run_all(world, cases).await;
    world.is_unharmed(&acked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_not_quite_a_frame() {
    let (mut world, acked) = case::run_all(World::new(&[]).await, json::cases()).await;
    world.is_unharmed(&acked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messagepack_that_is_not_quite_a_frame() {
    let (mut world, acked) = case::run_all(World::new(&[]).await, msgpack::cases()).await;
    world.is_unharmed(&acked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_time_or_the_wrong_one() {
    let (mut world, mut acked) = case::run_all(World::new(&[]).await, state::cases()).await;
    state::foreign_is_as_nonexistent(&world).await;
    state::auth_as_another(&world).await;
    state::malformed_without_end(&world).await;
    acked.push(state::client_id_for_something_else(&world).await);
    world.is_unharmed(&acked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_too_fast() {
    let mut world = World::new(&[]).await;
    let acked = state::over_the_rate(&world).await;
    state::abuse(&world).await;
    world.is_unharmed(&acked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_not_waited_for() {
    let server = Server::start(&[
        ("TIDINGS__GATEWAY__HELLO_TIMEOUT_MS", "300"),
        ("TIDINGS__SERVER__REQUEST_TIMEOUT_MS", "1000"),
    ])
    .await;
    state::silence(&server).await;
    let rest = Rest::new(&server);
    chat_works(&server, &rest.guest("Ada").await, &rest.guest("Ben").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_not_ours() {
    let mut world = World::new(&[]).await;
    let jwks = world.rest.call(Method::GET, "/.well-known/jwks.json", None, None).await.ok();
    let (ours, theirs) = (world.actors[0].account.clone(), world.stranger.clone());
    let forgeries = tokens::forgeries(&ours.access, &theirs.access, &ours.refresh, &jwks);
    assert!(forgeries.len() >= 55, "{}", forgeries.len());
    let mut complaints = Vec::new();
    let mut answers = Vec::new();
    for (name, token) in &forgeries {
        let answer = world.rest.call(Method::GET, "/v1/me", Some(token), None).await;
        // A header of 60,000 bytes may be too large before it is a token.
        if answer.status != 401 && !(token.len() > 8_000 && answer.status == 431) {
            complaints.push(format!("{name}: REST answers {} {}", answer.status, answer.text));
        } else if answer.status == 401 {
            complaints.extend(rest::problem_fault(&answer).map(|fault| format!("{name}: {fault}")));
            answers.push(answer.text);
        }
        let mut ws = Ws::open(&world.server, Encoding::Json).await;
        ws.send(&json!({ "type": "hello", "token": token })).await;
        let code = ws.closed().await;
        if code != Some(4401) {
            complaints.push(format!("{name}: hello closes with {code:?}"));
        }
    }
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), forgeries.len(), complaints.join("\n"));
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), 1, "which check failed is nobody's business: {answers:?}");
    world
        .secrets
        .extend(forgeries.iter().map(|(_, token)| secret_part(token)).filter(|part| part.len() > 40));
    world.is_unharmed(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_ours_that_are_no_good() {
    let (file, signer) = claims::signing_key();
    let path = file.path().to_str().unwrap().to_owned();
    let mut world = World::new(&[("TIDINGS__AUTH__KEY_FILES", &path)]).await;
    let nobody = world::altered(&world.stranger.id);
    let tokens = claims::signed(&signer, &world.actors[0].account.access, &nobody, &world.group);
    let mut complaints = Vec::new();
    for (name, token, good) in &tokens {
        let wanted = if *good { 200 } else { 401 };
        let answer = world.rest.call(Method::GET, "/v1/me", Some(token), None).await;
        if answer.status != wanted {
            complaints.push(format!("{name}: REST answers {} {}", answer.status, answer.text));
        }
        let mut ws = Ws::open(&world.server, Encoding::Msgpack).await;
        ws.send(&json!({ "type": "hello", "token": token })).await;
        if *good {
            ws.expect("welcome").await;
        } else {
            let code = ws.closed().await;
            complaints.extend((code != Some(4401)).then(|| format!("{name}: hello closes with {code:?}")));
        }
    }
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), tokens.len(), complaints.join("\n"));
    world
        .secrets
        .extend(tokens.iter().map(|(_, token, _)| secret_part(token)).filter(|part| part.len() > 40));
    world.is_unharmed(&[]).await;
}

/// A connection ends with its token, after a warning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_expire_in_mid_session() {
    let (file, signer) = claims::signing_key();
    let path = file.path().to_str().unwrap().to_owned();
    let server = Server::start(&[("TIDINGS__AUTH__KEY_FILES", &path)]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let (header, mut claims) = tokens::parts(&ada.access);
    claims["exp"] = json!(unix_seconds() + 3);
    let short = signer.token(&header, &claims);
    let mut ws = Ws::open(&server, Encoding::Json).await;
    ws.send(&json!({ "type": "hello", "token": short })).await;
    let welcome = ws.expect("welcome").await;
    assert!(welcome["token_expires_in_ms"].as_u64().is_some_and(|left| left <= 3_000), "{welcome}");
    let warning = ws.expect("token_expiring").await;
    assert!(warning["expires_in_ms"].as_u64().is_some_and(|left| left <= 3_000), "{warning}");
    assert_eq!(ws.closed().await, Some(4401));
    assert_eq!(rest.call(Method::GET, "/v1/me", Some(&short), None).await.status, 401);
    chat_works(&server, &ada, &ben).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_requests() {
    let mut world = World::new(&[]).await;
    let mut requests = routes::routes(world.limit("frame_bytes"));
    requests.extend(routes::pages());
    requests.extend(resources::not_ones_own());
    requests.extend(resources::fields());
    assert!(requests.len() >= 320, "{}", requests.len());
    world = rest::run_all(world, requests).await;
    http::run_all(&world.server, &world.actors[0].account.access).await;
    let seq = resources::mass_assignment(&world).await;
    world.secrets.push("canary password".into());
    world.is_unharmed(&[seq]).await;
}

/// Signing in: what is wrong is not told, and what was used cannot be used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_and_refresh_tokens() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let password = unique("canary-password");
    let name = unique("ada").replace('-', "_");
    let post = |path: &'static str, body: serde_json::Value| {
        let rest = &rest;
        async move { rest.call(Method::POST, path, None, Some(&body)).await }
    };
    let signed_up = post("/v1/accounts", json!({ "username": name, "password": password })).await;
    assert_eq!(signed_up.status, 201, "{}", signed_up.text);
    let taken = post("/v1/accounts", json!({ "username": name, "password": "canary-other" })).await;
    assert_eq!((taken.status.as_u16(), &taken.body["code"]), (409, &json!("conflict")), "{}", taken.text);

    let wrong_password = post("/v1/tokens", json!({ "username": name, "password": "canary-wrong" })).await;
    let unknown_user = post("/v1/tokens", json!({ "username": "nobody_here", "password": password })).await;
    assert_eq!(wrong_password.status, 401, "{}", wrong_password.text);
    assert_eq!(wrong_password.text, unknown_user.text, "who has an account is nobody's business");

    let signed_in = post("/v1/tokens", json!({ "username": name, "password": password })).await.ok();
    let refresh = json!({ "refresh_token": signed_in["refresh_token"] });
    let refreshed = post("/v1/tokens/refresh", refresh.clone()).await.ok();
    let next = json!({ "refresh_token": refreshed["refresh_token"] });
    let newest = post("/v1/tokens/refresh", next).await.ok();
    assert_eq!(post("/v1/tokens/refresh", refresh).await.status, 401, "its successor was used");
    let family = json!({ "refresh_token": newest["refresh_token"] });
    assert_eq!(post("/v1/tokens/refresh", family).await.status, 401, "its reuse ends the family");

    let token = refreshed["access_token"].as_str().unwrap().to_owned();
    let mut secrets = vec![password, "canary-wrong".into(), secret_part(&token)];
    secrets.push(refreshed["refresh_token"].as_str().unwrap().to_owned());
    // A token belongs in the header: in the URL it would be in everybody's log, and is no token.
    let in_url =
        rest.call(Method::GET, &format!("/v1/me?access_token={token}&token={token}"), None, None).await;
    assert_eq!(in_url.status, 401, "{}", in_url.text);
    chat_works(&server, &rest.guest("Ben").await, &rest.guest("Cleo").await).await;
    keeps_secrets(&server, &secrets);
    let status = tokio::time::timeout(DEADLINE, server.terminate()).await.unwrap();
    assert!(status.success(), "{status}");
    keeps_secrets(&server, &secrets);
}

/// Accounts and guesses without end are slowed down, and told for how long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ups_and_guesses_have_a_rate() {
    let server = Server::start(&[
        ("TIDINGS__AUTH__SIGN_UPS_PER_IP_PER_MINUTE", "6"),
        ("TIDINGS__AUTH__SIGN_INS_PER_MINUTE", "5"),
        ("TIDINGS__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.account("ada", "canary right").await, rest.guest("Ben").await);
    let me = rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await.ok();
    for path in ["/v1/accounts/guest", "/v1/tokens"] {
        let body = match path {
            "/v1/tokens" => json!({ "username": me["username"], "password": "canary wrong" }),
            _ => json!({}),
        };
        let mut refusals = 0;
        for _ in 0..12 {
            // The machine itself is not limited by address; this is what a proxy on it says of its client.
            let request =
                rest.request(Method::POST, path).header("X-Forwarded-For", "203.0.113.9").json(&body);
            let answer = rest.finish(request).await;
            if answer.status == 429 {
                assert_eq!(rest::problem_fault(&answer), None, "{}", answer.text);
                assert_eq!(answer.body["code"], "rate_limited", "{}", answer.text);
                refusals += 1;
            }
        }
        assert!((5..=11).contains(&refusals), "{path}: {refusals} refusals");
    }
    chat_works(&server, &ada, &ben).await;
    keeps_secrets(&server, &["canary right".into(), "canary wrong".into()]);
}
