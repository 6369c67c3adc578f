//! Both encodings of wire contract v1, in and out.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::{ClientFrame, Envelope, FrameReader, LenientId, RequestId};
use super::error::{Error, ErrorCode};
use super::frame::{HEADER_ROOM, Opcode, seal};

/// How a connection's frames are encoded, agreed by subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// `tidings.v1.json`: text frames.
    #[default]
    Json,
    /// `tidings.v1.msgpack`: binary frames.
    MessagePack,
}

/// The deepest nesting that is accepted.
const MAX_DEPTH: usize = 128;

/// A frame that cannot be handled, with the request id to answer under if it has a readable one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The request's id.
    pub id: Option<RequestId>,
    /// What to answer.
    pub error: Error,
}

impl Rejected {
    fn bad_frame(message: &'static str) -> Self {
        Self { id: None, error: Error::new(ErrorCode::BadFrame, message) }
    }
}

/// The bytes of a frame whose type is known.
struct Payload<'a> {
    encoding: Encoding,
    bytes: &'a [u8],
}

impl FrameReader for Payload<'_> {
    type Error = Error;

    fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.encoding.parse(self.bytes)
    }
}

impl Encoding {
    /// The encoding of a subprotocol's name.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        [Self::Json, Self::MessagePack].into_iter().find(|encoding| encoding.subprotocol() == name)
    }

    /// The subprotocol's name.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "tidings.v1.json",
            Self::MessagePack => "tidings.v1.msgpack",
        }
    }

    /// The opcode that carries this encoding.
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Json => Opcode::Text,
            Self::MessagePack => Opcode::Binary,
        }
    }

    /// Encodes a frame once, header included; the bytes may be shared by any number of connections.
    pub fn encode<T: Serialize>(self, value: &T) -> Bytes {
        let mut buffer = Vec::with_capacity(256);
        buffer.resize(HEADER_ROOM, 0);
        let written = match self {
            Self::Json => serde_json::to_writer(&mut buffer, value).map_err(|error| error.to_string()),
            Self::MessagePack => {
                rmp_serde::encode::write_named(&mut buffer, value).map_err(|error| error.to_string())
            }
        };
        if let Err(error) = written {
            // Our own types can always be encoded. The only exception is a stored text that is no longer
            // JSON.
            tracing::error!(%error, "a frame could not be encoded");
            buffer.truncate(HEADER_ROOM);
        }
        seal(self.opcode(), buffer)
    }

    /// Reads a client's frame.
    ///
    /// # Errors
    /// `bad_frame` when it is not well-formed, `unknown_type`, or `invalid` naming the field, each with the
    /// request's id where one could be read.
    pub fn decode(self, payload: &[u8]) -> Result<ClientFrame, Rejected> {
        let envelope = self.envelope(payload)?;
        let id = match envelope.id {
            Some(LenientId::Good(id)) => Some(id),
            Some(LenientId::Bad) => {
                let message = format!(
                    "{}: id: must be an integer, or a string of at most 64 bytes",
                    shown_type(&envelope.frame_type)
                );
                return Err(Rejected { id: None, error: Error::new(ErrorCode::Invalid, message) });
            }
            None => None,
        };
        self.typed(&envelope.frame_type, payload).map_err(|error| Rejected { id, error })
    }

    fn envelope(self, payload: &[u8]) -> Result<Envelope<'_>, Rejected> {
        match self {
            Self::Json => {
                let text = std::str::from_utf8(payload).map_err(|_| Rejected::bad_frame("not UTF-8"))?;
                if too_deep(payload) {
                    return Err(Rejected::bad_frame("nested too deeply"));
                }
                if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
                    return Err(Rejected::bad_frame("not a JSON object"));
                }
                serde_json::from_str(text).map_err(|error| {
                    Rejected::bad_frame(if error.is_data() {
                        "a JSON object with one string field \"type\" is expected"
                    } else {
                        "not well-formed JSON"
                    })
                })
            }
            Self::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(payload);
                reader.set_max_depth(MAX_DEPTH);
                let envelope = serde::Deserialize::deserialize(&mut reader).map_err(|_| {
                    Rejected::bad_frame("a MessagePack map with one string field \"type\" is expected")
                })?;
                let rest: Result<serde::de::IgnoredAny, _> = serde::Deserialize::deserialize(&mut reader);
                // The reader does not report its position. At the end, and only there, no further marker can
                // be read.
                if is_map(payload) && matches!(rest, Err(rmp_serde::decode::Error::InvalidMarkerRead(_))) {
                    Ok(envelope)
                } else {
                    Err(Rejected::bad_frame("one MessagePack map is expected, and nothing after it"))
                }
            }
        }
    }

    fn typed(self, frame_type: &str, payload: &[u8]) -> Result<ClientFrame, Error> {
        ClientFrame::read(frame_type, &Payload { encoding: self, bytes: payload }).unwrap_or_else(|| {
            Err(Error::new(ErrorCode::UnknownType, "a frame type this server does not know"))
        })
    }

    fn parse<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, Error> {
        let parsed = match self {
            Self::Json => serde_json::from_slice(payload).ok(),
            Self::MessagePack => rmp_serde::from_slice(payload).ok(),
        };
        parsed.ok_or_else(|| self.explain::<T>(payload))
    }

    /// Reads again a frame that did not fit its type, to name the field. Only failures pay for that.
    fn explain<T: DeserializeOwned>(self, payload: &[u8]) -> Error {
        let (path, why, malformed) = match self {
            Self::Json => {
                let mut reader = serde_json::Deserializer::from_slice(payload);
                match serde_path_to_error::deserialize::<_, T>(&mut reader) {
                    Ok(_) => return Error::new(ErrorCode::BadFrame, "not well-formed JSON"),
                    Err(error) => {
                        let malformed = !error.inner().is_data();
                        (error.path().to_string(), error.inner().to_string(), malformed)
                    }
                }
            }
            Self::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(payload);
                match serde_path_to_error::deserialize::<_, T>(&mut reader) {
                    Ok(_) => return Error::new(ErrorCode::BadFrame, "not well-formed MessagePack"),
                    Err(error) => (error.path().to_string(), error.inner().to_string(), false),
                }
            }
        };
        if malformed {
            return Error::new(ErrorCode::BadFrame, "not well-formed JSON");
        }
        let why = why.split(" at line ").next().unwrap_or_default();
        let message = if path == "." { why.to_owned() } else { format!("{path}: {why}") };
        Error::new(ErrorCode::Invalid, message)
    }
}

/// A frame's type as an error repeats it, so that the client knows which of its frames is meant.
fn shown_type(frame_type: &str) -> &str {
    const MOST_BYTES: usize = 32;
    let plain = frame_type.len() <= MOST_BYTES && frame_type.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { frame_type } else { "a frame" }
}

/// Whether JSON text nests deeper than [`MAX_DEPTH`]; brackets inside strings do not count. Parsers that skip
/// unknown fields do not check it, but clients with other parsers read what is stored.
fn too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether a MessagePack value begins as a map: a struct would also be read from an array, which v1 does not
/// allow.
fn is_map(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(0x80..=0x8f | 0xde | 0xdf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(payload: &str) -> (Option<RequestId>, ErrorCode) {
        let rejected = Encoding::Json.decode(payload.as_bytes()).expect_err(payload);
        (rejected.id, rejected.error.code)
    }

    #[test]
    fn errors_repeat_the_request_id_and_name_the_field() {
        let (id, code) = rejected(r#"{"type":"edit","id":7,"conversation":"c_x","seq":1,"body":"b"}"#);
        assert_eq!((id, code), (Some(RequestId::Number(7)), ErrorCode::Invalid));
        let rejected =
            Encoding::Json.decode(br#"{"type":"typing","id":"a","on":1}"#).expect_err("wrong type");
        assert_eq!(rejected.id, Some(RequestId::Text("a".to_owned())));
        assert!(rejected.error.message.starts_with("on: "), "{}", rejected.error.message);
    }

    #[test]
    fn malformed_frames_are_told_apart_from_wrong_fields() {
        for (payload, code) in [
            ("", ErrorCode::BadFrame),
            ("[]", ErrorCode::BadFrame),
            ("{\"type\":1}", ErrorCode::BadFrame),
            ("{\"type\":\"ping\"} x", ErrorCode::BadFrame),
            ("{\"type\":\"ping\",\"type\":\"ping\"}", ErrorCode::BadFrame),
            ("{\"type\":\"edit\",\"id\":1,\"body\":\"\\ud800\"}", ErrorCode::BadFrame),
            ("{\"type\":\"fly\",\"id\":1}", ErrorCode::UnknownType),
            ("{\"type\":\"ping\",\"id\":[1]}", ErrorCode::Invalid),
            ("{\"type\":\"ping\",\"id\":1.5}", ErrorCode::Invalid),
        ] {
            assert_eq!(rejected(payload).1, code, "{payload}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_in_both_encodings() {
        let deep = format!("{{\"type\":\"ping\",\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(rejected(&deep).1, ErrorCode::BadFrame);
        let mut packed = vec![0x82, 0xa4];
        packed.extend_from_slice(b"type\xa4ping\xa1x");
        packed.extend(std::iter::repeat_n(0x91, 10_000));
        packed.push(0xc0);
        let rejected = Encoding::MessagePack.decode(&packed).expect_err("deep");
        assert_eq!(rejected.error.code, ErrorCode::BadFrame);
    }

    #[test]
    fn the_same_frame_reads_alike_in_both_encodings() {
        let value = serde_json::json!({
            "type": "send", "id": "1", "to": "u_0197f3c0111172228333444455556666",
            "client_id": "0197f3c0-1111-7222-8333-444455556666", "body": "hi", "data": {"a": [1, 2.5, null]}, "new_field": 1
        });
        let packed = rmp_serde::to_vec_named(&value).expect("packs");
        let from_json = Encoding::Json.decode(value.to_string().as_bytes());
        let from_packed = Encoding::MessagePack.decode(&packed);
        assert_eq!(format!("{from_json:?}"), format!("{from_packed:?}"));
        assert!(matches!(from_json, Ok(ClientFrame::Send(_))));
    }
}
