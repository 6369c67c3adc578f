//! Groups that are created, joined and left while all clients are connected: an added user must be told live.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use tokio::sync::watch;

use crate::{
    ids::{ConversationId, UserId},
    rest::{Account, Rest},
};

/// More are not made: then people come and go in those there are.
const MOST_GROUPS: usize = 40;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Groups made.
    pub made: u64,
    /// People added to one.
    pub added: u64,
    /// People removed from one.
    pub removed: u64,
    /// Calls the server would not do, or whose answer was lost.
    pub failures: u64,
}

/// Changes who is in which group until `calm` turns true. `rests`: the servers, asked in turn.
pub async fn live(
    rests: Vec<Rest>,
    owner: Account,
    guests: Vec<UserId>,
    mut random: StdRng,
    mut calm: watch::Receiver<bool>,
) -> Changes {
    let mut changes = Changes::default();
    let mut groups: Vec<(ConversationId, Vec<UserId>)> = Vec::new();
    for rest in rests.iter().cycle() {
        // Often right after another change, which is when it matters.
        let pause =
            Duration::from_millis(if random.random_bool(0.5) { 0 } else { random.random_range(50..400) });
        tokio::select! {
            _ = calm.wait_for(|calm| *calm) => break,
            () = tokio::time::sleep(pause) => {}
        }
        let make = groups.is_empty() || (groups.len() < MOST_GROUPS && random.random_range(0..3) == 0);
        let guest = guests[random.random_range(0..guests.len())].clone();
        if make {
            let members: Vec<UserId> = guests.sample(&mut random, 2).cloned().collect();
            match rest.group(&owner, &members).await {
                Ok(group) => {
                    changes.made += 1;
                    groups.push((group, members));
                }
                Err(error) => failed(&error, &mut changes),
            }
            continue;
        }
        let at = random.random_range(0..groups.len());
        let (group, members) = &mut groups[at];
        let done = if members.contains(&guest) {
            members.retain(|member| *member != guest);
            changes.removed += 1;
            rest.remove(&owner, group, &guest).await
        } else {
            members.push(guest.clone());
            changes.added += 1;
            rest.add(&owner, group, &guest).await
        };
        if let Err(error) = done {
            failed(&error, &mut changes);
        }
    }
    changes
}

fn failed(error: &anyhow::Error, changes: &mut Changes) {
    eprintln!("changing a group: {error:#}");
    changes.failures += 1;
}
