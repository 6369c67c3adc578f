//! Every example of `docs/PROTOCOL.md`, run against a real server in both encodings and compared field by
//! field. That page explains how examples are written. A frame, call, error or close without an example fails
//! here too.

mod coverage;
mod http;
mod page;
mod pattern;
mod session;
mod stage;

use page::Kind;
use stage::Stage;

use crate::support::Encoding;

/// Runs the page from its first example to its last: what one binds the later ones use.
async fn run(encoding: Encoding) {
    let blocks = page::blocks();
    assert!(blocks.len() > 25, "only {} examples were found", blocks.len());
    // Nobody's typing runs out between two examples, however slow the machine is.
    let settings = [("TIDINGS__PRESENCE__TYPING_TIMEOUT_MS".to_owned(), "60000".to_owned())];
    let mut story = Stage::new(&settings, encoding, false).await;
    let mut complaints = Vec::new();
    for block in blocks {
        let mut own;
        let stage = if block.settings.is_empty() {
            &mut story
        } else {
            own = Stage::new(&block.settings, encoding, true).await;
            &mut own
        };
        let outcome = match block.kind {
            Kind::Http => http::play(stage, &block).await,
            Kind::Session if block.json_only && encoding != Encoding::Json => Ok(()),
            Kind::Session => session::play(stage, &block).await,
        };
        complaints
            .extend(outcome.err().map(|wrong| format!("docs/PROTOCOL.md:{}: {}", wrong.line, wrong.what)));
    }
    assert!(complaints.is_empty(), "{encoding:?}:\n  {}", complaints.join("\n  "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_holds_in_json() {
    run(Encoding::Json).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_holds_in_messagepack() {
    run(Encoding::Msgpack).await;
}

#[test]
fn everything_has_an_example() {
    let missing = coverage::missing(&page::text(), &page::blocks());
    assert!(missing.is_empty(), "docs/PROTOCOL.md shows no example of:\n  {}", missing.join("\n  "));
}
