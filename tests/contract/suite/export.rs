//! A user's own data, as lines of JSON.

use std::collections::HashMap;

use serde_json::Value;
use tidings::domain::{AddressPrefix, Changes, FamilyId, UserId};
use tidings::store::{Change, NewFamily, Target};

use super::fresh;
use crate::harness::World;

async fn export(world: &World, user: UserId, limit: usize) -> Vec<Value> {
    let (mut lines, mut after) = (Vec::new(), None);
    loop {
        let (part, next) = world.store.export(user, after, limit).await.unwrap();
        assert!(part.len() <= limit);
        lines.extend(part.iter().map(|line| serde_json::from_str(line).unwrap()));
        if next.is_none() {
            return lines;
        }
        after = next;
    }
}

fn hash_of(text: &str) -> [u8; 32] {
    std::array::from_fn(|at| text.as_bytes().get(at).copied().unwrap_or_default())
}

fn kinds(lines: &[Value]) -> HashMap<&str, usize> {
    let mut kinds = HashMap::new();
    for line in lines {
        *kinds.entry(line["type"].as_str().unwrap()).or_default() += 1;
    }
    kinds
}

#[tokio::test]
async fn everything_of_the_user_is_in_it_and_nothing_of_others() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    for n in 0..7 {
        let said = world.say(ada, group, &format!("mine {n}")).await;
        world.change(ada, group, Change::React { target: said, emoji: "🐟".to_owned(), on: true }).await;
    }
    world.say(ben, group, "the other's").await;
    world.try_send(ada, Target::User(ben), "mine, direct").await.unwrap();
    world.store.set_block(ada, ben, true).await.unwrap().unwrap();
    let topic = Some("fish".to_owned());
    world.change(ada, group, Change::Configure(Changes { topic, ..Changes::default() })).await;
    for (user, name) in [(ada, "a phone"), (ada, "a tablet"), (ben, "the other's device")] {
        let family = NewFamily {
            id: FamilyId::from_uuid(world.uuid()),
            user,
            token_hash: hash_of(name),
            expires_at: world.now().plus_ms(1_000),
            device_name: Some(name.to_owned()),
            network: AddressPrefix::of([10, 0, 0, 1].into()),
            device_hash: None,
        };
        world.store.add_family(&family, world.now()).await.unwrap();
    }
    let lines = export(&world, ada, 3).await;
    let expected =
        [("profile", 1), ("session", 2), ("conversation", 2), ("message", 8), ("reaction", 7), ("block", 1)];
    assert_eq!(kinds(&lines), expected.into());
    assert!(!lines.iter().any(|line| line.to_string().contains("the other's")));
    assert!(lines.iter().any(|line| line["device_name"] == "a tablet" && line["network"] == "10.0.0.0/24"));
    assert!(lines.iter().any(|line| line["body"] == "mine, direct"));
    assert!(lines.iter().any(|line| line["name"] == "room" && line["topic"] == "fish"));
    assert_eq!(kinds(&export(&world, ada, 1_000).await), expected.into(), "in whatever steps");
}

#[tokio::test]
async fn a_stranger_exports_nothing() {
    let world = fresh().await;
    let ghost = UserId::from_uuid(world.uuid());
    assert!(export(&world, ghost, 10).await.is_empty());
}
