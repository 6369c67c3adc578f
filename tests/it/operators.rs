//! `tidings admin` against a real server: suspensions at every door, and what the audit log says of it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Incoming, Ws};
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, until};

const PASSWORD: &str = "correct horse battery";

/// Runs `tidings admin` as the operator olga; answers what it printed.
async fn admin(server: &Server, arguments: &[&str]) -> String {
    let (status, text) = server.command(&[&["admin", "--as", "olga"], arguments].concat()).await;
    assert!(status.success(), "{arguments:?}: {text}");
    text
}

/// The account with the username ada.
async fn ada(rest: &Rest) -> Account {
    let body = json!({ "username": "ada", "password": PASSWORD });
    Account::from_answer(&rest.call(Method::POST, "/v1/accounts", None, Some(&body)).await.ok())
}

async fn sign_in(rest: &Rest, name: &str, password: &str) -> crate::support::rest::Answer {
    let body = json!({ "username": name, "password": password });
    rest.call(Method::POST, "/v1/tokens", None, Some(&body)).await
}

async fn refresh(rest: &Rest, account: &Account) -> crate::support::rest::Answer {
    let body = json!({ "refresh_token": account.refresh });
    rest.call(Method::POST, "/v1/tokens/refresh", None, Some(&body)).await
}

fn is_suspended(answer: &crate::support::rest::Answer) {
    assert_eq!(answer.status, 403, "{}", answer.text);
    let problem: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(problem["code"], "suspended");
    assert_eq!(problem["detail"], "this account is suspended: spam in the lobby");
    let left_ms = problem["retry_after_ms"].as_u64().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left_ms), "{left_ms}");
}

/// The entries of the audit log, oldest first: actor, action, subject, details.
async fn audited(server: &Server) -> Vec<Value> {
    let text = admin(server, &["audit", "--last", "100"]).await;
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_account_is_shut_out_at_every_door_until_it_is_lifted() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (ada(&rest).await, rest.guest("Ben").await);
    let group = rest.conversation(&ben, "group", &[&ada]).await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;

    let shown = admin(&server, &["suspend", "ada", "--for", "1h", "--reason", "spam in the lobby"]).await;
    assert!(shown.contains("(@ada)") && shown.contains(": spam in the lobby"), "{shown}");
    let error = ws.until("the reason", |frame| frame["code"] == "suspended").await;
    assert_eq!(error["message"], "this account is suspended: spam in the lobby");
    assert_eq!(ws.closed().await, Some(4403));

    is_suspended(&rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await);
    is_suspended(&sign_in(&rest, "ada", PASSWORD).await);
    is_suspended(&refresh(&rest, &ada).await);
    assert_eq!(sign_in(&rest, "ada", "wrong password").await.status, 401, "a guesser learns nothing");
    let mut again = Ws::open(&server, Encoding::Json).await;
    again.send(&json!({ "type": "hello", "token": ada.access })).await;
    again.until("the reason", |frame| frame["code"] == "suspended").await;
    assert_eq!(again.incoming().await, Incoming::Closed(Some(4403)));
    assert!(admin(&server, &["suspensions"]).await.contains("(@ada)"));
    rest.send(&ben, &group, "to a member who cannot read it now").await;

    let shown = admin(&server, &["lift", &ada.id]).await;
    assert!(!shown.contains("suspended"), "{shown}");
    let me = rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await;
    assert_eq!(me.status, 200, "the token from before works again: {}", me.text);
    assert_eq!(refresh(&rest, &ada).await.status, 200, "and the refresh token");
    assert!(!rest.events(&ada, &group).await.is_empty(), "the membership stayed");

    let log = audited(&server).await;
    let of = |action: &str| log.iter().filter(|entry| entry["action"] == action).collect::<Vec<_>>();
    let suspended = of("suspended");
    assert_eq!(suspended.len(), 1);
    assert_eq!((&suspended[0]["actor"], &suspended[0]["subject"]), (&json!("operator:olga"), &json!(ada.id)));
    assert!(suspended[0]["details"].as_str().unwrap().ends_with("spam in the lobby"), "{}", suspended[0]);
    assert_eq!(of("suspension_lifted").len(), 1);
    assert_eq!(of("sign_in_failed").len(), 1);
    assert_eq!(of("sign_in_refused").len(), 1);
    assert!(of("sign_in_failed")[0]["address"].is_string() && of("sign_in_failed")[0]["details"] == "ada");
    assert!(admin(&server, &["audit", "--verify"]).await.contains("each follows the one before it"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_outlasts_a_restart_and_ends_by_its_time() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let ada = ada(&rest).await;
    admin(&server, &["suspend", "ada"]).await;
    server.terminate().await;
    server.restart().await;
    let rest = Rest::new(&server);
    assert_eq!(rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await.status, 403);
    admin(&server, &["suspend", "ada", "--for", "1s"]).await;
    until("the suspension is over", Duration::from_secs(30), async || {
        (rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(sign_in(&rest, "ada", PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_find_sign_out_export_and_erase() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (ada(&rest).await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    rest.send(&ada, &group, "canary-71d2").await;
    for named in ["ada", ada.id.as_str()] {
        assert!(admin(&server, &["show", named]).await.contains("(@ada)"), "{named}");
        assert!(admin(&server, &["find", named]).await.contains("(@ada)"), "{named}");
    }
    let found: Value = serde_json::from_str(&admin(&server, &["find", "be", "--json"]).await).unwrap();
    assert_eq!((&found[0]["id"], &found[0]["guest"]), (&json!(ben.id), &json!(true)));

    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    admin(&server, &["sign-out", "ada"]).await;
    assert_eq!(ws.closed().await, Some(4401));
    assert_eq!(refresh(&rest, &ada).await.status, 401);

    let exported = admin(&server, &["export", "ada"]).await;
    assert!(exported.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{exported}");
    assert!(exported.contains("canary-71d2"));

    let (status, text) = server.command(&["admin", "--as", "olga", "erase", "ada"]).await;
    assert!(!status.success() && text.contains("--yes"), "{text}");
    admin(&server, &["erase", "ada", "--yes"]).await;
    assert_eq!(sign_in(&rest, "ada", PASSWORD).await.status, 401);
    let (status, text) = server.command(&["admin", "--as", "olga", "show", "ada"]).await;
    assert!(!status.success() && text.contains("no such thing"), "{text}");
    let log = audited(&server).await;
    for action in ["looked_up", "sign_ins_ended", "exported", "erased", "sign_up"] {
        assert!(log.iter().any(|entry| entry["action"] == action), "{action}: {log:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_the_password_signs_in_once_and_sets_another() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let ada = ada(&rest).await;
    let output = admin(&server, &["one-time-password", "ada"]).await;
    let once = output.split_whitespace().find(|word| word.len() == 16).expect("a password");
    assert_eq!(rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await.status, 401);
    assert_eq!(sign_in(&rest, "ada", PASSWORD).await.status, 401, "the former password is gone");
    let again = json!({ "username": "ada", "password": once });
    assert_eq!(rest.call(Method::POST, "/v1/accounts", None, Some(&again)).await.status, 409);
    let back = Account::from_answer(&sign_in(&rest, "ada", once).await.ok());
    assert_eq!(sign_in(&rest, "ada", once).await.status, 401, "it signs in once");
    let own = json!({ "current_password": once, "password": "another horse battery" });
    rest.call(Method::PATCH, "/v1/me", Some(&back.access), Some(&own)).await.ok();
    sign_in(&rest, "ada", "another horse battery").await.ok();
    assert!(audited(&server).await.iter().any(|entry| entry["action"] == "one_time_password"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_the_app_is_let_in_by_an_operator() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let ada = ada(&rest).await;
    let (path, token) = ("/v1/me/second-factor", Some(ada.access.as_str()));
    let password = json!({ "password": PASSWORD });
    let begun = rest.call(Method::POST, path, token, Some(&password)).await.ok();
    let secret = totp_rs::Secret::try_from_base32(begun["secret"].as_str().unwrap()).unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now_s = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let code = json!({ "code": app.generate(now_s).to_string() });
    assert_eq!(rest.call(Method::PUT, path, token, Some(&code)).await.status, 204);
    let refused = sign_in(&rest, "ada", PASSWORD).await;
    assert!(refused.status == 401 && refused.text.contains("second_factor_needed"), "{}", refused.text);
    let said = admin(&server, &["end-second-factor", "ada"]).await;
    assert!(said.contains("need no code"), "{said}");
    assert_eq!(sign_in(&rest, "ada", PASSWORD).await.status, 200);
    let entries = audited(&server).await;
    for (action, actor) in [("second_factor_set", "user:"), ("second_factor_ended", "operator:olga")] {
        let noted = entries.iter().find(|entry| entry["action"] == action).expect(action);
        assert!(noted["actor"].as_str().unwrap().starts_with(actor), "{noted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_of_a_suspended_account_goes_when_that_is_asked_for() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (ada(&rest).await, rest.guest("Ben").await);
    let group = rest.conversation(&ben, "group", &[&ada]).await;
    rest.send(&ada, &group, "buy canary-90aa").await;
    admin(&server, &["suspend", "ada", "--reason", "advertising", "--remove-content"]).await;
    let path = format!("/v1/conversations/{group}/messages");
    until("the content is gone", Duration::from_secs(60), async || {
        let page = rest.call(Method::GET, &path, Some(&ben.access), None).await;
        (page.status == 200 && !page.text.contains("canary-90aa")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_named_and_mistakes_are_explained() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let unnamed = rest.internal("/admin/users?q=a").await;
    assert_eq!(unnamed.status, 422, "{}", unnamed.text);
    for (arguments, said) in [
        (&["admin", "--as", "olga", "suspend", "nobody", "--for", "1h"][..], "no such thing"),
        (&["admin", "--as", "olga", "suspend", "nobody", "--for", "soon"], "30m"),
        (&["admin", "--as", "o l g a", "find", "x"], "x-operator"),
    ] {
        let (status, text) = server.command(arguments).await;
        assert!(!status.success() && text.contains(said), "{arguments:?}: {text}");
    }
    for path in ["/admin/users", "/admin/audit"] {
        let answer = rest.call(Method::GET, path, None, None).await;
        assert_eq!(answer.status, 404, "{path} is not on the public port");
    }
}
