use tidings::bus::Presence;
use tidings::bus::presence_registry::SharedPresenceRegistry;

use super::*;

const LEASE: Duration = Duration::from_secs(2);

async fn ready(seed: u64) -> (World, Vec<SharedPresenceRegistry>) {
    let world = World::with(seed, FAIR, 2).await;
    let registries = world.nodes.iter().map(|node| {
        let _entered = node.tasks.enter();
        node.link.registry(LEASE)
    });
    let registries = registries.collect();
    (world, registries)
}

async fn is_seen(world: &World, registry: &SharedPresenceRegistry, presence: Option<Presence>) {
    let seen = async {
        while registry.others(&[user(1)]).await != Ok(vec![presence]) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(world.run(timeout(PATIENCE, seen)).await.is_ok(), "never {presence:?}");
}

#[tokio::test(start_paused = true)]
async fn entries_are_seen_and_end_with_the_lease_of_a_killed_process() {
    let (mut world, registries) = ready(1).await;
    registries[0].put(user(1), Some(Presence::Away));
    is_seen(&world, &registries[1], Some(Presence::Away)).await;
    assert_eq!(world.run(registries[1].nodes(&[user(1), user(2)])).await, Ok(vec![1, 0]));
    let dead = world.nodes.remove(0);
    dead.alive.store(false, Ordering::Relaxed);
    drop(dead);
    let began = now();
    is_seen(&world, &registries[1], None).await;
    assert!(now() - began <= LEASE + Duration::from_millis(100));
    assert!(world.run(registries[1].last_on_dead(&[user(1)])).await[0].is_some());
}

#[tokio::test(start_paused = true)]
async fn after_the_server_was_emptied_entries_are_written_again() {
    let (world, registries) = ready(2).await;
    registries[0].put(user(1), Some(Presence::Online));
    is_seen(&world, &registries[1], Some(Presence::Online)).await;
    world.bus.empty();
    world.pass(1).await;
    assert!(world.run(registries[1].others(&[user(1)])).await.is_err());
    is_seen(&world, &registries[1], Some(Presence::Online)).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_unavailable_within_the_timeout_while_the_bus_is_frozen() {
    let (world, registries) = ready(3).await;
    world.bus.freeze(Duration::from_secs(10));
    let began = now();
    assert!(world.run(registries[1].others(&[user(1)])).await.is_err());
    // It waits for its turn behind the renewal of the lease.
    assert!(now() - began <= Duration::from_millis(2_250), "{:?}", now() - began);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_gone_at_once() {
    let (world, registries) = ready(4).await;
    registries[0].put(user(1), Some(Presence::Online));
    is_seen(&world, &registries[1], Some(Presence::Online)).await;
    world.run(world.nodes[0].link.leave()).await;
    assert_eq!(world.run(registries[1].others(&[user(1)])).await, Ok(vec![None]));
}
