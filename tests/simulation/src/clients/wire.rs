//! Values as frames and back, in both encodings, and small readers of values.

use bytes::Bytes;
use serde::Deserialize as _;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::dice::Dice;

/// The levels of nesting that the protocol allows.
const MOST_LEVELS: usize = 128;

/// A frame of the protocol as a WebSocket message: text with JSON, or binary with MessagePack.
pub fn encode(frame: &Value, msgpack: bool) -> Message {
    if msgpack {
        Message::Binary(Bytes::from(
            rmp_serde::to_vec_named(frame).expect("JSON values have a MessagePack form"),
        ))
    } else {
        Message::text(frame.to_string())
    }
}

/// The value of a received message; `None` when it is no frame in the encoding that was agreed.
pub fn decode(message: &Message, msgpack: bool) -> Option<Value> {
    match message {
        Message::Text(text) if !msgpack => serde_json::from_str(text.as_str()).ok(),
        Message::Binary(bytes) if msgpack => {
            let mut reader = rmp_serde::Deserializer::new(&**bytes);
            reader.set_max_depth(MOST_LEVELS);
            Value::deserialize(&mut reader).ok()
        }
        _ => None,
    }
}

/// A UUID from dice, with hyphens.
pub fn uuid(dice: &mut Dice) -> String {
    let mut bytes = [0; 16];
    dice.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// A field that is a text; empty when it is not there.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// A field that is a text, as a value of its own.
pub fn owned(value: &Value, field: &str) -> Option<String> {
    value[field].as_str().map(str::to_owned)
}

/// A field that is an integer. Numbers count by value: `2.0` is 2.
pub fn integer(value: &Value, field: &str) -> Option<u64> {
    number(&value[field])
}

/// An integer, by its value.
pub fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        // Above 2^53 a float is not exact, and no seq is there.
        (float.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&float)).then_some(float as u64)
    })
}

/// A field that is a truth value; false when it is not there.
pub fn is(value: &Value, field: &str) -> bool {
    value[field].as_bool().unwrap_or_default()
}

/// The items of a field that is a list.
pub fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    use std::fmt::Write as _;

    text.bytes().fold(String::new(), |mut path, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => path.push(char::from(byte)),
            _ => write!(path, "%{byte:02X}").expect("a String takes everything"),
        }
        path
    })
}
