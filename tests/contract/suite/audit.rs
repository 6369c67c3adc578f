//! The audit log: entries in one chain, whoever writes them, and what retention leaves.

use tidings::domain::Timestamp;
use tidings::domain::audit::{AuditAction, AuditActor, AuditEntry, verify};

use super::fresh;
use crate::harness::World;

fn entry(at_ms: i64, details: &str) -> AuditEntry {
    let at = Timestamp::from_unix_ms(at_ms);
    AuditEntry::new(at, AuditActor::Operator("ada".to_owned()), AuditAction::LookedUp).with(details)
}

async fn details(world: &World, after: u64, limit: usize) -> Vec<(u64, Option<String>)> {
    let entries = world.store.audit(after, limit).await.unwrap();
    entries.into_iter().map(|entry| (entry.id, entry.fields.details)).collect()
}

#[tokio::test]
async fn entries_keep_their_order_and_what_they_say() {
    let world = fresh().await;
    let [ben] = world.users().await;
    assert_eq!(world.store.audit_end().await.unwrap(), 0);
    world.store.add_audit(&[]).await.unwrap();
    let full = AuditEntry {
        conversation: Some(world.group(&[ben]).await),
        address: Some("2001:db8::7".to_owned()),
        ..entry(5, "„ja“ 🙂").to(ben)
    };
    world.store.add_audit(&[full.clone(), entry(6, "b")]).await.unwrap();
    let bare = AuditEntry::new(Timestamp::from_unix_ms(7), AuditActor::Anonymous, AuditAction::SignInFailed);
    world.store.add_audit(std::slice::from_ref(&bare)).await.unwrap();
    let entries = world.store.audit(0, 10).await.unwrap();
    assert_eq!(verify(None, &entries), Ok(()));
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((&entries[0].fields, &entries[2].fields), (&full.fields(), &bare.fields()));
    assert_eq!(world.store.audit_end().await.unwrap(), 3);
    assert_eq!(details(&world, 1, 1).await, [(2, Some("b".to_owned()))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_who_write_at_once_make_one_chain() {
    let world = fresh().await;
    let write = |writer: usize| {
        let store = world.store.clone();
        tokio::spawn(async move {
            for number in 0..10 {
                store.add_audit(&[entry(0, &format!("{writer} {number}")), entry(0, "and")]).await.unwrap();
            }
        })
    };
    for writing in (0..4).map(write).collect::<Vec<_>>() {
        writing.await.unwrap();
    }
    let entries = world.store.audit(0, 100).await.unwrap();
    assert_eq!(entries.len(), 80);
    assert_eq!(verify(None, &entries), Ok(()));
    let pairs = entries.chunks(2).all(|pair| pair[1].fields.details.as_deref() == Some("and"));
    assert!(pairs, "what is written at once stands together");
}

#[tokio::test]
async fn retention_takes_from_the_beginning_and_leaves_the_newest() {
    let world = fresh().await;
    let before = Timestamp::from_unix_ms(50);
    assert_eq!(world.store.forget_audit(before).await.unwrap(), 0);
    let old: Vec<AuditEntry> = (0..1_200).map(|_| entry(10, "old")).collect();
    world.store.add_audit(&old).await.unwrap();
    world.store.add_audit(&[entry(60, "new")]).await.unwrap();
    let mut removed = Vec::new();
    while let count @ 1.. = world.store.forget_audit(before).await.unwrap() {
        removed.push(count);
    }
    assert_eq!(removed, [1_000, 200]);
    assert_eq!(details(&world, 0, 10).await, [(1_201, Some("new".to_owned()))]);
    assert_eq!(world.store.forget_audit(Timestamp::from_unix_ms(100)).await.unwrap(), 0, "the newest stays");
    world.store.add_audit(&[entry(70, "newer")]).await.unwrap();
    assert_eq!(verify(None, &world.store.audit(0, 10).await.unwrap()), Ok(()));
}
