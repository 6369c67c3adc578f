//! The checked-in descriptions are those that the server serves.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::World;

#[expect(
    clippy::disallowed_methods,
    reason = "the one switch of this test: write the files instead of comparing"
)]
fn updating() -> bool {
    std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1")
}

#[actix_web::test]
async fn the_checked_in_documents_are_current() {
    let world = World::new().await;
    let server = world.serve().await;
    for name in ["openapi.json", "asyncapi.json"] {
        let served = server.call(None, "GET", &format!("/{name}"), Value::Null).await;
        assert_eq!(served.headers["content-type"], "application/json");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        if updating() {
            fs::write(&path, &served.text).expect("written");
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == served.text, "docs/{name} is not current: run this test with UPDATE_DOCS=1");
    }
}

#[actix_web::test]
async fn every_documented_operation_is_answered() {
    let world = World::new().await;
    let server = world.serve().await;
    let document = server.call(None, "GET", "/openapi.json", Value::Null).await.wants(200);
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("an item").keys() {
            let answer = server.call(None, &method.to_uppercase(), path, Value::Null).await;
            let public = item[method]["security"] == serde_json::json!([{}]);
            let fine =
                if public { matches!(answer.status.as_u16(), 200 | 415) } else { answer.status == 401 };
            assert!(fine, "{method} {path}: {} {}", answer.status, answer.text);
            seen += 1;
        }
    }
    assert!(seen > 35, "{seen}");
}
