//! The cost of an operation does not depend on the amount of stored data.
//!
//! Every operation runs with about 1,000 rows in each table and again with 100,000, at several batch sizes.
//! Postgres counts the pages that its statements touch, those inside functions included; SQLite counts the
//! steps of its virtual machine.

mod operations;
mod postgres;
mod rows;
mod sqlite;
mod stage;
mod trips;

use std::collections::BTreeMap;

use async_trait::async_trait;

use tidings::domain::Role;
use tidings::store::Change;

use crate::harness::{Harness, World};
use operations::{OPERATIONS, Stage};
use rows::Rows;

/// Where the costs of a store's statements are read.
#[async_trait]
trait Meter: Send + Sync {
    /// The sum of the costs so far.
    async fn spent(&self) -> u64;

    /// Runs statements past the store.
    async fn fill(&self, statements: Vec<String>);

    /// What may be spent with many rows where `few` was spent with few.
    fn allowed(&self, few: u64) -> u64;

    /// The dearest statements since the last call, for the engineer who has to mend what a test found.
    async fn dearest(&self) -> String {
        String::new()
    }
}

/// How many rows each table has at first, and in the end.
const ROWS: [u64; 2] = [1_000, 100_000];

/// How many positions a feed may lag behind.
const STRETCH: u64 = 65_536;

/// Runs of each operation that count, after one that does not: it fills caches and prepares statements.
const RUNS: usize = 2;

async fn costs_do_not_grow(world: &World, harness: &impl Harness, meter: &impl Meter, rows: Rows) {
    let stage = Stage::set(world).await;
    let (mut from, mut measured) = (0, Vec::new());
    for to in ROWS {
        meter.fill(rows.statements(&stage, from, to)).await;
        meter.dearest().await;
        // What was written just now is not what a hello asks for.
        harness.skip_positions(STRETCH).await;
        measured.push(measure(&stage, meter).await);
        from = to;
    }
    let grown: Vec<String> = measured[0]
        .iter()
        .map(|(what, few)| (what, *few, measured[1][what]))
        .filter(|(_, few, many)| *many > meter.allowed(*few))
        .map(|(what, few, many)| format!("{what}: {few} with few rows, {many} with many"))
        .collect();
    let dearest = meter.dearest().await;
    assert!(grown.is_empty(), "costs grow with what is stored:\n{}\n{dearest}", grown.join("\n"));
}

/// A group grows past what a message tells one by one, and shrinks again: every member finds what moved.
async fn a_group_of_any_size_is_found(world: &World, harness: &impl Harness) {
    let owner = world.user("owner").await;
    let mut members = vec![owner];
    for n in 0..20 {
        members.push(world.user(&format!("member {n}")).await);
    }
    let group = world.group(&members[..15]).await;
    for size in [15, 16, 17, 21, 17, 15] {
        for (at, user) in members.iter().copied().enumerate() {
            let change = match world.store.member(group, user).await.unwrap() {
                None if at < size => Change::Join { user, role: Role::Member },
                Some(_) if at >= size => Change::Leave { user },
                _ => continue,
            };
            world.change(owner, group, change).await;
        }
        for _ in 0..3 {
            harness.skip_positions(STRETCH + STRETCH / 4).await;
            let cursor = world.store.end().await.unwrap();
            world.say(owner, group, "hi").await;
            for (at, user) in members.iter().enumerate() {
                let found = world.store.heads(*user, Some(cursor)).await.unwrap().heads.len();
                assert_eq!(found, usize::from(at < size), "member {at} in a group of {size}");
            }
        }
    }
}

async fn measure(stage: &Stage<'_>, meter: &impl Meter) -> BTreeMap<String, u64> {
    let mut costs = BTreeMap::new();
    for operation in OPERATIONS {
        for &size in operation.sizes {
            (operation.run)(stage, size).await;
            let mut least = u64::MAX;
            for _ in 0..RUNS {
                let before = meter.spent().await;
                (operation.run)(stage, size).await;
                least = least.min(meter.spent().await - before);
            }
            costs.insert(format!("{} ({size})", operation.name), least);
        }
    }
    costs
}
