//! The opaque text with which a client resumes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::Position;
use crate::store::Cursor;

const VERSION: u8 = 1;

/// Writes a cursor.
pub fn encode(cursor: Cursor) -> String {
    let mut bytes = [0_u8; 17];
    bytes[0] = VERSION;
    bytes[1..9].copy_from_slice(&cursor.epoch.to_be_bytes());
    bytes[9..].copy_from_slice(&cursor.position.0.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor. `None` when this server did not write it; `hello` then sends all heads, as without a
/// cursor.
pub fn decode(text: &str) -> Option<Cursor> {
    let bytes: [u8; 17] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let number =
        |at: usize| bytes[at..at + 8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    (bytes[0] == VERSION).then(|| Cursor { epoch: number(1), position: Position(number(9)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_trip_and_refuses_the_rest() {
        let cursor = Cursor { epoch: u64::MAX - 3, position: Position(12_345) };
        assert_eq!(decode(&encode(cursor)), Some(cursor));
        for bad in ["", "!", "AAAA", &"A".repeat(1_000), &encode(cursor)[1..]] {
            assert_eq!(decode(bad), None);
        }
    }
}
