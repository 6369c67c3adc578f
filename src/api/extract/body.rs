//! JSON bodies: bounded in size and time. A malformed body is answered with 400, a wrong field with 422.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::api::{ApiState, Problem};
use crate::domain::Refusal;

/// The timeout for the whole body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON object, required.
pub struct Body<T>(pub T);

/// A JSON object. An empty body counts as one without fields.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            is_json(&request)?;
            parse(&read(&request, payload).await?).map(Self)
        })
    }
}

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let bytes = read(&request, payload).await?;
            if bytes.is_empty() {
                return Ok(Self(T::default()));
            }
            is_json(&request)?;
            parse(&bytes).map(Self)
        })
    }
}

fn is_json(request: &HttpRequest) -> Result<(), Problem> {
    let text = |name| request.headers().get(name).map_or(Ok(""), |value| value.to_str());
    let (Ok(kind), Ok(encoding)) = (text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING)) else {
        return Err(Problem::unsupported_media_type());
    };
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let parameters = parameters.trim();
    let utf8 = parameters.is_empty()
        || parameters.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset")
                && value.trim_matches([' ', '"']).eq_ignore_ascii_case("utf-8")
        });
    let plain = encoding.is_empty() || encoding.eq_ignore_ascii_case("identity");
    if essence.trim().eq_ignore_ascii_case("application/json") && utf8 && plain {
        Ok(())
    } else {
        Err(Problem::unsupported_media_type())
    }
}

async fn read(request: &HttpRequest, mut payload: Payload) -> Result<BytesMut, Problem> {
    let limit =
        request.app_data::<web::Data<ApiState>>().ok_or_else(Problem::internal)?.node.limits().frame_bytes;
    let too_large = || Problem::from(Refusal::TooLarge("the body is over limits.frame_bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|len| len > limit as u64) {
        return Err(too_large());
    }
    let whole = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::bad_frame("the body broke off"))?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(READ_TIMEOUT, whole).await.unwrap_or_else(|_| Err(Problem::too_slow()))
}

/// Reads a JSON object into `T`.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // The parser does not look into skipped fields.
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::bad_frame("the body is not UTF-8"))?;
    // Serde would also read a struct from a list, field by field.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Problem::bad_frame("the body must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize::<_, T>(&mut reader).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.inner());
        if !inner.is_data() {
            return Problem::bad_frame("the body is not well-formed JSON");
        }
        let why = inner.to_string();
        let why = without_value(why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why));
        Problem::invalid(if path == "." { why } else { format!("{path}: {why}") })
    });
    // A malformed part later in the body comes before a wrong field earlier in it.
    if parsed.is_err() && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return Err(Problem::bad_frame("the body is not well-formed JSON"));
    }
    let parsed = parsed?;
    reader.end().map_err(|_| Problem::bad_frame("the body is one JSON object, and nothing after it"))?;
    Ok(parsed)
}

/// Removes from serde's text the value that was given: it may be a password, and refusals are logged.
///
/// Serde says `invalid type: string "…", expected …` and ``unknown variant `…`, expected …``; what is
/// expected comes last, so nothing in a value can pass for it.
fn without_value(why: &str) -> String {
    let given =
        ["invalid type: ", "invalid value: ", "unknown variant "].iter().any(|head| why.starts_with(head));
    match why.rsplit_once(", expected ") {
        Some((before, expected)) if given => {
            let kind = before.split(['`', '"']).next().unwrap_or_default().trim_end();
            format!("{kind}, expected {expected}")
        }
        _ => why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::protocol::ErrorCode;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(rename = "name")]
        _name: String,
        #[serde(default, rename = "list")]
        _list: Vec<u8>,
    }

    fn problem(text: &str) -> (ErrorCode, String) {
        let problem = parse::<Sample>(text.as_bytes()).expect_err(text);
        (problem.code(), problem.to_string())
    }

    #[test]
    fn a_value_that_was_given_is_not_repeated() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Kind {
            One,
        }
        #[derive(Debug, Deserialize)]
        struct Secret {
            #[serde(rename = "password")]
            _password: Option<String>,
            #[serde(rename = "number")]
            _number: Option<u8>,
            #[serde(rename = "kind")]
            _kind: Option<Kind>,
        }
        for (body, why) in [
            (r#"{"password":123456789}"#, "password: invalid type: integer, expected a string"),
            (r#"{"password":-1234567.89}"#, "password: invalid type: floating point, expected a string"),
            (r#"{"password":["123456789"]}"#, "password: invalid type: sequence, expected a string"),
            (
                r#"{"number":"123456789 at line 1, expected `x`"}"#,
                "number: invalid type: string, expected u8",
            ),
            (r#"{"number":123456789}"#, "number: invalid value: integer, expected u8"),
            (r#"{"kind":"123456789"}"#, "kind: unknown variant, expected `one`"),
        ] {
            let problem = parse::<Secret>(body.as_bytes()).expect_err(body);
            assert_eq!(problem.to_string(), why, "{body}");
        }
    }

    #[test]
    fn malformed_bodies_are_told_apart_from_wrong_fields() {
        for text in [
            "",
            "[\"a\"]",
            "7",
            "{\"name\":\"a\"",
            "{\"name\":\"a\"} {}",
            "{\"name\":7",
            "{\"name\":\"\\ud800\"}",
        ] {
            assert_eq!(problem(text).0, ErrorCode::BadFrame, "{text}");
        }
        assert_eq!(problem("{}"), (ErrorCode::Invalid, "missing field `name`".into()));
        let (code, text) = problem(r#"{"name":"a","list":[1,"x"]}"#);
        assert_eq!(code, ErrorCode::Invalid);
        assert!(text.starts_with("list[1]: invalid type"), "{text}");
        assert!(
            parse::<Sample>(br#" {"name":"a","other":{"deep":[1]}} "#).is_ok(),
            "unknown fields are ignored"
        );
    }
}
