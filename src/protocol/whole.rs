//! Whole numbers by value: `2`, `2.0` and `2e0` are one number, as in JSON Schema's `integer`. Game engines
//! whose only numbers are floats (Godot, Lua) write back `2.0` for a `2` that they read.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};

/// The largest number up to which a 64-bit float is exact: 2^53 - 1.
const LARGEST_EXACT: f64 = 9_007_199_254_740_991.0;

/// The whole number equal to a float; `None` when it has a fraction or is too large to be exact.
pub fn from_float(value: f64) -> Option<i64> {
    // Whole and within 2^53, so the conversion is exact.
    (value.fract() == 0.0 && value.abs() <= LARGEST_EXACT).then_some(value as i64)
}

/// The whole number, from 0, in a text of a URL: `2` or `2.0`.
pub fn from_text(text: &str) -> Option<u64> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    whole.bytes().all(|digit| digit.is_ascii_digit()).then(|| whole.parse().ok())?
}

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<u64, E> {
        let whole = from_float(value).and_then(|whole| u64::try_from(whole).ok());
        whole.ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
    }
}

/// Reads a whole number from 0.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_u64(WholeNumber)
}

/// Reads a whole number from 0, or null; for `#[serde(deserialize_with)]`.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Optional;
    impl<'de> Visitor<'de> for Optional {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            WholeNumber.expecting(f)
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserialize(deserializer).map(Some)
        }
    }
    deserializer.deserialize_option(Optional)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Seq;
    use crate::protocol::{ClientFrame, Encoding, RequestId};

    #[test]
    fn numbers_count_by_value() {
        for (text, value) in [
            ("2", 2),
            ("2.0", 2),
            ("2e0", 2),
            ("20e-1", 2),
            ("-0.0", 0),
            ("900719925474099.0", 900_719_925_474_099),
            ("9007199254740991.0", 9_007_199_254_740_991),
        ] {
            assert_eq!(serde_json::from_str::<Seq>(text).ok(), Seq::new(value), "{text}");
        }
        for text in ["2.5", "-1", "-1.0", "9007199254740992.0", "1e300", "\"2\"", "true", "null"] {
            assert!(serde_json::from_str::<Seq>(text).is_err(), "{text}");
        }
        for (text, value) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("2.00", Some(2)),
            ("2.", None),
            ("2.5", None),
            ("-2", None),
            ("+2", None),
            ("", None),
        ] {
            assert_eq!(from_text(text), value, "{text}");
        }
    }

    #[test]
    fn every_number_of_a_frame_may_be_a_float_in_both_encodings() {
        let frame = serde_json::json!({
            "type": "sync", "id": 1.0, "ranges": [{ "conversation": "g_0000000000000000000000000000000d", "after": 2.0, "limit": 3.0 }]
        });
        let json = Encoding::Json.decode(frame.to_string().as_bytes());
        let packed = Encoding::MessagePack.decode(&rmp_serde::to_vec_named(&frame).expect("encodes"));
        for decoded in [json, packed] {
            let Ok(ClientFrame::Sync(sync)) = decoded else { panic!("{decoded:?}") };
            assert_eq!(sync.id, RequestId::Number(1));
            assert_eq!((Some(sync.ranges[0].after), sync.ranges[0].limit), (Seq::new(2), Some(3)));
        }
    }

    #[test]
    fn a_wrong_id_names_the_frame_it_came_with() {
        let rejected = Encoding::Json.decode(br#"{"type":"ping","id":1.5}"#).expect_err("a fraction");
        assert!(rejected.error.message.starts_with("ping: id: "), "{}", rejected.error.message);
    }
}
