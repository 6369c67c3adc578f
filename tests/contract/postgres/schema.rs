//! Which databases the store accepts, and the errors for all others.

use tidings::store::SchemaStep;
use tidings::store::postgres::{OpenError, PostgresStore, check, migrate, steps};

use super::{run, world};
use crate::harness::PostgresHarness;
use crate::servers::ports::free_port;

async fn refused(harness: &PostgresHarness) -> OpenError {
    PostgresStore::open(harness.options(), harness.environment()).await.unwrap_err()
}

fn unusable(error: &OpenError) -> &str {
    match error {
        OpenError::Unusable(text) => text,
        OpenError::Unreachable(text) => panic!("trying again does not help: {text}"),
    }
}

#[tokio::test]
async fn a_database_without_tables_or_with_older_ones_is_refused_with_advice() {
    let harness = PostgresHarness::new().await;
    run(&harness, "UPDATE meta SET value = 1 WHERE name = 'schema'").await;
    assert!(unusable(&refused(&harness).await).contains("run `tidings migrate`"));
    run(&harness, "DROP TABLE meta CASCADE").await;
    let error = refused(&harness).await;
    assert!(unusable(&error).contains("no tables") && unusable(&error).contains("run `tidings migrate`"));
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused_unless_it_only_added() {
    let harness = PostgresHarness::new().await;
    run(&harness, "UPDATE meta SET value = 9999 WHERE name = 'schema'").await;
    let store = PostgresStore::open(harness.options(), harness.environment()).await;
    store.expect("what was only added to is worked with, or no release could be rolled out").close().await;
    run(&harness, "UPDATE meta SET value = 9999 WHERE name = 'schema_least'").await;
    let error = refused(&harness).await;
    assert!(
        unusable(&error).contains("older than the database")
            && unusable(&error).contains("deploy a newer one")
    );
    let error = check(&harness.options()).await.unwrap_err();
    assert!(unusable(&error).contains("deploy a newer one"));
}

#[tokio::test]
async fn a_schema_that_changes_under_a_running_server_stops_its_new_connections() {
    use tidings::store::{Log, StoreError};

    let (_world, harness) = world().await;
    let store = harness.open().await;
    run(&harness, "UPDATE meta SET value = 9999 WHERE name = 'schema_least'").await;
    run(
        &harness,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidings'",
    )
    .await;
    let error = store.end().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unavailable { definite: true, detail } if detail.contains("deploy a newer one"))
    );
}

#[tokio::test]
async fn two_migrations_at_once_apply_each_step_once() {
    let harness = PostgresHarness::new().await;
    harness.server.run("CREATE DATABASE bare").await;
    let url = harness.server.url("bare").into();
    let (one, two) = tokio::join!(migrate(&url), migrate(&url));
    let mut applied = [one.unwrap(), two.unwrap()];
    applied.sort_by_key(Vec::len);
    assert_eq!(applied[0], Vec::<String>::new());
    let steps = steps();
    let named = |step: &SchemaStep| format!("{:04} {}", step.version, step.name);
    assert_eq!(applied[1], steps.iter().map(named).collect::<Vec<_>>());
    let mut options = harness.options();
    options.postgres.url = url;
    assert_eq!(check(&options).await.unwrap(), [format!("primary: schema {}", steps.len())]);
}

#[tokio::test]
async fn a_migration_of_an_unknown_release_is_not_gone_back_behind() {
    let harness = PostgresHarness::new().await;
    run(
        &harness,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', true, '', 0)",
    )
    .await;
    let error = migrate(&harness.owner_url().into()).await.unwrap_err();
    assert!(error.contains("newer than this release") && error.contains("9999"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_or_does_not_write_may_be_tried_again() {
    let harness = PostgresHarness::new().await;
    let nobody = format!("postgres://tidings@127.0.0.1:{}/tidings", free_port());
    let mut away = harness.options();
    away.postgres.url = nobody.into();
    let error = PostgresStore::open(away, harness.environment()).await.unwrap_err();
    assert!(matches!(error, OpenError::Unreachable(_)), "{error}");
    let name = &harness.name;
    run(&harness, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let error = refused(&harness).await;
    assert!(matches!(&error, OpenError::Unreachable(text) if text.contains("read-only")), "{error}");
}

#[tokio::test]
async fn a_dump_loaded_into_another_server_goes_on_after_one_step() {
    use tidings::store::Target;

    let (mut world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "before").await;
    world.read_up_to(ben, group, said).await;
    let before = world.store.heads(ben, None).await.unwrap().cursor;
    // The positions of a server that has seen a million transactions more than this one.
    run(
        &harness,
        "UPDATE events SET position = position + 1000000; UPDATE conversations SET last_position = last_position + 1000000; \
         UPDATE members SET changed_position = changed_position + 1000000",
    )
    .await;
    let error = refused(&harness).await;
    assert!(unusable(&error).contains("SELECT tidings_restored()"), "{error}");
    run(&harness, "SELECT tidings_restored()").await;
    world.restart().await;
    let after = world.store.heads(ben, Some(before)).await.unwrap();
    assert_ne!(after.cursor.epoch, before.epoch);
    assert_eq!(after.heads.len(), 1, "another log: everything is compared");
    let next = world.try_send(ada, Target::Conversation(group), "after").await.unwrap().committed.unwrap();
    assert!(next.position > next.previous && next.position >= after.cursor.position);
    let told = world.store.tail(after.cursor.position, 10).await.unwrap();
    assert_eq!(told.committed.len(), 1, "and the tail goes on behind what the dump held");
    assert_eq!(world.store.tail(Default::default(), 10).await.unwrap().committed.len(), 4);
}

#[tokio::test]
async fn a_dump_loaded_over_its_own_database_is_another_log() {
    let (mut world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    world.say(ada, group, "dumped").await;
    let directory = tempfile::TempDir::new().unwrap();
    let dump = directory.path().join("dump.sql").display().to_string();
    let port = harness.server.port().to_string();
    let client = async |program: &str, arguments: &[&str]| {
        let to = ["-h", "127.0.0.1", "-p", &port, "-U", "tidings", "-d", &harness.name, "-f", &dump];
        let output = tokio::process::Command::new(program).args(to).args(arguments).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    client("pg_dump", &[]).await;
    world.say(ada, group, "lost").await;
    let before = world.store.heads(ben, None).await.unwrap().cursor;
    world.harness.close().await;
    run(&harness, "DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    client("psql", &["-q", "-v", "ON_ERROR_STOP=1"]).await;
    let error = refused(&harness).await;
    assert!(unusable(&error).contains("SELECT tidings_restored()"), "{error}");
    run(&harness, "SELECT tidings_restored()").await;
    world.restart().await;
    let after = world.store.heads(ben, Some(before)).await.unwrap();
    assert_ne!(after.cursor.epoch, before.epoch);
    assert_eq!(after.heads.len(), 1, "another log: everything is compared");
    assert_eq!(world.bodies(ben, group).await, ["dumped"]);
}

/// Runs a command of the program with settings for Postgres; answers whether it ended well, and all it said.
pub(super) async fn program(command: &str, url: &str) -> (bool, String) {
    let directory = tempfile::TempDir::new().unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(command.split(' '))
        .args([
            "--set",
            "store.backend=postgres",
            "--set",
            "auth.key_files=key.pem",
            "--set",
            "bus.backend=local",
        ])
        .current_dir(directory.path())
        .env("TIDINGS__STORE__POSTGRES__URL", url)
        .output();
    let output = output.await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn the_command_line_migrates_and_a_server_does_not() {
    let harness = PostgresHarness::new().await;
    harness.server.run("CREATE DATABASE bare").await;
    let url = harness.server.url("bare");
    let (good, said) = program("serve", &url).await;
    assert!(!good && said.contains("run `tidings migrate`"), "{said}");
    let (good, said) = program("migrate", &url).await;
    assert!(
        good && said
            == "applied 0001 schema\napplied 0002 append\napplied 0003 receipts\napplied 0004 consumers\n",
        "{said}"
    );
    let (good, said) = program("migrate", &url).await;
    assert!(good && said == "up to date\n", "{said}");
    let (good, said) = program("migrate", "postgres://tidings@127.0.0.1:1/none").await;
    assert!(!good && said.contains("cannot be reached"), "{said}");
}
