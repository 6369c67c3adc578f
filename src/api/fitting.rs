//! How many items of a page fit into an answer.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// Encoded bytes of the items of one page, at most. A page has at least one item, even if that is larger.
pub const PAGE_BYTES: usize = 1024 * 1024;

/// Encodes items as long as they fit into `most_bytes`. Returns them, and whether any is left over.
///
/// # Errors
/// A stored text that is no longer JSON.
pub fn fitting<T: Serialize>(
    items: impl Iterator<Item = T>,
    most_bytes: usize,
) -> Result<(Vec<Box<RawValue>>, bool), serde_json::Error> {
    let (mut encoded, mut bytes) = (Vec::with_capacity(items.size_hint().0), 0);
    for item in items {
        let item = to_raw_value(&item)?;
        bytes += item.get().len();
        if bytes > most_bytes && !encoded.is_empty() {
            return Ok((encoded, true));
        }
        encoded.push(item);
    }
    Ok((encoded, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_what_fits_and_at_least_one() {
        // Each is 12 bytes with its quotes.
        let texts = ["a".repeat(10), "b".repeat(10), "\u{1}".repeat(40), "c".to_owned()];
        let count = |most| fitting(texts.iter(), most).map(|(fit, left)| (fit.len(), left)).ok();
        assert_eq!([count(0), count(12), count(23)], [Some((1, true)); 3]);
        assert_eq!((count(24), count(265)), (Some((2, true)), Some((2, true))));
        assert_eq!((count(266), count(269)), (Some((3, true)), Some((4, false))));
    }
}
