//! The keys of the model of Redis: those of the presence registry.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::resp::Reply;

type Fields = BTreeMap<Vec<u8>, Vec<u8>>;

/// All keys, each with the moment at which it ends.
#[derive(Debug, Default)]
pub struct Keys {
    texts: BTreeMap<Vec<u8>, (Vec<u8>, Instant)>,
    hashes: BTreeMap<Vec<u8>, (Fields, Option<Instant>)>,
}

impl Keys {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a command writes.
    pub fn is_write(verb: &[u8]) -> bool {
        matches!(verb, b"SET" | b"DEL" | b"HSET" | b"HDEL" | b"EXPIRE")
    }

    /// Executes a command. `None`: it is none of those that the product sends.
    pub fn execute(&mut self, command: &[Vec<u8>], now: Instant) -> Option<Reply> {
        let [verb, key, arguments @ ..] = command else { return None };
        self.texts.retain(|_, (_, ends)| *ends > now);
        self.hashes.retain(|_, (hash, ends)| !hash.is_empty() && ends.is_none_or(|ends| ends > now));
        Some(match (verb.as_slice(), arguments) {
            (b"GET", []) => self.text(key),
            (b"EXISTS", []) => Reply::Integer(u64::from(self.texts.contains_key(key))),
            (b"DEL", []) => Reply::Integer(u64::from(self.texts.remove(key).is_some())),
            (b"SET", [value, unit, time, rest @ ..]) => {
                let lasts = match unit.as_slice() {
                    b"PX" => Duration::from_millis(number(time)?),
                    b"EX" => Duration::from_secs(number(time)?),
                    _ => return None,
                };
                let before = self.text(key);
                self.texts.insert(key.clone(), (value.clone(), now + lasts));
                if rest.is_empty() { Reply::text("OK") } else { before }
            }
            (b"EXPIRE", [time]) => {
                let ends = now + Duration::from_secs(number(time)?);
                let hash = self.hashes.get_mut(key);
                let found = hash.map(|(_, before)| *before = Some(ends)).is_some();
                Reply::Integer(u64::from(found))
            }
            (b"HSET", [field, value]) => {
                let (hash, _) = self.hashes.entry(key.clone()).or_default();
                Reply::Integer(u64::from(hash.insert(field.clone(), value.clone()).is_none()))
            }
            (b"HDEL", fields) => {
                let hash = self.hashes.get_mut(key);
                let removed = hash.map_or(0, |(hash, _)| {
                    fields.iter().filter(|field| hash.remove(*field).is_some()).count()
                });
                Reply::Integer(removed as u64)
            }
            (b"HGETALL", []) => {
                let hash = self.hashes.get(key).map(|(hash, _)| hash.clone()).unwrap_or_default();
                let pairs = hash.into_iter().flat_map(|(field, value)| [field, value]);
                Reply::Array(pairs.map(Reply::Bulk).collect())
            }
            _ => return None,
        })
    }

    fn text(&self, key: &[u8]) -> Reply {
        self.texts.get(key).map_or(Reply::Nil, |(text, _)| Reply::Bulk(text.clone()))
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::now;

    fn run(keys: &mut Keys, command: &str, now: Instant) -> Reply {
        let command: Vec<Vec<u8>> = command.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        keys.execute(&command, now).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_tells_whether_there_was_one_and_ends() {
        let (mut keys, began) = (Keys::default(), now());
        assert_eq!(run(&mut keys, "SET node:1 1 PX 500 GET", began), Reply::Nil);
        assert_eq!(run(&mut keys, "SET node:1 1 PX 500 GET", began), Reply::text("1"));
        assert_eq!(run(&mut keys, "EXISTS node:1", began), Reply::Integer(1));
        assert_eq!(run(&mut keys, "EXISTS node:1", began + Duration::from_millis(500)), Reply::Integer(0));
    }

    #[tokio::test(start_paused = true)]
    async fn entries_are_set_and_removed() {
        let (mut keys, began) = (Keys::default(), now());
        run(&mut keys, "HSET on:1 b o", began);
        run(&mut keys, "HSET on:1 a a", began);
        run(&mut keys, "EXPIRE on:1 10", began);
        let both = ["a", "a", "b", "o"].map(Reply::text).to_vec();
        assert_eq!(run(&mut keys, "HGETALL on:1", began), Reply::Array(both));
        assert_eq!(run(&mut keys, "HDEL on:1 a c", began), Reply::Integer(1));
        let later = began + Duration::from_secs(10);
        assert_eq!(run(&mut keys, "HGETALL on:1", later), Reply::Array(vec![]));
    }
}
