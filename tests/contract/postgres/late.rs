//! Reads that are answered late: a membership ends during the read.

use std::sync::Arc;

use tidings::domain::{ConversationId, Refusal, Seq, UserId};
use tidings::environment::SystemEnvironment;
use tidings::store::postgres::PostgresStore;
use tidings::store::{Change, HistoryQuery, Log, Outcome, RangeQuery};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{number, world};
use crate::harness::{World, body};
use crate::servers::process::until;

const SECRET: &str = "said after the removal";

/// The two ways of reading a conversation.
#[derive(Debug, Clone, Copy)]
enum Way {
    Range,
    History,
}

/// A store that has a replica which takes connections and never answers. A reader that asks it holds the key
/// already.
struct Late {
    world: World,
    store: Arc<PostgresStore>,
    replica: TcpListener,
}

impl Late {
    async fn new() -> Self {
        let (world, harness) = world().await;
        let replica = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("postgres://tidings@{}/late", replica.local_addr().unwrap());
        let mut options = harness.options();
        options.postgres.read_urls = vec![url.into()];
        let store = PostgresStore::open(options, SystemEnvironment::shared()).await.unwrap();
        Self { world, store, replica }
    }

    /// Begins a read as `user`, lets `meanwhile` happen once the key is read, and answers the texts and
    /// reactions shown.
    async fn read(
        &self,
        way: Way,
        user: UserId,
        conversation: ConversationId,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<Vec<String>, Refusal> {
        let store = Arc::clone(&self.store);
        let reading: JoinHandle<Outcome<Vec<String>>> = tokio::spawn(async move {
            let shown = match way {
                Way::Range => {
                    let query =
                        RangeQuery { conversation, after: Seq::ZERO, limit: 100, max_bytes: usize::MAX };
                    let range = store.range(user, query).await?;
                    range.map(|range| range.events.iter().filter_map(|event| body(event)).collect())
                }
                Way::History => {
                    let query = HistoryQuery {
                        conversation,
                        before: None,
                        after: None,
                        limit: 100,
                        max_bytes: usize::MAX,
                    };
                    let page = store.history(user, query).await?;
                    page.map(|page| {
                        let views = page.messages.into_iter();
                        views
                            .flat_map(|view| {
                                let given = view.reactions.into_iter().map(|reaction| reaction.emoji);
                                body(&view.event).into_iter().chain(given)
                            })
                            .collect()
                    })
                }
            };
            Ok(shown)
        });
        let (connection, _) = self.replica.accept().await.unwrap();
        meanwhile.await;
        // The replica fails; the primary answers.
        drop(connection);
        reading.await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn what_is_said_after_a_removal_is_not_read_however_late_the_answer_comes() {
    for way in [Way::Range, Way::History] {
        let late = Late::new().await;
        let world = &late.world;
        let [ada, eve] = world.users().await;
        let group = world.group(&[ada, eve]).await;
        world.say(ada, group, "before").await;
        let meanwhile = async {
            world.change(ada, group, Change::Leave { user: eve }).await;
            world.say(ada, group, SECRET).await;
        };
        let shown = late.read(way, eve, group, meanwhile).await;
        assert_eq!(shown, Ok(vec!["before".to_owned()]), "{way:?}");
    }
}

#[tokio::test]
async fn an_older_message_does_not_show_what_was_made_of_it_after_a_removal() {
    for way in [Way::Range, Way::History] {
        let late = Late::new().await;
        let world = &late.world;
        let [ada, eve] = world.users().await;
        let group = world.group(&[ada, eve]).await;
        let said = world.say(ada, group, "before").await;
        let meanwhile = async {
            world.change(ada, group, Change::Leave { user: eve }).await;
            world
                .change(ada, group, Change::Edit { target: said, body: SECRET.to_owned(), client_id: None })
                .await;
        };
        let shown = late.read(way, eve, group, meanwhile).await;
        assert_eq!(shown, Err(Refusal::NotFound), "{way:?}");
    }
    let late = Late::new().await;
    let world = &late.world;
    let [ada, eve] = world.users().await;
    let group = world.group(&[ada, eve]).await;
    let said = world.say(ada, group, "before").await;
    let meanwhile = async {
        world.change(ada, group, Change::Leave { user: eve }).await;
        world.change(ada, group, Change::React { target: said, emoji: SECRET.to_owned(), on: true }).await;
    };
    assert_eq!(late.read(Way::History, eve, group, meanwhile).await, Err(Refusal::NotFound));
}

#[tokio::test]
async fn who_stays_a_member_reads_an_older_message_as_it_is_now() {
    let late = Late::new().await;
    let world = &late.world;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "before").await;
    let meanwhile = async {
        world
            .change(ada, group, Change::Edit { target: said, body: "edited".to_owned(), client_id: None })
            .await;
        world.say(ada, group, "the next read's").await;
    };
    assert_eq!(late.read(Way::History, ben, group, meanwhile).await, Ok(vec!["edited".to_owned()]));
}

#[tokio::test]
async fn who_came_after_a_removal_is_not_listed_to_the_removed() {
    let (world, harness) = world().await;
    let [ada, eve, dora] = world.users().await;
    let group = world.group(&[ada, eve]).await;
    let mut holder = harness.connection().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    let store = Arc::clone(&world.store);
    let listing = tokio::spawn(async move { store.members(eve, group, None, 10).await.unwrap() });
    until("the list waits for the profiles", || async {
        number(&harness, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").await > 0
    })
    .await;
    // Past the store, since every way in looks at the profile of who comes.
    let statements = format!(
        "DELETE FROM members WHERE conversation = '{group}' AND user_id = '{eve}'; \
         INSERT INTO members SELECT '{dora}', conversation, 0, 9, 9, 9, 9, 0, 0 FROM members \
             WHERE conversation = '{group}' AND user_id = '{ada}'",
        group = group.as_uuid(),
        eve = eve.as_uuid(),
        dora = dora.as_uuid(),
        ada = ada.as_uuid(),
    );
    super::run(&harness, &statements).await;
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    let listed = listing.await.unwrap();
    assert_eq!(listed.map(|page| page.items.len()).err(), Some(Refusal::NotFound));
}
