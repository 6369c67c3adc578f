//! Tokens of another issuer: with a key from a file, and with keys it publishes.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tidings::domain::Timestamp;
use tidings::identity::IdentityOptions;

use crate::support::{Person, Server, World};

const ISSUER: &str = "https://login.example";

struct Issuer {
    kid: String,
    key: Ed25519KeyPair,
}

impl Issuer {
    fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), key: Ed25519KeyPair::generate().expect("a key") }
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x })
    }

    /// The public key in PEM: the fixed prefix of an Ed25519 SubjectPublicKeyInfo (RFC 8410) and the 32
    /// bytes.
    fn pem(&self) -> String {
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend_from_slice(self.key.public_key().as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    fn token_with(&self, header: &Value, claims: &Value) -> Person {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        Person::with_token(format!("{signed}.{signature}"))
    }

    fn token(&self, claims: &Value) -> Person {
        self.token_with(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.kid }), claims)
    }
}

fn claims(world: &World, subject: &str) -> Value {
    let now = world.environment.now().as_unix_s();
    json!({ "iss": ISSUER, "aud": "tidings", "sub": subject, "name": "Grace H", "iat": now, "exp": now + 600 })
}

/// Where the issuer's keys are.
#[derive(Clone)]
enum Keys {
    File(PathBuf),
    Url(String),
}

fn trusting(keys: Keys) -> impl FnOnce(&mut IdentityOptions) {
    move |options| {
        let external = &mut options.auth.external;
        external.issuer = ISSUER.to_owned();
        external.audience = "tidings".to_owned();
        external.user_claim = "sub".to_owned();
        external.name_claim = "name".to_owned();
        external.algorithms = vec!["EdDSA".to_owned()];
        external.max_age_s = 3_600;
        match keys {
            Keys::File(path) => external.key_file = path,
            Keys::Url(url) => external.jwks_url = url,
        }
    }
}

async fn me(server: &Server, person: &Person) -> crate::support::Answer {
    server.get(person, "/v1/me").await
}

#[actix_web::test]
async fn a_token_of_the_issuer_is_a_user_from_first_sight_on() {
    let (world, issuer) = (World::new().await, Issuer::new("k1"));
    let path = world.folder.path().join("issuer.pem");
    fs::write(&path, issuer.pem()).expect("written");
    let server = world.serve_with(trusting(Keys::File(path))).await;
    let grace = me(&server, &issuer.token(&claims(&world, "42"))).await.wants(200);
    assert_eq!(
        (&grace["display_name"], &grace["guest"], &grace["username"]),
        (&json!("Grace H"), &json!(false), &Value::Null)
    );
    let again = me(&server, &issuer.token(&claims(&world, "42"))).await.wants(200);
    assert_eq!(again, grace, "the same subject is the same user");
    let mut numbered = claims(&world, "");
    numbered["sub"] = json!(42);
    assert_eq!(me(&server, &issuer.token(&numbered)).await.wants(200)["id"], grace["id"]);
    let other = me(&server, &issuer.token(&claims(&world, "43"))).await.wants(200);
    assert_ne!(other["id"], grace["id"]);
    let own = server.sign_up("ada").await;
    me(&server, &own).await.wants(200);

    let grace = issuer.token(&claims(&world, "42"));
    server.call(Some(&grace), "DELETE", "/v1/tokens", Value::Null).await.wants(204);
    me(&server, &grace).await.refused(401, "unauthenticated");
    let mut later = claims(&world, "42");
    later["iat"] = json!(later["iat"].as_i64().expect("a time") + 1);
    me(&server, &issuer.token(&later)).await.wants(200);
}

#[actix_web::test]
async fn what_the_operator_pinned_is_held_against_every_token() {
    let (world, issuer, other) = (World::new().await, Issuer::new("k1"), Issuer::new("k1"));
    let path = world.folder.path().join("issuer.pem");
    fs::write(&path, issuer.pem()).expect("written");
    let server = world.serve_with(trusting(Keys::File(path))).await;
    let (good, now) = (claims(&world, "42"), world.environment.now().as_unix_s());
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed
    };
    me(&server, &issuer.token(&with("aud", json!(["a", "tidings"])))).await.wants(200);
    let header = |field: &str, value: Value| {
        let mut header = json!({ "alg": "EdDSA", "kid": "k1" });
        header[field] = value;
        header
    };
    let mut bad = vec![other.token(&good)];
    for (field, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", Value::Null),
        ("aud", json!("another")),
        ("aud", json!([])),
        ("exp", json!(now - 1)),
        ("exp", json!("tomorrow")),
        ("exp", Value::Null),
        ("nbf", json!(now + 3_600)),
        ("iat", json!(now + 3_600)),
        ("iat", json!(now - 3_601)),
        ("iat", Value::Null),
        ("sub", json!("")),
        ("sub", json!(["42"])),
        ("sub", json!("x".repeat(256))),
    ] {
        bad.push(issuer.token(&with(field, value)));
    }
    for (field, value) in
        [("alg", json!("none")), ("alg", json!("HS256")), ("alg", json!("ES256")), ("crit", json!(["b64"]))]
    {
        bad.push(issuer.token_with(&header(field, value), &good));
    }
    for (number, token) in bad.iter().enumerate() {
        let answer = me(&server, token).await;
        assert_eq!(answer.status, 401, "case {number}: {}", answer.text);
    }
    // A key that the token brings along is not looked at.
    let embedded = other.token_with(&json!({ "alg": "EdDSA", "kid": "k1", "jwk": other.jwk() }), &good);
    me(&server, &embedded).await.refused(401, "unauthenticated");
}

/// An issuer's key server: what it publishes can be changed, and it counts who asks.
struct Published {
    address: SocketAddr,
    keys: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
    handle: actix_web::dev::ServerHandle,
}

async fn publish(keys: Vec<Value>) -> Published {
    let (keys, asked) = (Arc::new(Mutex::new(json!({ "keys": keys }))), Arc::new(AtomicUsize::new(0)));
    let (shown, count) = (keys.clone(), asked.clone());
    let app = move || {
        let (shown, count) = (shown.clone(), count.clone());
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let document = shown.lock().expect("no panic").clone();
            async move { HttpResponse::Ok().json(document) }
        };
        App::new().default_service(web::to(answer))
    };
    let server = HttpServer::new(app).workers(1).bind("127.0.0.1:0").expect("a free port");
    let address = server.addrs()[0];
    let server = server.disable_signals().run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Published { address, keys, asked, handle }
}

impl Published {
    fn source(&self) -> Keys {
        Keys::Url(format!("http://{}/jwks", self.address))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[actix_web::test]
async fn published_keys_are_read_once_for_any_number_of_tokens() {
    let (world, issuer, stranger) = (World::new().await, Issuer::new("k1"), Issuer::new("k2"));
    let symmetric = json!({ "kty": "oct", "kid": "shared", "k": "c2VjcmV0" });
    let odd = json!({ "kty": "made up", "kid": 7 });
    let published = publish(vec![odd, symmetric, issuer.jwk()]).await;
    let server = world.serve_with(trusting(published.source())).await;
    assert_eq!(published.asked(), 0, "nothing is read before it is needed");
    let tokens: Vec<_> = (0..20).map(|n| issuer.token(&claims(&world, &n.to_string()))).collect();
    let answers = futures_util::future::join_all(tokens.iter().map(|token| me(&server, token))).await;
    for answer in answers {
        answer.wants(200);
    }
    assert_eq!(published.asked(), 1);
    me(&server, &issuer.token_with(&json!({ "alg": "EdDSA" }), &claims(&world, "1"))).await.wants(200);

    // Unknown keys make nobody read the document more than a few times in 30 s.
    for n in 0..20 {
        let forged = Issuer::new(&format!("unknown {n}"));
        me(&server, &forged.token(&claims(&world, "1"))).await.refused(401, "unauthenticated");
    }
    assert_eq!(published.asked(), 4, "three names that were not looked for yet, and no more");
    *published.keys.lock().expect("no panic") = json!({ "keys": [stranger.jwk()] });
    me(&server, &stranger.token(&claims(&world, "1"))).await.refused(401, "unauthenticated");
    me(&server, &issuer.token(&claims(&world, "1"))).await.wants(200);
    published.handle.stop(false).await;
    me(&server, &issuer.token(&claims(&world, "2"))).await.wants(200);
}

#[actix_web::test]
async fn an_issuer_that_cannot_be_reached_is_unavailable_and_ours_still_sign_in() {
    let (world, issuer) = (World::new().await, Issuer::new("k1"));
    let published = publish(vec![issuer.jwk()]).await;
    let source = published.source();
    published.handle.stop(false).await;
    let server = world.serve_with(trusting(source)).await;
    let why = me(&server, &issuer.token(&claims(&world, "1"))).await.refused(503, "unavailable");
    assert!(why.contains("issuer"), "{why}");
    me(&server, &server.sign_up("ada").await).await.wants(200);
}

/// Erasing outlives the list of what was revoked: the issuer may go on giving out tokens for years.
#[actix_web::test]
async fn an_erased_user_stays_out_with_new_tokens_and_on_other_servers() {
    let (world, issuer) = (World::new().await, Issuer::new("k1"));
    let path = world.folder.path().join("issuer.pem");
    fs::write(&path, issuer.pem()).expect("written");
    let server = world.serve_with(trusting(Keys::File(path.clone()))).await;
    let grace = issuer.token(&claims(&world, "42"));
    me(&server, &grace).await.wants(200);
    server.call(Some(&grace), "DELETE", "/v1/me", Value::Null).await.wants(202);
    // What was revoked is forgotten once no token of that time can be good any more.
    let in_a_year = Timestamp::from_unix_ms(world.environment.now().as_unix_ms() + 365 * 86_400_000);
    world.store.forget_revocations(in_a_year).await.expect("forgotten");
    let mut later = claims(&world, "42");
    later["iat"] = json!(later["iat"].as_i64().expect("a time") + 1);
    let another = world.serve_with(trusting(Keys::File(path))).await;
    for server in [&server, &another] {
        me(server, &issuer.token(&later)).await.refused(401, "unauthenticated");
    }
}
