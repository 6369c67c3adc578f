//! Round trips to a Postgres server, counted on the wire.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tidings::domain::{ConversationId, Receipt, Role, Seq, UserId};
use tidings::environment::ManualEnvironment;
use tidings::store::postgres::PostgresStore;
use tidings::store::{Change, ChannelOrder, HistoryQuery, RangeQuery, Target};

use crate::harness::{PostgresHarness, World};
use crate::postgres::trips::Counter;

/// Who acts, and where.
struct Stage {
    world: World,
    ada: UserId,
    ben: UserId,
    group: ConversationId,
    channel: ConversationId,
}

type Run = for<'a> fn(&'a Stage) -> BoxFuture<'a, ()>;

macro_rules! operations {
    ($($trips:literal $name:literal => |$stage:ident| $body:expr;)*) => {
        const OPERATIONS: &[(u64, &str, Run)] =
            &[$(($trips, $name, |$stage| Box::pin(async move { $body; }))),*];
    };
}

// What follows the log reads who is told of its events too, and who left since, unless there are none.
operations! {
    1 "append" => |s| s.world.say(s.ada, s.group, "hello").await;
    1 "append, a batch of 64" => |s| {
        let batch: Vec<_> =
            (0..64).map(|_| s.world.message(s.ada, Target::Conversation(s.channel), "hello")).collect();
        s.world.append(&batch).await
    };
    3 "append and move receipts, with who is told" => |s| {
        let read = Some(s.world.say(s.ada, s.group, "hello").await);
        let receipt = Receipt { user: s.ben, conversation: s.group, delivered: None, read };
        assert_eq!(s.world.store.move_receipts(&[receipt], s.world.now()).await.unwrap().len(), 1);
    };
    1 "heads" => |s| s.world.store.heads(s.ada, None).await.unwrap();
    1 "heads of some" => |s| s.world.store.heads_of(s.ada, &[s.group]).await.unwrap();
    2 "range" => |s| {
        let query = RangeQuery { conversation: s.group, after: Seq::ZERO, limit: 10, max_bytes: 10_000 };
        s.world.store.range(s.ada, query).await.unwrap().unwrap()
    };
    2 "history" => |s| {
        let query = HistoryQuery { conversation: s.group, before: None, after: None, limit: 10, max_bytes: usize::MAX };
        s.world.store.history(s.ada, query).await.unwrap().unwrap()
    };
    1 "end" => |s| s.world.store.end().await.unwrap();
    3 "stretch" => |s| s.world.store.stretch(s.group, Seq::ZERO, 10).await.unwrap();
    1 "conversation" => |s| s.world.store.conversation(s.ada, s.group).await.unwrap();
    1 "open channels" => |s| {
        s.world.store.open_channels(s.ada, &ChannelOrder::Activity, None, 10).await.unwrap()
    };
    2 "preview" => |s| s.world.store.preview(s.ada, s.channel, 10).await.unwrap().unwrap();
    1 "open conversation" => |s| s.world.store.open_conversation(s.channel).await.unwrap().unwrap();
    1 "conversations" => |s| s.world.store.conversations(s.ada, None, 10).await.unwrap();
    2 "members" => |s| s.world.store.members(s.ada, s.group, None, 10).await.unwrap().unwrap();
    2 "bans" => |s| s.world.store.bans(s.ada, s.group, None, 10, s.world.now()).await.unwrap().unwrap();
    1 "audience" => |s| s.world.store.audience(s.group).await.unwrap();
    1 "acquaintances" => |s| s.world.store.acquaintances(s.ada, &[s.ben]).await.unwrap();
    1 "privacy" => |s| s.world.store.privacy(s.ada).await.unwrap();
    1 "contacts" => |s| s.world.store.contacts(s.ada).await.unwrap();
    1 "invitations" => |s| s.world.store.invitations(s.ada, s.world.now()).await.unwrap();
    1 "user" => |s| s.world.store.user(s.ada).await.unwrap();
    1 "users" => |s| s.world.store.users(&[s.ada, s.ben]).await.unwrap();
    1 "users by name" => |s| s.world.store.users_by_name(&["user".to_owned()], 10).await.unwrap();
    1 "account state" => |s| s.world.store.account_state(s.ada).await.unwrap();
    1 "first user" => |s| s.world.store.first_user().await.unwrap().unwrap();
    1 "lease" => |s| s.world.store.lease("trips", &s.world.holder("trips"), 0, s.world.now()).await.unwrap();
}

#[tokio::test]
async fn each_operation_takes_the_round_trips_that_it_has_to() {
    let harness = PostgresHarness::new().await;
    let wire = Counter::before(harness.server.port()).await;
    let url = format!("postgres://tidings@127.0.0.1:{}/{}", wire.port, harness.name);
    let mut options = harness.options();
    options.postgres.url = url.into();
    (options.postgres.write_connections, options.postgres.read_connections) = (1, 1);
    // A clock that stands: no connection is asked whether it lives after a rest.
    let environment = Arc::new(ManualEnvironment::new(1_800_000_000_000, 1));
    let store = PostgresStore::open(options, environment).await.unwrap();
    let world = World::around(Arc::clone(&store) as _);
    let [ada, ben] = world.users().await;
    let (group, channel) = (world.group(&[ada, ben]).await, world.channel(&[ada, ben]).await);
    world.change(ada, group, Change::SetRole { user: ben, role: Role::Admin }).await;
    let stage = Stage { world, ada, ben, group, channel };
    let mut wrong = Vec::new();
    for (trips, name, run) in OPERATIONS {
        // Connections are made and statements prepared.
        run(&stage).await;
        wire.take();
        run(&stage).await;
        let taken = wire.take();
        if taken != *trips {
            wrong.push(format!("{name}: {taken} instead of {trips}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    store.close().await;
}
