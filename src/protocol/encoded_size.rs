//! How large a text is once it is encoded.

/// The bytes of `text` inside a JSON string, without the quotes. In MessagePack it is never larger.
pub fn json_text_bytes(text: &str) -> usize {
    let encoded = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(encoded).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_encoder_writes(text in "(\\PC|[\u{0}-\u{7f}]){0,40}") {
            let written = serde_json::to_string(&text).expect("a text is JSON");
            prop_assert_eq!(json_text_bytes(&text), written.len() - 2);
        }
    }
}
