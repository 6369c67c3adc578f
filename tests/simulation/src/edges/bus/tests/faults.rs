use super::*;

const SHORT: Duration = Duration::from_secs(5);

/// After a fault: both are up again, and what is published arrives.
async fn works_again(world: &World) {
    world.until(|world| world.nodes.iter().all(Node::is_up)).await;
    world.publish(0, &[topic(1)], 999);
    world.until(|world| world.heard(1).numbers().contains(&999)).await;
}

async fn ready(seed: u64) -> World {
    let world = World::with(seed, FAIR, 2).await;
    world.subscribe(1, &[topic(1)]).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_followed_by_a_gap() {
    let world = ready(1).await;
    let gaps = world.heard(1).gaps();
    world.publish(0, &[topic(1)], 1);
    world.bus.cut(1);
    world.until(|world| !world.nodes[1].is_up()).await;
    assert!(world.nodes[0].is_up());
    works_again(&world).await;
    assert_eq!(world.heard(1).gaps(), gaps + 1);
}

#[tokio::test(start_paused = true)]
async fn an_away_bus_is_noticed_whether_it_says_so_or_not() {
    for seed in 1..=6 {
        let world = ready(seed).await;
        world.bus.away(SHORT);
        let began = now();
        world.until(|world| world.nodes.iter().all(|node| !node.is_up())).await;
        assert!(now() - began < Duration::from_secs(2));
        works_again(&world).await;
        assert!(now() - began >= SHORT);
        assert!(world.heard(1).gaps() > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_freeze_loses_nothing_and_a_long_one_is_followed_by_a_gap() {
    for (ms, most_gaps) in [(900, 0), (5_000, 1)] {
        let world = ready(2).await;
        let gaps = world.heard(1).gaps();
        world.bus.freeze(Duration::from_millis(ms));
        world.publish(0, &[topic(1)], 1);
        world.until(|world| !world.nodes[1].is_up()).await;
        works_again(&world).await;
        assert_eq!(world.heard(1).gaps() - gaps, most_gaps, "{ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_demoted_server_counts_as_down() {
    let world = ready(3).await;
    world.bus.demote(SHORT);
    world.until(|world| world.nodes.iter().all(|node| !node.is_up())).await;
    works_again(&world).await;
}

#[tokio::test(start_paused = true)]
async fn the_dead_publish_nothing() {
    let mut world = ready(4).await;
    world.publish(0, &[topic(1)], 1);
    let dead = world.nodes.swap_remove(0);
    dead.alive.store(false, Ordering::Relaxed);
    drop(dead);
    world.pass(5_000).await;
    assert!(world.nodes[0].heard.numbers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_forgery_is_heard() {
    let world = ready(5).await;
    world.subscribe(1, &[Topic::Digest, Topic::Published]).await;
    (1..=20).for_each(|number| world.publish(0, &[topic(1)], number));
    world.until(|world| world.heard(1).numbers().len() == 20).await;
    for _ in 0..20 {
        (0..8).for_each(|kind| world.bus.forge(kind));
    }
    world.pass(1_000).await;
    assert_eq!(world.heard(1).numbers(), (1..=20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_calm_ends_every_fault() {
    for seed in 1..=4 {
        let world = ready(seed).await;
        let long = Duration::from_secs(10_000);
        world.bus.freeze(long);
        world.bus.demote(long);
        world.bus.away(long);
        world.pass(3_000).await;
        world.bus.calm(&FAIR);
        works_again(&world).await;
    }
}
