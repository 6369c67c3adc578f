use proptest::prelude::*;

use super::samples::bus_messages;
use super::*;

const ID: BusMessageId = BusMessageId { node: NodeId(0x0102_0304_0506_0708), number: 9 };

fn keys(secrets: &[&str], unsigned: Unsigned) -> MacKeys {
    MacKeys::derive(secrets, unsigned).expect("there is a secret")
}

fn message() -> BusMessage {
    BusMessage {
        topics: smallvec::smallvec![crate::domain::Topic::Published],
        epoch: None,
        payload: crate::bus::Payload::Published(Vec::new()),
    }
}

/// Bytes of version 2, which every later release must read as long as it reads that version.
const GOLDEN: &str =
    "02010203040506070800000000000000092e8e91add7783d0449b0fe7ed62112f4d380e16782a17491a162a16381a17090";

#[test]
fn version_two_is_written_as_ever() {
    let keys = keys(&["a secret of the installation"], Unsigned::Dropped);
    let bytes = keys.encode(ID, &message()).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    assert_eq!(keys.decode(&bytes), Ok((ID, message())));
}

#[test]
fn a_key_is_exchanged_in_two_steps() {
    let [before, between, after] =
        [&["old"][..], &["old", "new"], &["new", "old"]].map(|secrets| keys(secrets, Unsigned::Dropped));
    let by_old = between.encode(ID, &message()).unwrap();
    let by_new = after.encode(ID, &message()).unwrap();
    for (reader, envelope, read) in [
        (&before, &by_old, true),
        (&between, &by_new, true),
        (&after, &by_old, true),
        (&before, &by_new, false),
    ] {
        let expected = if read { Ok((ID, message())) } else { Err(EnvelopeError::UnknownKey) };
        assert_eq!(reader.decode(envelope), expected);
    }
}

#[test]
fn without_a_mac_it_is_taken_only_while_a_fleet_begins_to_sign() {
    let unsigned = encode(ID, &message()).unwrap();
    assert_eq!(keys(&["k"], Unsigned::Taken).decode(&unsigned), Ok((ID, message())));
    assert_eq!(keys(&["k"], Unsigned::Dropped).decode(&unsigned), Err(EnvelopeError::Unsigned));
    let signed = keys(&["k"], Unsigned::Taken).encode(ID, &message()).unwrap();
    assert_eq!(decode(&signed), Err(EnvelopeError::UnknownKey), "by who has no keys");
    assert_eq!(id(&signed), Ok(ID), "whose it is can be told all the same");
}

proptest! {
    #[test]
    fn what_was_signed_is_read_and_any_changed_byte_is_noticed(
        message in bus_messages(), at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let keys = keys(&["k"], Unsigned::Dropped);
        let mut bytes = keys.encode(ID, &message).unwrap();
        prop_assert_eq!(keys.decode(&bytes), Ok((ID, message)));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(keys.decode(&bytes).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = keys(&["k"], Unsigned::Dropped).decode(&bytes);
    }
}
