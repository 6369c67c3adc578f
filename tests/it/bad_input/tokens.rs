//! Tokens that are not ours: forged, altered, copied or broken. The attacker has one valid token and the
//! public keys.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use crate::support::unix_seconds;

/// Whose signature a forgery bears.
pub enum Signer {
    /// A fresh key of the server's own algorithm.
    Ed25519(Ed25519KeyPair),
    /// The same for servers that sign with P-256.
    P256(EcdsaKeyPair),
}

impl Signer {
    /// A fresh key for this `alg`.
    pub fn new(alg: &str) -> Self {
        match alg {
            "EdDSA" => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            "ES256" => Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            other => panic!("tokens are signed with {other}: teach this table to forge it"),
        }
    }

    /// Signs bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(bytes).as_ref().to_vec(),
            Self::P256(key) => key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec(),
        }
    }

    /// The public half as a JWK.
    pub fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid,
                    "x": BASE64.encode(key.public_key().as_ref()) })
            }
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
                    "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65]) })
            }
        }
    }

    /// A token of this header and these claims.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = signed_part(header, claims);
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

fn signed_part(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

/// Header and claims of a JWT, unverified.
pub fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| BASE64.decode(part).expect("an access token is a JWT"));
    let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (json(), json())
}

/// With an object's field set.
fn with(object: &Value, field: &str, value: Value) -> Value {
    let mut changed = object.clone();
    changed[field] = value;
    changed
}

/// Every forgery that can be made from two good tokens, a refresh token and the published keys, with a name.
pub fn forgeries(token: &str, other: &str, refresh: &str, jwks: &Value) -> Vec<(String, String)> {
    let (header, claims) = parts(token);
    let alg = header["alg"].as_str().unwrap();
    let mut out: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, token: String| out.push((name.to_owned(), token));

    for (name, text) in [
        ("one letter", "x"),
        ("two dots", ".."),
        ("three letters", "a.b.c"),
        ("five parts", "a.b.c.d.e"),
        ("no base64", "!!!.???.***"),
        ("the word Bearer", "Bearer"),
        ("null", "null"),
        ("a user id", claims["sub"].as_str().unwrap_or("u_0")),
        ("SQL", "' OR '1'='1"),
    ] {
        add(name, text.to_owned());
    }
    add("a refresh token", refresh.to_owned());

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (_, others_signature) = other.rsplit_once('.').unwrap();
    add("no signature", signed.to_owned());
    add("empty signature", format!("{signed}."));
    add("half a signature", format!("{signed}.{}", &signature[..signature.len() / 2]));
    add("a signature of zeros", format!("{signed}.{}", BASE64.encode([0; 64])));
    add("another token's signature", format!("{signed}.{others_signature}"));
    add("a trailing part", format!("{token}.e30"));
    add("a trailing letter", format!("{token}A"));
    add("twice", format!("{token}{token}"));
    for place in [0, signature.len() / 2] {
        let letter = if &signature[place..=place] == "A" { "B" } else { "A" };
        let changed = format!("{}{letter}{}", &signature[..place], &signature[place + 1..]);
        add(&format!("signature changed at {place}"), format!("{signed}.{changed}"));
    }

    for (field, value) in [
        ("sub", parts(other).1["sub"].clone()),
        ("exp", json!(unix_seconds() + 1_000_000)),
        ("iat", json!(0)),
        ("role", json!("admin")),
    ] {
        let changed = signed_part(&header, &with(&claims, field, value));
        add(&format!("claim {field} changed"), format!("{changed}.{signature}"));
    }
    for none in
        [json!("none"), json!("None"), json!("NONE"), json!("nOnE"), json!(""), json!(null), json!(["none"])]
    {
        let changed = signed_part(&with(&header, "alg", none.clone()), &claims);
        add(&format!("alg {none}, unsigned"), format!("{changed}."));
        add(&format!("alg {none}, signed"), format!("{changed}.{signature}"));
    }

    // The key confusion attack: the public key as an HMAC secret, in each form a server may hold it.
    let key = &jwks["keys"][0];
    let x = key["x"].as_str().expect("a public key");
    let raw = BASE64.decode(x).unwrap();
    let spki = [&b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..], &raw].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(&spki)
    );
    let secrets = [
        ("raw", raw),
        ("base64", x.as_bytes().to_vec()),
        ("JWK", key.to_string().into_bytes()),
        ("JWKS", jwks.to_string().into_bytes()),
        ("DER", spki),
        ("PEM", pem.into_bytes()),
        ("empty", Vec::new()),
        ("guessed", b"secret".to_vec()),
    ];
    for (form, secret) in secrets {
        let changed = signed_part(&with(&header, "alg", json!("HS256")), &claims);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), changed.as_bytes());
        add(&format!("HS256 with the {form} key"), format!("{changed}.{}", BASE64.encode(tag.as_ref())));
    }

    let signer = Signer::new(alg);
    let kid = header["kid"].as_str().unwrap_or("none").to_owned();
    add("another key, our kid", signer.token(&header, &claims));
    add("another key, our kid, in capitals", signer.token(&with(&header, "typ", json!("jwt")), &claims));
    for kid in [
        json!("unknown"),
        json!(""),
        json!(null),
        json!(7),
        json!(["a"]),
        json!("../../../../dev/null"),
        json!("' UNION SELECT 'a"),
        json!("https://evil.example/key"),
        json!("k".repeat(10_000)),
    ] {
        let name = format!("another key, kid {:.40}", kid.to_string());
        add(&name, signer.token(&with(&header, "kid", kid), &claims));
    }
    let jwk = signer.jwk(&kid);
    add("another key, embedded", signer.token(&with(&header, "jwk", jwk), &claims));
    for field in ["jku", "x5u"] {
        let changed = with(&header, field, json!("http://127.0.0.1:1/keys.json"));
        add(&format!("another key, by {field}"), signer.token(&changed, &claims));
    }
    let certificate = BASE64.encode(b"no certificate");
    add("another key, x5c", signer.token(&with(&header, "x5c", json!([certificate])), &claims));
    add("another key, unknown crit", signer.token(&with(&header, "crit", json!(["x"])), &claims));
    add("another key, b64 false", signer.token(&with(&header, "b64", json!(false)), &claims));
    for (name, claims) in
        [("no claims", json!({})), ("claims a list", json!([])), ("claims null", json!(null))]
    {
        add(&format!("another key, {name}"), signer.token(&header, &claims));
    }
    add("60,000 bytes", signer.token(&header, &with(&claims, "pad", json!("p".repeat(20_000)))));
    out
}
