use super::*;

#[tokio::test(start_paused = true)]
async fn subscribers_hear_others_do_not_and_nobody_hears_itself() {
    let world = World::with(1, FAIR, 3).await;
    world.subscribe(0, &[topic(1)]).await;
    world.subscribe(1, &[topic(1), topic(2)]).await;
    world.publish(0, &[topic(1)], 1);
    world.publish(2, &[topic(2)], 2);
    world.until(|world| world.heard(1).numbers().len() == 2).await;
    world.pass(1_000).await;
    assert!(world.heard(0).numbers().is_empty() && world.heard(2).numbers().is_empty());
    world.nodes[1].link.unsubscribe(topic(1));
    world.pass(1_000).await;
    world.publish(0, &[topic(1)], 3);
    world.pass(1_000).await;
    assert_eq!(world.heard(1).numbers().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn order_holds_and_copies_for_several_topics_come_once() {
    let world = World::with(2, FAIR, 2).await;
    let crowd: Vec<Topic> = (1..=20).map(topic).collect();
    world.subscribe(1, &crowd).await;
    for number in 1..=300 {
        let topics = match number % 3 {
            0 => crowd.as_slice(),
            1 => &crowd[..2],
            _ => &crowd[..1],
        };
        world.publish(0, topics, number);
        if number % 50 == 0 {
            world.pass(3).await;
        }
    }
    world.until(|world| world.heard(1).numbers().len() >= 300).await;
    assert_eq!(world.heard(1).numbers(), (1..=300).collect::<Vec<_>>());
    assert_eq!(world.heard(1).gaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_published_after_settled_arrives() {
    let world = World::with(3, Weather { subscribe_delay_ms: 200, ..FAIR }, 2).await;
    for number in 1..=20 {
        world.subscribe(1, &[topic(u128::from(number))]).await;
        world.publish(0, &[topic(u128::from(number))], number);
    }
    world.until(|world| world.heard(1).numbers().len() == 20).await;
}

#[tokio::test(start_paused = true)]
async fn releases_with_and_without_macs_understand_each_other() {
    let mut world = World::new(4, FAIR);
    world.bus.take_unsigned();
    (1..=2).for_each(|envelope| world.add(envelope));
    world.until(|world| world.nodes.iter().all(Node::is_up)).await;
    world.subscribe(0, &[topic(1)]).await;
    world.subscribe(1, &[topic(2)]).await;
    world.publish(0, &[topic(2)], 1);
    world.publish(1, &[topic(1)], 2);
    world.until(|world| world.heard(0).numbers() == [2] && world.heard(1).numbers() == [1]).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_is_the_same_run() {
    let run = async |seed| {
        let world = World::with(seed, Weather { bus_loss: 200, ..FAIR }, 2).await;
        world.subscribe(1, &[topic(1)]).await;
        (1..=100).for_each(|number| world.publish(0, &[topic(1)], number));
        world.pass(5_000).await;
        world.heard(1).numbers()
    };
    let first = run(5).await;
    assert!(first.len() < 100 && first.is_sorted());
    assert_eq!(first, run(5).await);
    assert_ne!(first, run(6).await);
}
