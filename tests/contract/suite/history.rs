//! Ranges and pages.

use tidings::domain::{ConversationId, EventKind, Seq, UserId};
use tidings::store::{Change, HistoryPage, HistoryQuery, NewMessage, RangeEvents, RangeQuery, Target};

use super::fresh;
use crate::harness::{World, seq};

async fn talk(world: &World, messages: usize) -> (UserId, ConversationId) {
    let [ada] = world.users().await;
    let group = world.group(&[ada]).await;
    let batch: Vec<NewMessage> = (0..messages)
        .map(|n| world.message(ada, Target::Conversation(group), &format!("message {n}")))
        .collect();
    assert!(world.append(&batch).await.iter().all(Result::is_ok));
    (ada, group)
}

async fn range(world: &World, user: UserId, query: RangeQuery) -> RangeEvents {
    world.store.range(user, query).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_range_walks_the_log_in_steps_without_holes() {
    let world = fresh().await;
    let (ada, conversation) = talk(&world, 25).await;
    let (mut after, mut seen) = (Seq::ZERO, Vec::new());
    loop {
        let part = range(&world, ada, RangeQuery { conversation, after, limit: 7, max_bytes: 10_000 }).await;
        assert!(part.events.len() <= 7);
        seen.extend(part.events.iter().map(|event| event.seq.get()));
        after = part.events.last().unwrap().seq;
        if !part.more {
            break;
        }
    }
    assert_eq!(seen, (1..=26).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_range_past_the_end_is_empty() {
    let world = fresh().await;
    let (ada, conversation) = talk(&world, 2).await;
    for after in [seq(3), seq(1_000), Seq::MAX.previous()] {
        let part = range(&world, ada, RangeQuery { conversation, after, limit: 7, max_bytes: 10_000 }).await;
        assert!(part.events.is_empty() && !part.more);
    }
}

#[tokio::test]
async fn a_range_stops_at_its_bytes_but_never_at_nothing() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let conversation = world.group(&[ada]).await;
    for _ in 0..10 {
        world.say(ada, conversation, &"x".repeat(1_000)).await;
    }
    let query = RangeQuery { conversation, after: seq(1), limit: 100, max_bytes: 3_500 };
    let part = range(&world, ada, query).await;
    assert_eq!((part.events.len(), part.more), (3, true));
    let part = range(&world, ada, RangeQuery { max_bytes: 1, ..query }).await;
    assert_eq!((part.events.len(), part.more), (1, true));
    let part = range(&world, ada, RangeQuery { after: seq(10), ..query }).await;
    assert_eq!((part.events.len(), part.more), (1, false));
}

fn numbers(page: &HistoryPage) -> Vec<u64> {
    page.messages.iter().map(|view| view.event.seq.get()).collect()
}

#[tokio::test]
async fn pages_go_back_from_the_newest_and_forward_from_anywhere() {
    let world = fresh().await;
    let (ada, conversation) = talk(&world, 10).await;
    let page = |before: Option<u64>, after: Option<u64>| {
        let query = HistoryQuery {
            conversation,
            before: before.map(seq),
            after: after.map(seq),
            limit: 4,
            max_bytes: usize::MAX,
        };
        let world = &world;
        async move { world.store.history(ada, query).await.unwrap().unwrap() }
    };
    for (before, after, expected, more) in [
        (None, None, vec![8, 9, 10, 11], true),
        (Some(8), None, vec![4, 5, 6, 7], true),
        (Some(4), None, vec![2, 3], false),
        (Some(2), None, vec![], false),
        (None, Some(0), vec![2, 3, 4, 5], true),
        (None, Some(7), vec![8, 9, 10, 11], false),
        (None, Some(11), vec![], false),
    ] {
        let page = page(before, after).await;
        assert_eq!((numbers(&page), page.more), (expected, more), "before {before:?} after {after:?}");
    }
}

#[tokio::test]
async fn a_page_ends_where_its_bytes_end_in_both_directions() {
    let world = fresh().await;
    let (ada, conversation) = talk(&world, 10).await;
    let whole = HistoryQuery { conversation, before: None, after: None, limit: 20, max_bytes: usize::MAX };
    let page = |query| {
        let world = &world;
        async move { world.store.history(ada, query).await.unwrap().unwrap() }
    };
    let all = numbers(&page(whole).await);
    for max_bytes in [0, 1, 200, 400, 700, 100_000] {
        let (mut back, mut before) = (Vec::new(), None);
        loop {
            let page = page(HistoryQuery { before, max_bytes, ..whole }).await;
            assert!(!page.messages.is_empty(), "a page has a message, however large");
            assert!(max_bytes > 1 || page.messages.len() == 1);
            before = page.messages.first().map(|view| view.event.seq);
            back.extend(numbers(&page).into_iter().rev());
            if !page.more {
                break;
            }
        }
        back.reverse();
        assert_eq!(back, all, "{max_bytes}");
        let (mut on, mut after) = (Vec::new(), Some(seq(0)));
        loop {
            let page = page(HistoryQuery { after, max_bytes, ..whole }).await;
            after = page.messages.last().map(|view| view.event.seq);
            on.extend(numbers(&page));
            if !page.more {
                break;
            }
        }
        assert_eq!(on, all, "{max_bytes}");
    }
    let page = page(HistoryQuery { max_bytes: 400, ..whole }).await;
    assert!((2..10).contains(&page.messages.len()) && page.more, "{:?}", numbers(&page));
}

#[tokio::test]
async fn pages_hold_messages_only_whatever_lies_between() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let conversation = world.group(&[ada, ben]).await;
    let mut said = Vec::new();
    for n in 0..3 {
        let target = world.say(ada, conversation, &format!("message {n}")).await;
        said.push(target.get());
        for emoji in ["a", "b", "c", "d", "e"] {
            world
                .change(ben, conversation, Change::React { target, emoji: emoji.to_owned(), on: true })
                .await;
        }
        world
            .change(ada, conversation, Change::Edit { target, body: format!("edited {n}"), client_id: None })
            .await;
    }
    let query = HistoryQuery { conversation, before: None, after: None, limit: 2, max_bytes: usize::MAX };
    let page = world.store.history(ada, query).await.unwrap().unwrap();
    assert_eq!(numbers(&page), said[1..]);
    assert!(page.messages.iter().all(|view| matches!(view.event.kind, EventKind::Message(_))));
    assert!(page.messages.iter().all(|view| view.reactions.len() == 5));
}
