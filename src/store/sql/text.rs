//! The texts of statements. `{name}` in a text is replaced by a part that several statements share.
//!
//! A part is a number with a name, a list of columns that one function reads, an expression that is a rule,
//! or an expression that differs between the two databases. It is written once, beside the code that it
//! belongs to, and listed in [`PARTS`]. A part may contain names of other parts. In `{name one other third}`,
//! `one` replaces `%1` of the part, `other` replaces `%2`, and `third` replaces `%3`. `{}` is not a name.
//!
//! Statements are completed at compile time, so an unknown name is a compiler error. Migrations are completed
//! when they are run.

use super::accounts::{suspensions, users};
use super::conversations::listing;
use super::{heads, history, invitations, journal, permissions, quotas};
use crate::store::shared::part::Part;
use crate::store::shared::{codec, conversation, numbers};

/// The database that a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Dialect {
    Postgres,
    Sqlite,
    /// SQLite's, for a model of a server that several processes share.
    #[cfg(feature = "simulation")]
    Model,
}

const PARTS: &[&[Part]] = &[
    DIALECT,
    numbers::PARTS,
    numbers::NAMED,
    codec::PARTS,
    conversation::PARTS,
    users::PARTS,
    suspensions::PARTS,
    journal::member_acts::PARTS,
    permissions::PARTS,
    quotas::PARTS,
    invitations::PARTS,
    permissions::refusals::PARTS,
    history::PARTS,
    heads::PARTS,
    listing::PARTS,
];

const DIALECT: &[Part] = &[
    // Types of columns in `migrations/both`, and what follows a table that is found by its key alone.
    Part::each("id", "uuid", "BLOB"),
    Part::each("whole", "bigint", "INTEGER"),
    Part::each("text", "text", "TEXT"),
    Part::each("by_key", "", " STRICT, WITHOUT ROWID"),
    // Locks the rows that a statement reads until the end of the transaction; SQLite's writer is alone.
    Part::for_each("lock", "FOR NO KEY UPDATE", "", "/* lock */"),
    // The same, for a row that is not written.
    Part::for_each("key_lock", "FOR KEY SHARE", "", "/* lock */"),
    // Milliseconds by the database's clock, which is one for all nodes.
    Part::for_each(
        "clock_ms",
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)",
        "tidings_clock_ms()",
    ),
    // The greatest of some numbers, of which none is NULL.
    Part::each("greatest", "greatest", "max"),
    // Rows as one JSON list.
    Part::each("json_list", "json_agg", "json_group_array"),
    Part::each("json_array", "json_build_array", "json_array"),
    // The first events from position `%1` on before the end of the `log`: at most `%2`, and in Postgres those
    // that share the position of the last of them.
    Part::for_each(
        "whole_transactions",
        "ORDER BY e.position FETCH FIRST %2 ROWS WITH TIES",
        "ORDER BY e.position LIMIT %2",
        "AND e.position <= (SELECT max(t.position) FROM ( \
             SELECT f.position FROM events f WHERE f.position >= %1 AND f.position < (SELECT stop FROM log) \
             ORDER BY f.position LIMIT %2) t) ORDER BY e.position",
    ),
    // Whether a replica has removed all content that was erased up to a position. An embedded log has no
    // replicas.
    Part::for_each("blanked", "c.blanked_position", "0", "c.blanked_position"),
    // In the tables of SQLite's dialect: the column of it, the position of an event, and the index on that.
    Part::for_each("blanked_column", "", "", "blanked_position INTEGER NOT NULL DEFAULT 0,"),
    Part::for_each("event_position", "", "INTEGER PRIMARY KEY", "INTEGER NOT NULL"),
    Part::for_each("index_of_positions", "", "", "CREATE INDEX events_by_position ON events (position);"),
    // The position of this transaction, where taking it is all that a statement needs it for.
    Part::for_each("taken_position", "tidings_position()", "0", "tidings_position()"),
    // The time that leases are measured by; `%1` is the caller's.
    Part::for_each("lease_ms", "", "%1", "tidings_clock_ms()"),
    // One of the ids in a list; SQLite is asked once for each of them.
    Part::each("one_of", "= ANY (%1)", "= %1"),
];

/// The arguments of a part: up to three words.
type Arguments<'t> = [&'t [u8]; 3];

/// A text outside of a part has no arguments.
pub(in crate::store) const NONE: Arguments<'static> = [b"", b"", b""];

/// The length of a text with its parts, for the buffer of [`write()`].
pub(in crate::store) const fn length(text: &str, dialect: Dialect) -> usize {
    write(text.as_bytes(), NONE, dialect, &mut [], 0)
}

/// Writes a text with its parts into `out`, from `at` on, and returns its end. With an empty `out` it only
/// counts.
pub(in crate::store) const fn write(
    text: &[u8],
    arguments: Arguments<'_>,
    dialect: Dialect,
    out: &mut [u8],
    mut at: usize,
) -> usize {
    let mut read = 0;
    while read < text.len() {
        let next = if read + 1 < text.len() { text[read + 1] } else { 0 };
        match text[read] {
            b'{' if next != b'}' => {
                let end = find(text, b'}', read);
                let (name, rest) = word(between(text, read + 1, end));
                let (one, rest) = word(rest);
                let (other, third) = word(rest);
                let given =
                    [handed_on(one, arguments), handed_on(other, arguments), handed_on(third, arguments)];
                at = write(part(name, dialect).as_bytes(), given, dialect, out, at);
                read = end + 1;
            }
            b'%' if next >= b'1' && next <= b'3' => {
                at = write(arguments[(next - b'1') as usize], NONE, dialect, out, at);
                read += 2;
            }
            byte => {
                if !out.is_empty() {
                    out[at] = byte;
                }
                at += 1;
                read += 1;
            }
        }
    }
    at
}

const fn part(name: &[u8], dialect: Dialect) -> &'static str {
    let mut list = 0;
    while list < PARTS.len() {
        let mut nth = 0;
        while nth < PARTS[list].len() {
            let part = &PARTS[list][nth];
            if is_same(part.name.as_bytes(), name) {
                return match dialect {
                    Dialect::Postgres => part.postgres,
                    Dialect::Sqlite => part.sqlite,
                    #[cfg(feature = "simulation")]
                    Dialect::Model => part.model,
                };
            }
            nth += 1;
        }
        list += 1;
    }
    // At compile time this is a compiler error. A test completes the migrations.
    panic!("a statement names a part that is not there")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

const fn find(text: &[u8], byte: u8, mut from: usize) -> usize {
    while from < text.len() && text[from] != byte {
        from += 1;
    }
    from
}

const fn between(text: &[u8], from: usize, to: usize) -> &[u8] {
    text.split_at(to).0.split_at(from).1
}

/// The argument of a part, if it is an argument of the surrounding text.
const fn handed_on<'t>(argument: &'t [u8], arguments: Arguments<'t>) -> &'t [u8] {
    match argument {
        b"%1" => arguments[0],
        b"%2" => arguments[1],
        b"%3" => arguments[2],
        other => other,
    }
}

/// The first word of a text, and what follows it.
const fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = find(text, b' ', 0);
    (between(text, 0, end), if end < text.len() { text.split_at(end + 1).1 } else { b"" })
}

/// A text with its parts, completed at compile time.
macro_rules! filled {
    ($dialect:ident, $text:expr) => {{
        use $crate::store::sql::text::{Dialect, NONE, length, write};
        const LENGTH: usize = length($text, Dialect::$dialect);
        const FILLED: [u8; LENGTH] = {
            let mut filled = [0; LENGTH];
            write($text.as_bytes(), NONE, Dialect::$dialect, &mut filled, 0);
            filled
        };
        match str::from_utf8(&FILLED) {
            Ok(text) => text,
            // Only whole texts are put together.
            Err(_) => panic!("texts are UTF-8"),
        }
    }};
}
pub(in crate::store) use filled;

/// A statement: one text for both databases, two texts if they differ in more than a part, or a text for one
/// database only. The model of a server has SQLite's text, or its own. `shared`: for servers that several
/// processes share.
macro_rules! statement {
    (postgres: $postgres:expr, sqlite: $sqlite:expr, model: $model:expr $(,)?) => {
        $crate::store::sql::Sql {
            postgres: $crate::store::sql::filled!(Postgres, $postgres),
            sqlite: $crate::store::sql::filled!(Sqlite, $sqlite),
            #[cfg(feature = "simulation")]
            model: $crate::store::sql::filled!(Model, $model),
        }
    };
    (postgres: $postgres:expr, sqlite: $sqlite:expr $(,)?) => {
        $crate::store::sql::statement!(postgres: $postgres, sqlite: $sqlite, model: $sqlite)
    };
    (postgres: $postgres:expr $(,)?) => {
        $crate::store::sql::statement!(postgres: $postgres, sqlite: "")
    };
    (sqlite: $sqlite:expr $(,)?) => {
        $crate::store::sql::statement!(postgres: "", sqlite: $sqlite)
    };
    (shared: $text:expr $(,)?) => {
        $crate::store::sql::statement!(postgres: $text, sqlite: "", model: $text)
    };
    ($text:expr $(,)?) => {
        $crate::store::sql::statement!(postgres: $text, sqlite: $text)
    };
}
pub(in crate::store) use statement;

/// A batch for several rows of values: one statement for Postgres, several for SQLite. The model has those of
/// SQLite, and `model`, if given, before them.
macro_rules! batch {
    (postgres: $postgres:expr, sqlite: [$($sqlite:expr),+ $(,)?] $(, model: $model:expr)? $(,)?) => {
        $crate::store::sql::Batch {
            postgres: $crate::store::sql::filled!(Postgres, $postgres),
            sqlite: &[$($crate::store::sql::filled!(Sqlite, $sqlite)),+],
            #[cfg(feature = "simulation")]
            model: &[$($crate::store::sql::filled!(Model, $model),)? $($crate::store::sql::filled!(Model, $sqlite)),+],
        }
    };
}
pub(in crate::store) use batch;

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaStep {
    /// Its number in the list, from 1: the schema version after it.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    /// Its statements, as run.
    pub text: String,
}

impl SchemaStep {
    /// The migrations from a list of names and texts.
    pub(in crate::store) fn list(steps: &[(&'static str, &'static str)], dialect: Dialect) -> Vec<Self> {
        let step = |((name, text), version): (&(&'static str, &'static str), i64)| {
            let mut filled = vec![0; length(text, dialect)];
            write(text.as_bytes(), NONE, dialect, &mut filled, 0);
            // Only whole texts are put together.
            Self { version, name, text: String::from_utf8(filled).expect("texts are UTF-8") }
        };
        steps.iter().zip(1..).map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::{ConversationKind, Role};

    #[test]
    fn the_domain_has_the_same_numbers() {
        assert_eq!(filled!(Sqlite, "{direct}"), ConversationKind::Direct.as_bits().to_string());
        assert_eq!(filled!(Sqlite, "{channel}"), ConversationKind::Channel.as_bits().to_string());
        assert_eq!(filled!(Sqlite, "{role_member}"), Role::Member.as_stored().to_string());
        assert_eq!(filled!(Sqlite, "{role_admin}"), Role::Admin.as_stored().to_string());
    }

    #[test]
    fn parts_are_put_in_with_what_they_are_asked_with() {
        let text = filled!(Postgres, "SELECT '{}', {greatest}(a, {message}) {lock}");
        assert_eq!(text, "SELECT '{}', greatest(a, 0) FOR NO KEY UPDATE");
        assert_eq!(filled!(Sqlite, "x {one_of $2} AND kind <> {channel}"), "x = $2 AND kind <> 2");
    }

    #[test]
    fn every_step_of_a_schema_can_be_filled_in() {
        for step in [crate::store::postgres::steps(), crate::store::sqlite::steps()].concat() {
            assert!(!step.text.contains('{') || step.text.contains("'{}'"), "{}", step.name);
        }
    }
}
