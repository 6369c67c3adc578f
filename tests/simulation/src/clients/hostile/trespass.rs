//! Abuse of what belongs to others: conversations, messages, people, tokens and keys.

use serde_json::{Value, json};

use super::super::scratch::Bench;
use super::super::wire::{owned, text, uuid};
use super::Loot;
use super::fields::{ask, frames};

pub(super) async fn misbehave(name: &str, mut bench: Bench, loot: Loot) -> Option<()> {
    match name {
        "a stolen token" => return stolen(&bench, &loot).await,
        "the token of another user as one's own" => return swapped(&bench, &loot).await,
        "a token after its end" => return ended(&bench, &loot).await,
        _ => {}
    }
    let mut scratch = bench.enter(bench.token.as_deref()).await?;
    match name {
        "conversations of others" => {
            for (index, foreign) in loot.foreign.iter().chain([&loot.foreign_place()]).take(6).enumerate() {
                for frame in frames(&mut bench, &(foreign.clone(), index as u64 + 1), &loot.other()) {
                    ask(&mut scratch, frame).await;
                }
                let ranges: Vec<_> = [foreign, &loot.place().0]
                    .map(|id| json!({"conversation": id, "after": 0}))
                    .into_iter()
                    .collect();
                ask(&mut scratch, json!({"type": "sync", "id": "both", "ranges": ranges})).await;
            }
        }
        "messages of others" => {
            let message = loot.others_message.clone().unwrap_or_else(|| (loot.foreign_place(), 1));
            for frame in &frames(&mut bench, &message, &loot.other())[1..3] {
                ask(&mut scratch, frame.clone()).await;
            }
            // The key of somebody else's message, with another text: keys belong to their sender.
            if let Some(mut sent) = loot.sent.clone() {
                sent["type"] = json!("send");
                sent["id"] = json!("stolen");
                sent["conversation"] = json!(loot.place().0);
                sent["body"] = json!(format!("stolen key {}", uuid(&mut bench.dice)));
                sent.as_object_mut()?.remove("to");
                ask(&mut scratch, sent).await;
            }
        }
        "receipts beyond the end" => {
            let (conversation, last) = loot.place();
            for seq in [last + 1, last + 1_000_000, 9_007_199_254_740_991] {
                for kind in ["read", "delivered"] {
                    let frame = json!({"type": kind, "id": kind, "conversation": conversation, "seq": seq});
                    ask(&mut scratch, frame).await;
                }
            }
        }
        _ => {
            let mut users: Vec<Value> = loot.others.iter().map(|user| json!(user)).collect();
            ask(&mut scratch, json!({"type": "watch", "id": 1, "users": users.clone()})).await;
            users.extend((0..210).map(|number| json!(format!("u_{number:032x}"))));
            ask(&mut scratch, json!({"type": "watch", "id": 2, "users": users})).await;
            for foreign in &loot.foreign {
                ask(&mut scratch, json!({"type": "typing", "conversation": foreign, "on": true})).await;
            }
        }
    }
    scratch.drain(3_000).await;
    Some(())
}

/// Listens with the token of another device. It says nothing, so that what its user did stays true.
async fn stolen(bench: &Bench, loot: &Loot) -> Option<()> {
    for (_, token) in loot.tokens.iter().rev().take(3) {
        if let Some(mut scratch) = bench.enter(Some(token)).await {
            ask(&mut scratch, json!({"type": "ping", "id": 1})).await;
            scratch.drain(10_000).await;
        }
    }
    // An old one, most likely after its end.
    let (_, oldest) = loot.tokens.first()?;
    bench.enter(Some(oldest)).await.map(drop)
}

/// Gives a connection the token of another user.
async fn swapped(bench: &Bench, loot: &Loot) -> Option<()> {
    let mut scratch = bench.enter(bench.token.as_deref()).await?;
    let (_, token) = loot.tokens.last()?;
    ask(&mut scratch, json!({"type": "auth", "id": 1, "token": token})).await;
    scratch.drain(5_000).await;
    Some(())
}

/// Signs in beside the device, shows the refresh token too often, and uses what is worth nothing.
async fn ended(bench: &Bench, loot: &Loot) -> Option<()> {
    let anonymous = Bench { token: None, ..bench.clone() };
    let (path, body) = match &loot.password {
        Some((username, password)) => ("/v1/tokens", json!({"username": username, "password": password})),
        None => ("/v1/accounts/guest", json!({"device_id": loot.device_id})),
    };
    let (_, signed_in) = anonymous.call("POST", path.to_owned(), Some(body), None).await.ok()?;
    let (access, first) = (owned(&signed_in, "access_token")?, owned(&signed_in, "refresh_token")?);
    let refresh = |token: String| {
        let body = json!({"refresh_token": token});
        anonymous.call("POST", "/v1/tokens/refresh".to_owned(), Some(body), None)
    };
    let (_, second) = refresh(first.clone()).await.ok()?;
    let (_, _third) = refresh(text(&second, "refresh_token").to_owned()).await.ok()?;
    // The first one again: its successor was used, so the sign-in ends.
    let _ = refresh(first).await;
    let with_ended = Bench { token: Some(access.clone()), ..bench.clone() };
    // Within a second none of its tokens is taken anywhere.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let _ = with_ended.call("GET", "/v1/me".to_owned(), None, None).await;
    bench.enter(Some(&access)).await.map(drop)
}
