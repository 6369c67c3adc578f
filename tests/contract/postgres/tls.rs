//! TLS to the database, with real certificates: what is accepted, and what is refused.

use std::path::Path;

use sqlx::Row;
use tempfile::TempDir;
use tidings::environment::SystemEnvironment;
use tidings::store::postgres::{OpenError, PostgresOptions, PostgresStore, migrate};

use crate::servers::certificates::Authority;
use crate::servers::postgres::{Options, Postgres};
use crate::servers::process::give_away;

/// A server whose certificate, of this authority, is for this name.
async fn server(authority: &Authority, folder: &Path, name: &str) -> Postgres {
    let made = authority.certificate(folder, name);
    give_away(folder);
    let settings = vec![
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", made.certificate.display().to_string()),
        ("ssl_key_file", made.key.display().to_string()),
    ];
    Postgres::start(Options { settings, ..Options::default() }).await
}

async fn opened(server: &Postgres, mode: &str, ca: &Path) -> Result<(), OpenError> {
    let url = format!("{}?sslmode={mode}&sslrootcert={}", server.url("served"), ca.display());
    let store = PostgresStore::open(PostgresOptions::new(url), SystemEnvironment::shared()).await?;
    let mut connection = server.connect("served").await;
    let ours = "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                WHERE application_name = 'tidings' GROUP BY ssl";
    for row in sqlx::query(ours).fetch_all(&mut connection).await.expect("the server tells") {
        assert!(row.get::<bool, _>(0), "a connection is in plain text");
    }
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_is_believed_only_with_a_certificate_for_its_name_from_the_ca_that_was_named() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folders = [TempDir::new().expect("a folder"), TempDir::new().expect("a folder")];
    let good = server(&authority, folders[0].path(), "IP:127.0.0.1").await;
    good.database("served").await;
    opened(&good, "verify-full", &authority.ca()).await.expect("name and CA are right");

    let refused = opened(&good, "verify-full", &stranger.ca()).await.expect_err("another CA").to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let migrated =
        format!("{}?sslmode=verify-full&sslrootcert={}", good.url("served"), stranger.ca().display());
    let refused = migrate(&migrated.into()).await.expect_err("the owner is as careful");
    assert!(refused.contains("UnknownIssuer"), "{refused}");

    let other = server(&authority, folders[1].path(), "DNS:other.example").await;
    other.database("served").await;
    let refused = opened(&other, "verify-full", &authority.ca()).await.expect_err("a wrong name").to_string();
    assert!(refused.contains("not valid for name"), "{refused}");
    opened(&other, "verify-ca", &authority.ca()).await.expect("verify-ca looks at the CA only");

    let plain = Postgres::start(Options::default()).await;
    plain.database("served").await;
    let refused = opened(&plain, "verify-full", &authority.ca()).await.expect_err("no TLS").to_string();
    assert!(refused.contains("does not support TLS"), "{refused}");
}
