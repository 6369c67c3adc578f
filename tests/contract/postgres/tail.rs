//! The tail in commit order, while others commit.

use std::collections::HashMap;

use tidings::domain::{Committed, ConversationId, Position, UserId};
use tidings::store::{Change, Log, NewMessage, Receipt, Target};

use super::{another, number, run, world};

/// Reads the tail from `from` on until it has `count` events.
async fn follow(store: std::sync::Arc<dyn Log>, mut from: Position, count: usize) -> Vec<Committed> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let tail = store.tail(from, 50).await.unwrap();
        assert!(tail.next >= from);
        assert!(tail.committed.iter().all(|one| one.position >= from && one.position < tail.next));
        from = tail.next;
        seen.extend(tail.committed);
        tokio::task::yield_now().await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_the_tail_of_eight_writers_misses_nothing_and_sees_nothing_twice() {
    const WRITERS: usize = 8;
    const BATCHES: usize = 40;
    let (world, harness) = world().await;
    let people: [UserId; 4] = world.users().await;
    let mut conversations = Vec::new();
    for _ in 0..6 {
        conversations.push(world.group(&people).await);
    }
    let start = world.store.end().await.unwrap().position;
    let mut writing = Vec::new();
    let mut count = 0;
    for writer in 0..WRITERS {
        let store = another(&harness).await;
        let user = people[writer % people.len()];
        let work: Vec<Vec<NewMessage>> = (0..BATCHES)
            .map(|n| {
                let conversation =
                    |at: usize| Target::Conversation(conversations[(writer + n + at) % conversations.len()]);
                (0..1 + (n * 5 + writer) % 12).map(|at| world.message(user, conversation(at), "hi")).collect()
            })
            .collect();
        count += work.iter().map(Vec::len).sum::<usize>();
        let (now, conversation) = (world.now(), conversations[writer % conversations.len()]);
        writing.push(tokio::spawn(async move {
            for batch in work {
                let answers = store.append(&batch, now).await.unwrap();
                let read = answers[0].as_ref().unwrap();
                // Receipts take positions too.
                let receipt =
                    Receipt { user, conversation: read.conversation, delivered: None, read: Some(read.seq) };
                store.move_receipts(&[receipt], now).await.unwrap();
            }
            let emoji = format!("{writer}");
            let target = tidings::domain::Seq::new(5).unwrap();
            store
                .change(user, conversation, &Change::React { target, emoji, on: true }, now)
                .await
                .unwrap()
                .unwrap();
        }));
    }
    let seen = follow(another(&harness).await, start, count + WRITERS).await;
    for task in writing {
        task.await.unwrap();
    }
    assert_eq!(seen.len(), count + WRITERS);
    let mut last = HashMap::<ConversationId, (u64, Position)>::new();
    for one in &seen {
        let (seq, position) = last.entry(one.event.conversation).or_insert((4, one.previous));
        assert_eq!(
            (one.event.seq.get(), one.previous),
            (*seq + 1, *position),
            "in {}",
            one.event.conversation
        );
        (*seq, *position) = (one.event.seq.get(), one.position);
    }
    assert!(seen.is_sorted_by_key(|one| one.position));
    assert_eq!(number(&harness, "SELECT count(*) FROM events").await, (count + WRITERS + 24) as i64);
}

#[tokio::test]
async fn the_tail_waits_for_a_transaction_that_began_before_and_commits_late() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let (slow, quick) = (world.group(&[ada, ben]).await, world.group(&[ada, ben]).await);
    let start = world.store.end().await.unwrap().position;
    let mut late = harness.connection().await;
    let statement = format!(
        "BEGIN; INSERT INTO events (conversation, seq, kind, sender, sent_at, messages_before, target_seq) \
         VALUES ('{}', 3, 2, '{}', 0, 0, 1)",
        slow.as_uuid(),
        ada.as_uuid()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut late).await.unwrap();
    world.say(ada, quick, "overtakes").await;
    let waiting = world.store.tail(start, 10).await.unwrap();
    assert!(waiting.committed.is_empty(), "what overtook waits, so that nothing is skipped: {waiting:?}");
    let heads = world.store.heads(ada, None).await.unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
    let conversations: Vec<_> = world
        .store
        .tail(waiting.next, 10)
        .await
        .unwrap()
        .committed
        .iter()
        .map(|one| one.event.conversation)
        .collect();
    assert_eq!(conversations, [slow, quick]);
    run(&harness, "UPDATE conversations SET last_position = (SELECT max(position) FROM events e WHERE e.conversation = id), last_seq = 3").await;
    let since = world.store.heads(ada, Some(heads.cursor)).await.unwrap();
    assert!(
        since.heads.iter().any(|head| head.conversation == slow),
        "a cursor from before the commit hears of it"
    );
}

#[tokio::test]
async fn a_batch_is_handed_out_whole_though_it_passes_the_limit() {
    let (world, _harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let start = world.store.end().await.unwrap().position;
    let batch: Vec<NewMessage> =
        (0..20).map(|_| world.message(ada, Target::Conversation(group), "hi")).collect();
    world.append(&batch).await;
    world.append(&batch[..0]).await;
    world.say(ben, group, "next").await;
    let first = world.store.tail(start, 5).await.unwrap();
    assert_eq!(first.committed.len(), 20);
    let second = world.store.tail(first.next, 5).await.unwrap();
    assert_eq!(second.committed.len(), 1);
    assert!(world.store.tail(second.next, 5).await.unwrap().committed.is_empty());
}
