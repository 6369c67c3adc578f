//! The heads that a hello finds while others write: a feed may lag behind its conversation by less than a
//! stretch, in any order of transactions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Connection;
use tidings::domain::{ConversationId, Role, Seq, UserId};
use tidings::store::postgres::{PostgresOptions, PostgresStore};
use tidings::store::{Change, Cursor, Head, Log, NewMessage, Receipt, Target};
use uuid::Uuid;

use super::{number, run};
use crate::harness::{Harness, PostgresHarness, World};

/// How many positions a feed may lag behind.
const STRETCH: u64 = 65_536;

/// Lets the log go on to `before` positions before the next stretch.
async fn near_the_next_stretch(world: &World, harness: &PostgresHarness, before: u64) {
    let end = world.store.end().await.unwrap().position.0;
    harness.skip_positions(STRETCH - end % STRETCH + STRETCH - before).await;
}

/// A store whose groups have room for 64.
async fn roomy(harness: &PostgresHarness) -> Arc<PostgresStore> {
    let limits = tidings::domain::Limits { group_members: 64, ..Default::default() };
    let options = PostgresOptions { limits, ..harness.options() };
    PostgresStore::open(options, harness.environment()).await.unwrap()
}

/// What a device knows that asks at each hello what moved since the one before.
#[derive(Default)]
struct Device {
    cursor: Option<Cursor>,
    known: HashMap<ConversationId, Head>,
}

impl Device {
    async fn hello(&mut self, store: &dyn Log, user: UserId) {
        let heads = store.heads(user, self.cursor).await.unwrap();
        for (conversation, _) in &heads.left {
            self.known.remove(conversation);
        }
        self.known.extend(heads.heads.into_iter().map(|head| (head.conversation, head)));
        self.cursor = Some(heads.cursor);
    }
}

async fn toggle(store: &PostgresStore, world: &World, owner: UserId, group: ConversationId, user: UserId) {
    let change = match store_member(world, group, user).await {
        true => Change::Leave { user },
        false => Change::Join { user, role: Role::Member },
    };
    store.change(owner, group, &change, world.now()).await.unwrap().unwrap();
}

async fn store_member(world: &World, group: ConversationId, user: UserId) -> bool {
    world.store.member(group, user).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hello_misses_what_moved_whatever_happens_at_once() {
    let harness = Arc::new(PostgresHarness::new().await);
    let [one, two, three, four] =
        [roomy(&harness).await, roomy(&harness).await, roomy(&harness).await, roomy(&harness).await];
    let world = World::around(Arc::clone(&four) as _);
    let people: [UserId; 20] = world.users().await;
    let owner = people[0];
    // One is told row by row and one is not, and each comes to the other side.
    let groups =
        [world.group(&people[..16]).await, world.group(&people[..17]).await, world.group(&people[..3]).await];
    let mut devices: Vec<(UserId, Device)> = people.iter().map(|user| (*user, Device::default())).collect();
    for round in 0..25_usize {
        near_the_next_stretch(&world, &harness, 12).await;
        let batch: Vec<NewMessage> = (0..24)
            .map(|n| {
                let to = match n % 4 {
                    3 => Target::User(people[1 + (round + n) % 8]),
                    group => Target::Conversation(groups[group]),
                };
                world.message(people[if n % 2 == 0 { 0 } else { 2 }], to, "hi")
            })
            .collect();
        let reversed: Vec<NewMessage> = batch
            .iter()
            .rev()
            .map(|message| NewMessage { client_id: world.client_id(), ..message.clone() })
            .collect();
        let receipts: Vec<Receipt> = people[..16]
            .iter()
            .flat_map(|user| groups.map(|conversation| (*user, conversation)))
            .map(|(user, conversation)| Receipt { user, conversation, delivered: None, read: Some(Seq::MAX) })
            .collect();
        let running = AtomicBool::new(true);
        let append = async |store: &PostgresStore, batch: &[NewMessage]| {
            for part in batch.chunks(6) {
                // To oneself is refused, and so is who was removed just now; neither is asked about here.
                store.append(part, world.now()).await.unwrap();
            }
        };
        let receipt = async {
            for part in receipts.chunks(12) {
                three.move_receipts(part, world.now()).await.unwrap();
            }
        };
        let change = async {
            for step in 0..3 {
                toggle(&three, &world, owner, groups[0], people[16 + (round + step) % 4]).await;
                toggle(&two, &world, owner, groups[1], people[13 + (round + step) % 4]).await;
            }
        };
        let write = async {
            tokio::join!(append(&one, &batch), append(&two, &reversed), receipt, change);
            running.store(false, Ordering::Release);
        };
        let ask = async {
            while running.load(Ordering::Acquire) {
                for (user, device) in &mut devices {
                    device.hello(&*four, *user).await;
                }
            }
        };
        tokio::join!(write, ask);
        for (user, device) in &mut devices {
            device.hello(&*four, *user).await;
            assert_eq!(device.known, world.heads(*user).await, "round {round}");
        }
        let behind = "SELECT count(*) FROM members m JOIN conversations c ON c.id = m.conversation \
             LEFT JOIN feeds f ON f.user_id = m.user_id AND f.conversation = m.conversation \
             WHERE f.position IS NULL OR f.position >> 16 < greatest(c.last_position, m.changed_position) >> 16";
        assert_eq!(number(&harness, behind).await, 0, "round {round}: a feed lags behind by a stretch");
    }
    for store in [one, two, three, four] {
        store.close().await;
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(number(&harness, deadlocks).await, 0, "locks are taken in one order");
}

#[tokio::test]
async fn a_receipt_under_way_is_found_though_the_group_shrank_to_where_it_is_told_row_by_row() {
    let harness = PostgresHarness::new().await;
    let store = roomy(&harness).await;
    let world = World::around(Arc::clone(&store) as _);
    let people: [UserId; 17] = world.users().await;
    let (owner, reader) = (people[0], people[1]);
    let group = world.group(&people).await;
    world.leave(people[16], group).await;
    let said = world.say(owner, group, "hi").await;
    near_the_next_stretch(&world, &harness, 8).await;

    // The first message since the group shrank, in one stretch; a receipt in the next one. Neither waits for
    // the other.
    let (mut append, mut receipt) = (harness.connection().await, harness.connection().await);
    let mut message = append.begin().await.unwrap();
    let appended: i16 = sqlx::query_scalar(
        "SELECT outcome FROM tidings_append(ARRAY[$1::uuid], ARRAY[$2::uuid], ARRAY[$3::uuid], NULL, ARRAY[1::bigint], NULL, \
             ARRAY['hi'], ARRAY[NULL::text], ARRAY[NULL::bigint], 1, 0, 0)",
    )
    .bind(owner.as_uuid())
    .bind(Uuid::from_u128(1))
    .bind(group.as_uuid())
    .fetch_one(&mut *message)
    .await
    .unwrap();
    assert_eq!(appended, 0);
    for _ in 0..12 {
        run(&harness, "SELECT pg_current_xact_id()").await;
    }
    let mut receipt = receipt.begin().await.unwrap();
    let marked = sqlx::query(
        "SELECT * FROM tidings_move_receipts(ARRAY[$1::uuid], ARRAY[$2::uuid], ARRAY[0::bigint], ARRAY[$3::bigint])",
    )
    .bind(reader.as_uuid())
    .bind(group.as_uuid())
    .bind(said.get() as i64)
    .fetch_all(&mut *receipt)
    .await
    .unwrap();
    assert_eq!(marked.len(), 1);
    message.commit().await.unwrap();
    let cursor = store.end().await.unwrap();
    receipt.commit().await.unwrap();

    let heads = store.heads(reader, Some(cursor)).await.unwrap().heads;
    assert_eq!(heads.iter().map(|head| head.read_seq).collect::<Vec<_>>(), [said]);
    store.close().await;
}
