//! The content of the stored rows.

use sqlx::AssertSqlSafe;
use tidings::domain::{Changes, JsonText, Refusal, Timestamp};
use tidings::store::{Change, Target};

use super::{number, run, world};
use crate::harness::PostgresHarness;

const CANARY: &str = "canary-c0ffee-0002";

/// Does any row of any table hold the text?
async fn holds(harness: &PostgresHarness, text: &str) -> bool {
    let mut connection = harness.connection().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() > 40, "with the partitions");
    for table in tables {
        let statement = format!("SELECT count(*) FROM {table} t WHERE strpos(t::text, '{text}') > 0");
        let found: i64 =
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap();
        if found > 0 {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn no_row_holds_erased_content() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    world.store.rename(ada, CANARY).await.unwrap().unwrap();
    let group = world.group(&[ben, ada]).await;
    let said = world.say(ada, group, CANARY).await;
    world
        .change(ada, group, Change::Edit { target: said, body: format!("{CANARY} again"), client_id: None })
        .await;
    let mut new = world.message(ada, Target::User(ben), CANARY);
    new.content.data = Some(JsonText(format!("{{\"x\":\"{CANARY}\"}}")));
    world.append(&[new]).await.remove(0).unwrap();
    let of_ben = world.say(ben, group, "ben's words stay").await;
    world.change(ada, group, Change::React { target: of_ben, emoji: CANARY.to_owned(), on: true }).await;
    assert!(holds(&harness, CANARY).await, "the search finds what is there");
    // Nobody is left to be muted or banned, in a conversation that ada has left before either.
    let (channel, other) = (world.channel(&[ben, ada]).await, world.channel(&[ben]).await);
    let until = Timestamp::LATEST;
    world.change(ben, other, Change::Ban { user: ada, until, reason: None }).await;
    let lifted = Change::Ban { user: ada, until: Timestamp::from_unix_ms(0), reason: None };
    world.change(ben, other, lifted).await;
    assert_eq!(number(&harness, "SELECT count(*) FROM bans").await, 0, "a lifted ban leaves no row");
    world.change(ben, other, Change::Ban { user: ada, until, reason: None }).await;
    assert_eq!(number(&harness, "SELECT count(*) FROM bans").await, 1);
    for id in [group, channel] {
        world.change(ben, id, Change::Mute { user: ada, duration_ms: 60_000 }).await;
    }
    world.leave(ada, channel).await;
    assert_eq!(number(&harness, "SELECT count(*) FROM mutes").await, 2);
    world.erase(ada).await;
    assert_eq!(number(&harness, "SELECT count(*) FROM mutes").await, 0);
    assert_eq!(number(&harness, "SELECT count(*) FROM bans").await, 0);
    assert!(!holds(&harness, CANARY).await);
    assert!(holds(&harness, "ben''s words stay").await);
    let known = format!("SELECT 1 FROM sends WHERE sender = '{}' AND fingerprint IS NOT NULL", ada.as_uuid());
    let mut connection = harness.connection().await;
    let fingerprints = sqlx::query(AssertSqlSafe(known)).fetch_all(&mut connection).await.unwrap();
    assert!(fingerprints.is_empty(), "a short text can be guessed from its hash");
}

#[tokio::test]
async fn no_row_holds_the_content_of_a_deleted_conversation() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let batch: Vec<_> =
        (0..700).map(|n| world.message(ben, Target::Conversation(group), &format!("{CANARY} {n}"))).collect();
    world.append(&batch).await;
    let target = tidings::domain::Seq::new(4).unwrap();
    world.change(ada, group, Change::React { target, emoji: CANARY.to_owned(), on: true }).await;
    let words = Some(CANARY.to_owned());
    let rename = Changes { name: words.clone(), topic: words, ..Changes::default() };
    world.change(ada, group, Change::Configure(rename)).await;
    world.change(ada, group, Change::DeleteConversation).await;
    world.purge().await;
    assert!(!holds(&harness, CANARY).await);
    assert_eq!(number(&harness, "SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test]
async fn a_purge_that_was_cut_short_goes_on_where_it_was() {
    let (mut world, harness) = world().await;
    let [ada] = world.users().await;
    let group = world.group(&[ada]).await;
    let batch: Vec<_> =
        (0..700).map(|n| world.message(ada, Target::Conversation(group), &format!("{CANARY} {n}"))).collect();
    world.append(&batch).await;
    world.change(ada, group, Change::DeleteConversation).await;
    let step = world.purge_step().await.unwrap();
    assert_eq!((step.conversation, step.events + step.left), (group, 702));
    assert!(step.left > 0 && holds(&harness, CANARY).await, "a step is bounded");
    world.restart().await;
    assert_eq!(world.purge().await, step.left, "nothing is gone over twice");
    assert!(!holds(&harness, CANARY).await);
    assert_eq!(number(&harness, "SELECT count(*) FROM jobs").await, 0);
}

#[tokio::test]
async fn no_row_holds_a_text_that_was_edited_away() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, &format!("{CANARY} 1")).await;
    let edit = |body: &str, key| Change::Edit { target: said, body: body.to_owned(), client_id: key };
    world.change(ada, group, edit(&format!("{CANARY} 2"), Some(world.client_id()))).await;
    world.change(ada, group, edit(&format!("{CANARY} 3"), None)).await;
    assert!(holds(&harness, &format!("{CANARY} 3")).await);
    for gone in ["1", "2"] {
        assert!(!holds(&harness, &format!("{CANARY} {gone}")).await, "{gone}");
    }
    world.change(ada, group, edit("something else", Some(world.client_id()))).await;
    assert!(!holds(&harness, CANARY).await);
    let known = "SELECT count(*) FROM sends WHERE fingerprint IS NOT NULL";
    assert_eq!(
        number(&harness, known).await,
        1,
        "a short text can be guessed from its hash: the last edit's stays"
    );
    world.change(ada, group, Change::Delete { target: said }).await;
    assert!(!holds(&harness, "something else").await);
    assert_eq!(number(&harness, known).await, 0);
}

#[tokio::test]
async fn a_row_that_the_database_refuses_is_refused_alone() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    run(
        &harness,
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
         CREATE TRIGGER poison BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.body = 'poison') EXECUTE FUNCTION poison()",
    )
    .await;
    let to = Target::Conversation(group);
    let bodies = ["one", "poison", "two", "three", "poison", "four"];
    let batch: Vec<_> = bodies.iter().map(|body| world.message(ada, to, body)).collect();
    let answers = world.append(&batch).await;
    for (answer, body) in answers.iter().zip(bodies) {
        assert_eq!(matches!(answer, Err(Refusal::Invalid(_))), body == "poison", "{body}: {answer:?}");
    }
    assert_eq!(world.bodies(ben, group).await, ["one", "two", "three", "four"]);
    assert_eq!(world.seqs(ada, group).await, (1..=6).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_every_send_updates_stays_inside_its_page() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    for _ in 0..20 {
        world.say(ada, group, "hi").await;
    }
    world.harness.close().await;
    let moved = "SELECT (sum(n_tup_upd) - sum(n_tup_hot_upd))::bigint FROM pg_stat_user_tables \
         WHERE relname IN ('conversations', 'members')";
    let updated = "SELECT sum(n_tup_upd)::bigint FROM pg_stat_user_tables WHERE relname IN ('conversations', 'members')";
    // Counters come from the sessions that ended.
    crate::servers::process::until("the counters are told", || async {
        number(&harness, updated).await >= 40
    })
    .await;
    assert_eq!(number(&harness, moved).await, 0, "no index is touched");
}
