//! An entry of the list of revocations.

use crate::domain::RevocationKind;
use crate::store::Revocation;
use crate::store::sql::{Connection, Result, Sql, statement, values};

/// A kind of revocation as a number in the table.
const fn kind_number(kind: RevocationKind) -> i64 {
    match kind {
        RevocationKind::Tokens => 0,
        RevocationKind::Erasure => 1,
        RevocationKind::Suspension => 2,
    }
}

pub(super) const fn kind_of(number: i64) -> RevocationKind {
    match number {
        1 => RevocationKind::Erasure,
        2 => RevocationKind::Suspension,
        _ => RevocationKind::Tokens,
    }
}

/// Numbers are assigned in the order of commits, so that a reader in number order misses none. In Postgres
/// the row of the counter is locked until the commit.
const WRITE: Sql = statement! {
    postgres: "WITH next AS (UPDATE meta SET value = value + 1 WHERE name = 'revocations' RETURNING value) \
               INSERT INTO revocations (id, user_id, family, at, kind) SELECT value, $1, $2, $3, $4 FROM next",
    sqlite: "INSERT INTO revocations (user_id, family, at, kind) VALUES ($1, $2, $3, $4)",
};

pub(in crate::store) async fn write<C: Connection>(
    connection: &mut C,
    revocation: &Revocation,
) -> Result<()> {
    let row = values![revocation.user, revocation.family, revocation.at, kind_number(revocation.kind)];
    connection.run(&WRITE, row).await.map(|_| ())
}
