//! Reads from replicas that lag behind: the caller still gets all events that it must see.

use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tidings::domain::{Seq, UserId};
use tidings::store::postgres::{OpenError, PostgresOptions, PostgresStore};
use tidings::store::{HistoryQuery, Log, RangeQuery, StoreError, Target};

use crate::harness::{World, body};
use crate::servers::postgres::{Options, Postgres};
use crate::servers::process::until;

/// A primary with a replica, and a store that reads from both.
struct Pair {
    world: World,
    store: Arc<PostgresStore>,
    primary: Postgres,
    replica: Postgres,
    metrics: PrometheusHandle,
    _recording: metrics::LocalRecorderGuard<'static>,
}

async fn pair(delay: &str) -> Pair {
    let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    let metrics = recorder.handle();
    // The test's runtime has one thread, so everything below is recorded here.
    let recording = metrics::set_default_local_recorder(recorder);
    let primary = Postgres::start(Options::default()).await;
    let url = primary.database("pair").await;
    let settings = vec![("recovery_min_apply_delay", delay.to_owned())];
    let replica = primary.replica(Options { settings, ..Options::default() }).await;
    let mut options = PostgresOptions::new(url);
    options.postgres.read_urls = vec![replica.url("pair").into()];
    options.postgres.acquire_timeout_ms = 2_000;
    let environment = tidings::environment::SystemEnvironment::shared();
    let store = PostgresStore::open(options, environment).await.unwrap();
    let world = World::around(Arc::clone(&store) as _);
    Pair { world, store, primary, replica, metrics, _recording: recording }
}

impl Pair {
    fn reads(&self, result: &str) -> u64 {
        let line = format!("tidings_store_replica_reads_total{{result=\"{result}\"}} ");
        let text = self.metrics.render();
        let value = text.lines().find_map(|found| found.strip_prefix(&line));
        value.expect("the metric is there").parse().expect("a number")
    }

    /// Waits until the replica has all that the primary has now.
    async fn caught_up(&self) {
        let mut connection = self.primary.connect("postgres").await;
        let end: String = sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let applied = || async {
            let mut connection = self.replica.connect("postgres").await;
            let statement = sqlx::query_scalar("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn").bind(&end);
            statement.fetch_one(&mut connection).await.unwrap()
        };
        until("the replica catches up", applied).await;
    }

    async fn newest(&self, user: UserId, conversation: tidings::domain::ConversationId) -> (Seq, Seq) {
        let history =
            HistoryQuery { conversation, before: None, after: None, limit: 10, max_bytes: usize::MAX };
        let page = self.store.history(user, history).await.unwrap().unwrap();
        let range = RangeQuery { conversation, after: Seq::ZERO, limit: 1_000, max_bytes: usize::MAX };
        let events = self.store.range(user, range).await.unwrap().unwrap().events;
        let last = |seqs: Vec<Seq>| seqs.last().copied().unwrap_or_default();
        (
            last(page.messages.iter().map(|view| view.event.seq).collect()),
            last(events.iter().map(|event| event.seq).collect()),
        )
    }
}

#[tokio::test]
async fn after_an_ack_every_read_shows_the_event_though_the_replica_lags_two_seconds() {
    let pair = pair("2s").await;
    let [ada, ben] = pair.world.users().await;
    let group = pair.world.group(&[ada, ben]).await;
    for n in 0..20 {
        let said = pair.world.say(ada, group, &n.to_string()).await;
        assert_eq!(pair.newest(ben, group).await, (said, said));
    }
    assert!(pair.reads("behind") >= 1, "it was asked, and did not have it");
    assert_eq!(pair.reads("served"), 0, "nothing old was passed off as new");
}

#[tokio::test]
async fn a_replica_that_has_it_answers_and_returns_after_it_lagged() {
    let pair = pair("0").await;
    let [ada, ben] = pair.world.users().await;
    let group = pair.world.group(&[ada, ben]).await;
    let mut said = pair.world.say(ada, group, "one").await;
    pair.caught_up().await;
    assert_eq!(pair.newest(ben, group).await, (said, said));
    assert_eq!(
        (pair.reads("served"), pair.reads("failed")),
        (2, 0),
        "both reads cost the primary a key only"
    );
    pair.replica.pause();
    said = pair.world.say(ada, group, "two").await;
    assert_eq!(pair.newest(ben, group).await, (said, said), "a frozen replica costs a wait, not the read");
    assert!(pair.reads("failed") >= 1);
    pair.replica.resume();
    pair.caught_up().await;
    let before = pair.reads("served");
    until("it is in the rotation again", || async {
        assert_eq!(pair.newest(ben, group).await, (said, said));
        pair.reads("served") > before
    })
    .await;
}

#[tokio::test]
async fn a_page_from_a_replica_is_the_page_of_the_primary() {
    let pair = pair("0").await;
    let [ada, ben] = pair.world.users().await;
    let group = pair.world.group(&[ada, ben]).await;
    for n in 0..30 {
        let said = pair.world.say(ada, group, &n.to_string()).await;
        if n % 3 == 0 {
            let react = tidings::store::Change::React { target: said, emoji: "🐟".to_owned(), on: true };
            pair.world.change(ben, group, react).await;
        }
    }
    pair.caught_up().await;
    let query = HistoryQuery {
        conversation: group,
        before: Seq::new(30),
        after: None,
        limit: 7,
        max_bytes: usize::MAX,
    };
    let shown = |page: tidings::store::HistoryPage| {
        let messages =
            page.messages.into_iter().map(|view| (body(&view.event), view.event.seq, view.reactions));
        (messages.collect::<Vec<_>>(), page.more)
    };
    let from_replica = shown(pair.store.history(ben, query).await.unwrap().unwrap());
    assert_eq!(pair.reads("served"), 1);
    pair.replica.kill();
    let from_primary = shown(pair.store.history(ben, query).await.unwrap().unwrap());
    assert_eq!((pair.reads("served"), pair.reads("failed")), (1, 1));
    assert_eq!(from_replica, from_primary);
    assert_eq!(from_replica.0.len(), 7);
}

#[tokio::test]
async fn the_tail_can_be_followed_at_a_replica_and_skips_nothing_there() {
    let pair = pair("0").await;
    let [ada, ben] = pair.world.users().await;
    let conversations = [pair.world.group(&[ada, ben]).await, pair.world.group(&[ben, ada]).await];
    let mut from = pair.world.store.end().await.unwrap().position;
    let mut options = PostgresOptions::new(pair.primary.url("pair"));
    options.postgres.tail_url = pair.replica.url("pair").into();
    let environment = tidings::environment::SystemEnvironment::shared();
    let far = PostgresStore::open(options, environment).await.unwrap();
    let writing = async {
        for n in 0..100 {
            pair.world.say(ada, conversations[n % 2], &n.to_string()).await;
        }
    };
    let following = async {
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let tail = far.tail(from, 7).await.unwrap();
            from = tail.next;
            assert!(tail.committed.iter().all(|one| one.audience.users.len() == 2));
            seen.extend(tail.committed.iter().filter_map(|one| body(&one.event)));
            tokio::task::yield_now().await;
        }
        seen
    };
    let ((), seen) = tokio::join!(writing, following);
    assert_eq!(seen, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn erased_content_is_not_read_from_a_replica_that_still_has_it() {
    let pair = pair("2s").await;
    let [ada, ben] = pair.world.users().await;
    let group = pair.world.group(&[ben, ada]).await;
    pair.world.say(ada, group, "a secret").await;
    pair.caught_up().await;
    pair.world.erase(ada).await;
    let kept = pair.world.bodies(ben, group).await;
    assert!(kept.is_empty(), "{kept:?}");
    assert_eq!(pair.reads("served"), 0);
}

#[tokio::test]
async fn a_standby_is_no_primary_until_it_is_promoted_and_then_its_log_is_another() {
    let pair = pair("0").await;
    let [ada, ben] = pair.world.users().await;
    let group = pair.world.group(&[ada, ben]).await;
    let said = pair.world.say(ada, group, "kept").await;
    let cursor = pair.store.heads(ben, None).await.unwrap().cursor;
    pair.caught_up().await;
    let options = || PostgresOptions::new(pair.replica.url("pair"));
    let environment = tidings::environment::SystemEnvironment::shared();
    let error = PostgresStore::open(options(), Arc::clone(&environment)).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unreachable(text) if text.contains("standby")), "{error}");
    pair.primary.kill();
    pair.replica.run("SELECT pg_promote()").await;
    let store = PostgresStore::open(options(), environment).await.unwrap();
    let heads = store.heads(ben, Some(cursor)).await.unwrap();
    assert_ne!(heads.cursor.epoch, cursor.epoch);
    assert_eq!(heads.heads.len(), 1, "everything is compared once");
    assert!(store.heads(ben, Some(heads.cursor)).await.unwrap().heads.is_empty());
    let world = World::around(store);
    assert_eq!(world.say(ben, group, "goes on").await, said.next());
}

#[tokio::test]
async fn without_the_primary_nothing_is_read_since_a_membership_may_have_ended() {
    let pair = pair("0").await;
    let [ada, ben] = pair.world.users().await;
    let direct = pair.world.try_send(ada, Target::User(ben), "hi").await.unwrap().conversation;
    pair.caught_up().await;
    pair.primary.kill();
    let range = RangeQuery { conversation: direct, after: Seq::ZERO, limit: 10, max_bytes: 1_000 };
    let error = pair.store.range(ben, range).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { definite: true, .. }), "{error}");
}
