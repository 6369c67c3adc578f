//! Finding people by the beginning of their username, or of the words of their names.

use super::users::read_user;
use crate::domain::User;
use crate::store::sql::{Connection, Result, Sql, statement, values};

const BY_PREFIX: Sql = statement!(
    "SELECT {user_columns} FROM users u WHERE u.username >= $1 AND u.username < $2 ORDER BY u.username LIMIT $3"
);

pub(super) async fn by_prefix<C: Connection>(
    connection: &mut C,
    prefix: &str,
    limit: usize,
) -> Result<Vec<User>> {
    if prefix.contains('\0') {
        return Ok(Vec::new());
    }
    let prefix = prefix.to_ascii_lowercase();
    // Usernames are ASCII below `~`, so this is past every one that begins with the prefix.
    let beyond = format!("{prefix}~");
    let asked = values![prefix.as_str(), beyond.as_str(), limit as i64];
    connection.all(&BY_PREFIX, asked).await?.iter().map(|row| read_user(row, 0)).collect()
}

/// Words that one search looks at, at most: as many as would fill the largest page with people whose every
/// word begins so.
const MOST_LOOKED_AT: i64 = 600;
/// Above every other letter.
const LAST_LETTER: char = char::MAX;

/// A stretch of the words is read, however many people have such names; the other words are looked up for
/// each of these people.
const FIND: Sql = statement!(
    "SELECT {user_columns} FROM ( \
         SELECT s.user_id, min(s.word) AS word FROM ( \
             SELECT w.word, w.user_id FROM name_words w WHERE w.word >= $1 AND w.word < $2 ORDER BY w.word, w.user_id LIMIT $7 \
         ) s WHERE EXISTS (SELECT 1 FROM name_words x WHERE x.user_id = s.user_id AND x.word >= $3 AND x.word < $4) \
         AND EXISTS (SELECT 1 FROM name_words x WHERE x.user_id = s.user_id AND x.word >= $5 AND x.word < $6) \
         GROUP BY s.user_id ORDER BY min(s.word), s.user_id LIMIT $8 \
     ) f CROSS JOIN users u WHERE u.id = f.user_id AND u.erased_at IS NULL ORDER BY f.word, u.id"
);

/// Living users with a word that begins with each of the words.
pub(super) async fn by_name<C: Connection>(
    connection: &mut C,
    words: &[String],
    limit: usize,
) -> Result<Vec<User>> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).take(3).collect();
    // The longest leads to the fewest people.
    words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
    let Some(first) = words.first().copied() else { return Ok(Vec::new()) };
    // Where there are fewer, the first one once more changes nothing.
    let word = |nth: usize| words.get(nth).copied().unwrap_or(first);
    let beyond = [0, 1, 2].map(|nth| format!("{}{LAST_LETTER}", word(nth)));
    let [one, two, three] = [&beyond[0], &beyond[1], &beyond[2]].map(String::as_str);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let asked = values![word(0), one, word(1), two, word(2), three, MOST_LOOKED_AT, limit];
    connection.all(&FIND, asked).await?.iter().map(|row| read_user(row, 0)).collect()
}
