//! The role that servers connect as. That a store works under it, every test with Postgres shows: the harness
//! opens stores as that role.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tidings::store::postgres::grant;

use super::schema::program;
use super::{number, run, world};
use crate::harness::PostgresHarness;

async fn connected(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL");
    options.disable_statement_logging().connect().await.expect("the server answers")
}

async fn refused(connection: &mut PgConnection, statement: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    let error = done.err().unwrap_or_else(|| panic!("it may: {statement}")).to_string();
    assert!(error.contains("permission denied") || error.contains("must be owner"), "{statement}: {error}");
}

#[tokio::test]
async fn who_serves_can_neither_change_the_schema_nor_read_or_delete_what_serving_does_not_need() {
    let (world, harness) = world().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    world.say(ada, group, "served").await;
    let mut serving = connected(&harness.server.serving_url(&harness.name)).await;
    for statement in [
        "DROP TABLE events",
        "TRUNCATE events",
        "ALTER TABLE events ADD COLUMN more int",
        "CREATE TABLE more (id int)",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION tidings_append",
        "DELETE FROM events",
        "DELETE FROM conversations",
        "DELETE FROM users",
        "UPDATE audit SET details = 'nothing'",
        "SELECT * FROM events_0",
        "SELECT * FROM _sqlx_migrations",
        "INSERT INTO meta (name, value) VALUES ('more', 1)",
        "UPDATE meta SET name = 'more' WHERE name = 'schema'",
        "SELECT tidings_restored()",
        "CREATE ROLE more",
        "CREATE DATABASE more",
        "SELECT * FROM pg_authid",
    ] {
        refused(&mut serving, statement).await;
    }
    assert_eq!(world.bodies(ben, group).await, ["served"]);
}

#[tokio::test]
async fn a_role_that_may_do_more_is_brought_down_or_refused() {
    let harness = PostgresHarness::new().await;
    let owner = harness.owner_url().into();
    // Roles belong to the whole server, which other tests borrow later.
    run(
        &harness,
        "DROP ROLE IF EXISTS grants_one; DROP ROLE IF EXISTS grants_two; CREATE ROLE grants_one LOGIN",
    )
    .await;
    run(&harness, "GRANT ALL ON ALL TABLES IN SCHEMA public TO grants_one").await;
    let can = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace \
               AND has_table_privilege('grants_one', oid, 'TRUNCATE')";
    assert!(number(&harness, can).await > 20);
    for _ in 0..2 {
        let said = grant(&owner, "grants_one").await.expect("it may be repeated");
        assert!(said.starts_with("grants_one may serve: "), "{said}");
        assert_eq!(number(&harness, can).await, 0);
    }
    run(&harness, "ALTER ROLE grants_one CREATEDB").await;
    let error = grant(&owner, "grants_one").await.expect_err("it may make databases");
    assert!(error.contains("NOCREATEDB"), "{error}");
    let error = grant(&owner, "tidings").await.expect_err("the owner");
    assert!(error.contains("name another one"), "{error}");
    run(&harness, "ALTER ROLE grants_one NOCREATEDB; GRANT tidings TO grants_one").await;
    let error = grant(&owner, "grants_one").await.expect_err("it can become the owner");
    assert!(error.contains("is a member of the role that does"), "{error}");
    run(&harness, "REVOKE tidings FROM grants_one; GRANT CREATE ON SCHEMA public TO PUBLIC").await;
    let error = grant(&owner, "grants_two").await.expect_err("everybody may make tables");
    assert!(error.contains("REVOKE CREATE ON SCHEMA public FROM PUBLIC"), "{error}");
    // Nothing was left half done.
    assert_eq!(number(&harness, "SELECT count(*) FROM pg_roles WHERE rolname = 'grants_two'").await, 0);
    run(&harness, "DROP OWNED BY grants_one; DROP ROLE grants_one").await;
}

#[tokio::test]
async fn the_command_line_makes_the_role_that_servers_connect_as() {
    let harness = PostgresHarness::new().await;
    run(&harness, "DROP ROLE IF EXISTS grants_three").await;
    harness.server.run("CREATE DATABASE bare").await;
    let owner = harness.server.url("bare");
    let (good, said) = program("migrate --grants grants_three", &owner).await;
    assert!(good && said.contains("applied 0004 consumers\ngrants_three may serve: "), "{said}");
    let serving = owner.replace("//tidings@", "//grants_three@");
    let (good, said) = program("doctor --listen 127.0.0.1:0", &serving).await;
    assert!(said.contains("primary: schema 4"), "{good}: {said}");
    let (good, said) = program("migrate", &serving).await;
    assert!(!good && said.contains("as the owner of the tables"), "{said}");
    let (good, said) = program("migrate --grants No-Role", &owner).await;
    assert!(!good && said.contains("write small letters"), "{said}");
    harness.server.run("DROP DATABASE bare WITH (FORCE)").await;
    run(&harness, "DROP ROLE grants_three").await;
}
