//! A file that is served as it is: its type, its name for caches, its policy, its bytes, plain and
//! compressed.

use std::borrow::Cow;

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::Problem;

/// The answer of one path.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The media type.
    pub kind: Cow<'static, str>,
    /// Names the content.
    etag: String,
    /// The permissions of the page.
    policy: Cow<'static, str>,
    /// For how long it may be kept.
    kept: &'static str,
    /// The content.
    pub body: Bytes,
    /// The same compressed.
    gzip: Option<Bytes>,
}

/// A browser asks each time and usually gets "not modified": the content of this name may change.
const ASKED_FOR: &str = "no-cache";
/// The name is the content's.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

impl Asset {
    /// A file with its SHA-256.
    pub fn new(
        kind: impl Into<Cow<'static, str>>,
        policy: impl Into<Cow<'static, str>>,
        hash: impl AsRef<[u8]>,
        body: impl Into<Bytes>,
    ) -> Self {
        let (kind, policy) = (kind.into(), policy.into());
        let etag = URL_SAFE_NO_PAD.encode(hash);
        Self { kind, etag, policy, kept: ASKED_FOR, body: body.into(), gzip: None }
    }

    /// The same with its content compressed, for those who take that.
    pub fn compressed(self, gzip: Option<Bytes>) -> Self {
        Self { gzip, ..self }
    }

    /// The same under a name that no other content will have.
    pub fn kept_for_good(self) -> Self {
        Self { kept: FOR_GOOD, ..self }
    }

    /// Answers a request for it, with "not modified" when the client has it.
    ///
    /// # Errors
    /// 405 when it is asked for anything but reading.
    pub fn answer(self, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::method_not_allowed(&[Method::GET, Method::HEAD]));
        }
        let (body, coding) = match self.gzip {
            Some(gzip) if takes_gzip(request.headers()) => (gzip, Some("gzip")),
            _ => (self.body, None),
        };
        // The two forms have different tags too.
        let etag = format!("\"{}{}\"", self.etag, coding.map_or("", |_| "-gzip"));
        let known = matches(request, &etag);
        let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header((header::CACHE_CONTROL, self.kept))
            .insert_header((header::ETAG, etag))
            .insert_header((header::VARY, "accept-encoding"))
            .insert_header((header::CONTENT_SECURITY_POLICY, self.policy.as_ref()));
        if known {
            return Ok(response.finish());
        }
        if let Some(coding) = coding {
            response.insert_header((header::CONTENT_ENCODING, coding));
        }
        Ok(response.content_type(self.kind.as_ref()).body(body))
    }
}

/// Whether `Accept-Encoding` names gzip, or everything, without refusing it (RFC 9110 section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    let (mut named, mut any) = (None, None);
    for one in given.flat_map(|list| list.split(',')) {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().trim_start_matches(['q', 'Q']).trim_start_matches('=');
        let taken = weight.is_empty() || weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => named = Some(taken),
            "*" => any = Some(taken),
            _ => {}
        }
    }
    named.or(any).unwrap_or(false)
}

fn matches(request: &HttpRequest, etag: &str) -> bool {
    let given = request.headers().get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
    let given = std::str::from_utf8(given).unwrap_or_default();
    given.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == etag || one == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (given, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.2", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("gzip; q=0.0", false),
            ("identity, *;q=0", false),
            ("br", false),
            ("", false),
            ("gzip;q=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(given));
            assert_eq!(takes_gzip(&headers), takes, "{given}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
