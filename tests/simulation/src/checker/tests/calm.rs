//! P6, P9, P11: what must work once everything has healed.

use serde_json::json;

use super::{ADAS, BEN, BENS, Scene, error};
use crate::clients::copy::Copy;

#[test]
fn nothing_is_refused_and_nothing_waits_in_the_calm() {
    let asked = |at_ms: u64, wait_ms: u64, answer| {
        let mut scene = Scene::new();
        scene
            .at(at_ms)
            .sent(ADAS, json!({"type": "ping", "id": 1}))
            .at(at_ms + wait_ms)
            .received(ADAS, answer);
        scene
    };
    let pong = || json!({"type": "pong", "id": 1});
    let unavailable = || error(1, "unavailable", true);
    asked(50_000, 10, unavailable()).breaks("P11", "answered unavailable");
    asked(50_000, 4_000, pong()).breaks("P6", "waited for 4000 ms");
    asked(50_000, 1_000, pong()).holds();
    asked(20_000, 10, unavailable()).holds();
}

#[test]
fn devices_are_connected_in_the_end() {
    let away = |code: Option<u16>, at_ms: u64| {
        let mut scene = Scene::new();
        scene.copies.insert(1, Copy { user: Some(BEN.to_owned()), ..Copy::default() });
        scene.at(at_ms).closed(BENS, code);
        scene
    };
    away(None, 30_000).breaks("P9", "not connected");
    away(Some(4429), 30_000).holds();
    let mut out = away(None, 30_000);
    out.copies.get_mut(&1).unwrap().signed_out = true;
    out.holds();
}
