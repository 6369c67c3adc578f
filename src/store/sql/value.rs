//! A statement and its values, as data that both databases understand.

use std::iter;

use uuid::Uuid;

use crate::domain::{ClientId, ConversationId, FamilyId, Seq, Timestamp, UserId};

/// A statement in the form of each database; [`super::statement`] creates one.
///
/// Parameters are `$1`, `$2`, … in both. A text need not use all of them.
#[derive(Debug)]
pub(in crate::store) struct Sql {
    pub(in crate::store) postgres: &'static str,
    pub(in crate::store) sqlite: &'static str,
    #[cfg(feature = "simulation")]
    pub(in crate::store) model: &'static str,
}

/// A batch for several rows of values, given as one list per parameter. Postgres runs one statement over
/// arrays; SQLite runs several statements in order for each element.
#[derive(Debug)]
pub(in crate::store) struct Batch {
    pub(in crate::store) postgres: &'static str,
    pub(in crate::store) sqlite: &'static [&'static str],
    #[cfg(feature = "simulation")]
    pub(in crate::store) model: &'static [&'static str],
}

/// A value to bind. It has a type even when it is NULL, because Postgres needs one.
#[derive(Debug, Clone)]
pub(in crate::store) enum Value<'v> {
    Uuid(Option<Uuid>),
    Int(Option<i64>),
    Text(Option<&'v str>),
    Bytes(Option<&'v [u8]>),
    Flag(bool),
    /// A list: an array in Postgres; in SQLite a JSON array for `json_each`, ids in hexadecimal for `unhex`.
    Uuids(Vec<Option<Uuid>>),
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
}

impl<'v> Value<'v> {
    pub(in crate::store) fn uuids<T: Into<Option<Uuid>>>(ids: impl IntoIterator<Item = T>) -> Self {
        Self::Uuids(ids.into_iter().map(Into::into).collect())
    }

    pub(in crate::store) fn ints<T: Into<Option<i64>>>(numbers: impl IntoIterator<Item = T>) -> Self {
        Self::Ints(numbers.into_iter().map(Into::into).collect())
    }

    /// The number of elements of a list; `None` for a single value.
    fn len(&self) -> Option<usize> {
        match self {
            Self::Uuids(list) => Some(list.len()),
            Self::Ints(list) => Some(list.len()),
            Self::Texts(list) => Some(list.len()),
            Self::Uuid(_) | Self::Int(_) | Self::Text(_) | Self::Bytes(_) | Self::Flag(_) => None,
        }
    }

    /// Element `at` of a list; a single value as it is.
    fn element<'e>(&'e self, at: usize) -> Value<'e>
    where
        'v: 'e,
    {
        match self {
            Self::Uuids(list) => Value::Uuid(list.get(at).copied().flatten()),
            Self::Ints(list) => Value::Int(list.get(at).copied().flatten()),
            Self::Texts(list) => Value::Text(list.get(at).and_then(Option::as_deref)),
            single => single.clone(),
        }
    }
}

/// The values for each run of a statement that runs once per element of its lists. Single values are the same
/// in each run.
pub(in crate::store) fn rows<'e>(values: &'e [Value<'_>]) -> impl Iterator<Item = Vec<Value<'e>>> {
    let runs = values.iter().filter_map(Value::len).max().unwrap_or(1);
    let mut at = 0;
    iter::from_fn(move || {
        let row = (at < runs).then(|| values.iter().map(|value| value.element(at)).collect());
        at += 1;
        row
    })
}

impl From<Uuid> for Value<'_> {
    fn from(id: Uuid) -> Self {
        Self::Uuid(Some(id))
    }
}

impl From<Option<Uuid>> for Value<'_> {
    fn from(id: Option<Uuid>) -> Self {
        Self::Uuid(id)
    }
}

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl From<$id> for Value<'_> {
            fn from(id: $id) -> Self {
                Self::Uuid(Some(*id.as_uuid()))
            }
        }

        impl From<Option<$id>> for Value<'_> {
            fn from(id: Option<$id>) -> Self {
                Self::Uuid(id.map(|id| *id.as_uuid()))
            }
        }
    )*};
}
ids!(UserId, ConversationId, ClientId, FamilyId);

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<Seq> for Value<'_> {
    fn from(seq: Seq) -> Self {
        Self::Int(Some(seq.as_stored()))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(Some(time.as_unix_ms()))
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v [u8; 32]> for Value<'v> {
    fn from(hash: &'v [u8; 32]) -> Self {
        Self::Bytes(Some(hash))
    }
}

impl<'v> From<Option<&'v [u8; 32]>> for Value<'v> {
    fn from(hash: Option<&'v [u8; 32]>) -> Self {
        Self::Bytes(hash.map(<[u8; 32]>::as_slice))
    }
}

/// A list of values to bind: `values![id, name, limit]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::Value::from($value)),*] };
}
pub(in crate::store) use values;
