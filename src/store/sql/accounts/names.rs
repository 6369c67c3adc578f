//! The words by which people are found, kept beside their names.

use crate::domain::{UserId, Username, name_words};
use crate::store::sql::{Connection, Result, Sql, Value, statement, values};

const FORGET: Sql = statement!("DELETE FROM name_words WHERE user_id = $1");
const KEEP: Sql = statement!(
    postgres: "INSERT INTO name_words (word, user_id) SELECT v.word, $1 FROM unnest($2::text[]) AS v (word) ON CONFLICT DO NOTHING",
    sqlite: "INSERT INTO name_words (word, user_id) VALUES ($2, $1) ON CONFLICT DO NOTHING",
);

/// Keeps the words by which a user is found who had none.
pub(super) async fn keep<C: Connection>(
    connection: &mut C,
    id: UserId,
    display_name: &str,
    username: Option<&Username>,
) -> Result<()> {
    let words = name_words::of_user(display_name, username).into_iter().map(Some).collect();
    connection.each(&KEEP, values![id, Value::Texts(words)]).await.map(|_| ())
}

/// From now on the user is found by the words of these names.
pub(super) async fn replace<C: Connection>(
    connection: &mut C,
    id: UserId,
    display_name: &str,
    username: Option<&Username>,
) -> Result<()> {
    connection.run(&FORGET, values![id]).await?;
    keep(connection, id, display_name, username).await
}
