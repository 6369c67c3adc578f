//! A page of rows.

use super::Result;
use crate::store::Page;

/// The first `limit` rows as values; one row more than that says that there is another page.
pub(super) fn page<R, T, K>(
    rows: &[R],
    limit: usize,
    read: impl Fn(&R) -> Result<Option<T>>,
    key: impl Fn(&T) -> K,
) -> Result<Page<T, K>> {
    let items =
        rows.iter().take(limit).filter_map(|row| read(row).transpose()).collect::<Result<Vec<T>>>()?;
    let next = items.last().filter(|_| rows.len() > limit).map(key);
    Ok(Page { items, next })
}
