//! Tokens that are signed with the server's own key and still invalid: expired, for another audience, by
//! another issuer, of no user. The operator provides the key, so the test can sign with it.

use std::io::Write;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::tokens::{Signer, parts};
use crate::support::unix_seconds;

/// A new signing key: as a file for the server, and as a signer for the test.
pub fn signing_key() -> (NamedTempFile, Signer) {
    let key = Ed25519KeyPair::generate().unwrap();
    let der = key.to_pkcs8v1().unwrap();
    let mut file = NamedTempFile::new().unwrap();
    let text = STANDARD.encode(der.as_ref());
    writeln!(file, "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----").unwrap();
    (file, Signer::Ed25519(key))
}

/// Tokens made from a good one, signed with the server's key, with a name and whether each is to be accepted.
/// `nobody` is an id that no user has, `group` the id of something that is no user.
pub fn signed(signer: &Signer, good: &str, nobody: &str, group: &str) -> Vec<(String, String, bool)> {
    let (header, claims) = parts(good);
    let now = unix_seconds();
    let mut out = vec![
        ("as it was".to_owned(), signer.token(&header, &claims), true),
        ("with a claim more".to_owned(), signer.token(&header, &set(&claims, "colour", json!("red"))), true),
    ];
    let mut refuse = |name: String, header: &Value, claims: &Value| {
        out.push((name, signer.token(header, claims), false));
    };
    for (field, values) in [
        (
            "exp",
            vec![
                json!(now - 120),
                json!(0),
                json!(-1),
                json!("tomorrow"),
                json!(now.to_string()),
                json!(true),
            ],
        ),
        ("iss", vec![json!("https://evil.example"), json!(""), json!(7)]),
        ("aud", vec![json!("another app"), json!(["another", "app"]), json!([]), json!(""), json!(7)]),
        (
            "sub",
            vec![json!(nobody), json!(group), json!(""), json!("root"), json!(7), json!(["a"]), json!({})],
        ),
        ("nbf", vec![json!(now + 3600)]),
    ] {
        for value in values {
            let name = format!("{field} {value}");
            refuse(name, &header, &set(&claims, field, value));
        }
    }
    for field in ["exp", "iss", "aud", "sub"] {
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(field);
        refuse(format!("without {field}"), &header, &without);
        refuse(format!("{field} null"), &header, &set(&claims, field, Value::Null));
    }
    for (field, value) in [
        ("alg", json!("HS256")),
        ("alg", json!("none")),
        ("alg", json!("ES256")),
        ("kid", json!("another")),
        ("crit", json!(["x"])),
    ] {
        let name = format!("header {field} {value}");
        refuse(name, &set(&header, field, value), &claims);
    }
    out
}

fn set(object: &Value, field: &str, value: Value) -> Value {
    let mut changed = object.clone();
    changed[field] = value;
    changed
}
