//! Who is let in while others guess at the same account.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings::config::{AuthSettings, Settings};

use crate::support::{Answer, PASSWORD, Person, Server, World};

/// The limits as they are by default.
fn limits() -> AuthSettings {
    AuthSettings {
        sign_ins_per_minute: 10,
        sign_ins_per_account_per_minute: 30,
        sign_ins_per_ip_per_minute: 60,
        ..Settings::for_tests().auth
    }
}

async fn from(server: &Server, address: String, body: &Value) -> Answer {
    Answer::of(server.request("POST", "/v1/tokens").header("X-Forwarded-For", address).json(body)).await
}

/// Guesses at ada's password from 60 addresses, that of her own device among them, several times from each.
/// Answers how many got as far as the password.
async fn attack(server: &Server) -> usize {
    let wrong = json!({ "username": "ada", "password": "a wrong horse" });
    let guesses = (0..240).map(|n| from(server, format!("192.0.2.{}", n % 60), &wrong));
    let answers = join_all(guesses).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 401 | 429)), "{answers:?}");
    answers.iter().filter(|answer| answer.status == 401).count()
}

fn device(signed_in: &Value) -> String {
    signed_in["device_token"].as_str().expect("a device token").to_owned()
}

#[actix_web::test]
async fn guesses_from_everywhere_keep_nobody_out_of_a_known_device() {
    let world = World::new().await;
    let server = world.serve_with(|options| options.auth = limits()).await;
    let account = |name: &str| json!({ "username": name, "password": PASSWORD });
    let sign_up = async |name| server.call(None, "POST", "/v1/accounts", account(name)).await.wants(201);
    let (ada, eve) = (sign_up("ada").await, sign_up("eve").await);
    server.call(Some(&Person::of(&ada)), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
    let with = |token: &str| json!({ "username": "ada", "password": PASSWORD, "device_token": token });
    let here = || "192.0.2.7".to_owned();

    let own = with(&device(&ada));
    let (guesses, back) = tokio::join!(attack(&server), from(&server, here(), &own));
    assert!(guesses <= 30, "{guesses} guesses were tried");
    let back = back.wants(200);
    from(&server, here(), &account("ada")).await.refused(429, "rate_limited");
    for other in [device(&eve), "nonsense".to_owned(), ada["access_token"].as_str().unwrap().to_owned()] {
        from(&server, here(), &with(&other)).await.refused(429, "rate_limited");
    }
    from(&server, here(), &own).await.wants(200);
    from(&server, here(), &with(&device(&back))).await.wants(200);
}

#[actix_web::test]
async fn a_known_device_guesses_no_faster_than_others_and_is_forgotten_when_it_is_ended() {
    let world = World::new().await;
    let server = world.serve_with(|options| options.auth = limits()).await;
    let account = json!({ "username": "ada", "password": PASSWORD });
    let (phone, thief) = (
        server.call(None, "POST", "/v1/accounts", account.clone()).await.wants(201),
        server.call(None, "POST", "/v1/tokens", account).await.wants(200),
    );
    attack(&server).await;
    let with = |token: &str, password: &str| json!({ "username": "ada", "password": password, "device_token": token });
    for _ in 0..9 {
        from(&server, "192.0.2.9".to_owned(), &with(&device(&thief), "a wrong horse")).await.wants(401);
    }
    let last = from(&server, "192.0.2.9".to_owned(), &with(&device(&thief), PASSWORD)).await.wants(200);
    from(&server, "192.0.2.9".to_owned(), &with(&device(&thief), PASSWORD)).await.wants(429);

    let phone = Person::of(&phone);
    server.call(Some(&phone), "DELETE", "/v1/me/sessions", Value::Null).await.wants(204);
    from(&server, "192.0.2.9".to_owned(), &with(&device(&last), PASSWORD)).await.wants(429);
    let refreshed = json!({ "refresh_token": phone.refresh });
    let refreshed = server.call(None, "POST", "/v1/tokens/refresh", refreshed).await.wants(200);
    from(&server, "192.0.2.9".to_owned(), &with(&device(&refreshed), PASSWORD)).await.wants(200);
    let guest = server.call(None, "POST", "/v1/accounts/guest", json!({})).await.wants(201);
    assert_eq!(guest["device_token"], Value::Null, "there is no password to guess");
}
