//! The role that servers connect as: what it may do in the database, and nothing else.

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

/// What statements of a server do with each table. The log grows and loses content, but no row of it is
/// deleted. Partitions and indexes need nothing: they are reached through their tables.
const TABLES: &[(&str, &str)] = &[
    // Entries are never changed; those that are older than is kept go.
    ("audit", "SELECT, INSERT, DELETE"),
    ("bans", "SELECT, INSERT, UPDATE, DELETE"),
    ("blocks", "SELECT, INSERT, DELETE"),
    ("consumers", "SELECT, INSERT, UPDATE"),
    ("contacts", "SELECT, INSERT, DELETE"),
    ("conversations", "SELECT, INSERT, UPDATE"),
    ("credentials", "SELECT, INSERT, UPDATE, DELETE"),
    ("departures", "SELECT, INSERT, UPDATE, DELETE"),
    ("devices", "SELECT, INSERT, DELETE"),
    ("events", "SELECT, INSERT, UPDATE"),
    ("families", "SELECT, INSERT, UPDATE, DELETE"),
    ("feeds", "SELECT, INSERT, UPDATE"),
    ("invitations", "SELECT, INSERT, UPDATE, DELETE"),
    ("invited", "SELECT, INSERT, UPDATE, DELETE"),
    ("jobs", "SELECT, INSERT, UPDATE, DELETE"),
    ("members", "SELECT, INSERT, UPDATE, DELETE"),
    // The number of the last revocation. Names are not changed.
    ("meta", "SELECT, UPDATE (value)"),
    ("mutes", "SELECT, INSERT, UPDATE, DELETE"),
    ("name_words", "SELECT, INSERT, DELETE"),
    ("one_time_passwords", "SELECT, INSERT, UPDATE, DELETE"),
    ("open_channels", "SELECT, INSERT, UPDATE, DELETE"),
    ("privacy", "SELECT, INSERT, UPDATE, DELETE"),
    ("reaction_counts", "SELECT, INSERT, UPDATE, DELETE"),
    ("reactions", "SELECT, INSERT, UPDATE, DELETE"),
    ("revocations", "SELECT, INSERT, DELETE"),
    ("second_factors", "SELECT, INSERT, UPDATE, DELETE"),
    ("sends", "SELECT, INSERT, UPDATE"),
    ("spent_tokens", "SELECT, INSERT, DELETE"),
    ("suspensions", "SELECT, INSERT, UPDATE, DELETE"),
    ("users", "SELECT, INSERT, UPDATE"),
];

/// The functions that statements of a server call. Those of triggers need no right.
const FUNCTIONS: &[&str] = &[
    "tidings_append",
    "tidings_end",
    "tidings_epoch",
    "tidings_move_receipts",
    "tidings_needs_restoring",
    "tidings_position",
    "tidings_record",
];

const MAX_ROLE_BYTES: usize = 63;

/// The statements that make `role`, or bring the one that is there down and up to what a server needs. They
/// end with an error, in words for the operator, when the role has more than that from elsewhere.
///
/// # Errors
/// The name cannot be written without quotes.
pub fn grants(role: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins_well = role.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    if !begins_well || role.len() > MAX_ROLE_BYTES || !role.bytes().all(plain) {
        return Err(format!(
            "{role:?} is no name for a role: write small letters, digits and underscores, e.g. tidings_serving"
        ));
    }
    let tables: String =
        TABLES.iter().map(|(table, rights)| format!("GRANT {rights} ON {table} TO {role};\n")).collect();
    let functions = FUNCTIONS.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "DO $$
DECLARE
    called regprocedure;
    place text := quote_ident(current_schema());
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}'
               AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)) THEN
        RAISE EXCEPTION 'the role {role} may do more than serve: name another one, or run ALTER ROLE {role} NOSUPERUSER \
             NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS';
    END IF;
    IF EXISTS (SELECT FROM pg_class WHERE oid = 'events'::regclass AND pg_has_role('{role}', relowner, 'MEMBER')) THEN
        RAISE EXCEPTION 'the role {role} owns the tables, or is a member of the role that does: name another one';
    END IF;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %s FROM {role}', place);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %s FROM {role}', place);
    EXECUTE format('REVOKE ALL ON SCHEMA %s FROM {role}', place);
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO {role}', place);
    FOR called IN SELECT oid::regprocedure FROM pg_proc
                  WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'tidings\\_%' LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, {role}', called);
    END LOOP;
    FOR called IN SELECT oid::regprocedure FROM pg_proc
                  WHERE pronamespace = current_schema()::regnamespace AND proname IN ({functions}) LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {role}', called);
    END LOOP;
    IF has_schema_privilege('{role}', current_schema(), 'CREATE') THEN
        RAISE EXCEPTION 'every role may make tables in this schema: run REVOKE CREATE ON SCHEMA % FROM PUBLIC', place;
    END IF;
    IF NOT has_database_privilege('{role}', current_database(), 'CONNECT') THEN
        RAISE EXCEPTION 'the role {role} may not connect: run GRANT CONNECT ON DATABASE % TO {role}',
            quote_ident(current_database());
    END IF;
END
$$;
{tables}"
    ))
}

/// Makes `role` what servers connect as, in one transaction. `url` is the one of the tables' owner. May be
/// repeated.
///
/// # Errors
/// A text for the operator that says what to do.
pub async fn grant(url: &SecretString, role: &str) -> Result<String, String> {
    let statements = format!("BEGIN;\n{}COMMIT;", grants(role)?);
    let options: PgConnectOptions =
        url.expose_secret().parse().map_err(|_| "the database's URL cannot be read".to_owned())?;
    let options = options.application_name("tidings migrate").disable_statement_logging();
    let mut connection =
        options.connect().await.map_err(|error| format!("the database cannot be reached: {error}"))?;
    let outcome = run(&mut connection, statements).await;
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing the connection failed");
    }
    outcome?;
    Ok(format!("{role} may serve: {} tables, {} functions", TABLES.len(), FUNCTIONS.len()))
}

async fn run(connection: &mut PgConnection, statements: String) -> Result<(), String> {
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await;
    done.map(|_| ()).map_err(|error| {
        let text = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
        format!(
            "no rights were given: {text}. It needs the owner of the tables, who may make roles (CREATEROLE) unless the role is there"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::steps;

    #[test]
    fn every_table_and_function_of_the_schema_is_decided_about() {
        let text: String = steps().into_iter().map(|step| step.text).collect();
        let made = |begin: &str| -> Vec<String> {
            let names = text.split(begin).skip(1).map(|rest| {
                rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>()
            });
            let mut names: Vec<String> = names.filter(|name| !name.ends_with('_')).collect();
            names.sort();
            names.dedup();
            names
        };
        assert_eq!(made("\nCREATE TABLE "), TABLES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let refused = ["tidings_restored"];
        let of_triggers: Vec<&str> =
            text.split("EXECUTE FUNCTION ").skip(1).filter_map(|rest| rest.split('(').next()).collect();
        let left = made("\nCREATE FUNCTION ");
        let left: Vec<&str> = left
            .iter()
            .map(String::as_str)
            .filter(|name| !refused.contains(name) && !of_triggers.contains(name))
            .collect();
        assert_eq!(left, FUNCTIONS);
    }

    #[test]
    fn a_name_that_needs_quotes_is_refused() {
        for name in ["", "1a", "Tidings", "a b", "a;b", "a'b", "\u{fc}", &"a".repeat(64)] {
            assert!(grants(name).is_err(), "{name}");
        }
        assert!(grants("tidings_serving").is_ok());
    }
}
