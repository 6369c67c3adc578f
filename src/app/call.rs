//! A call to a running process on this machine, or to one whose internal address is a TCP port.

use std::time::Duration;

use reqwest::{Client, Method};
use secrecy::ExposeSecret;
use serde::Deserialize;
use thiserror::Error;

use super::internal::{InternalAddress, InternalError, SocketPath, token};
use crate::api::admin::OPERATOR_HEADER;
use crate::config::Settings;

/// How long the process may take for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer; the text says what to do.
#[derive(Debug, Error)]
pub enum CallError {
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] InternalError),
    /// Nobody answers there.
    #[error(
        "no server answers at {address}: {why}; name the data folder or the configuration of a running one (--data-dir, --config)"
    )]
    Away {
        /// The address that was asked.
        address: String,
        /// The error.
        why: String,
    },
    /// It refuses.
    #[error("the server at {address} answered {status}: {text}")]
    Refused {
        /// The address that was asked.
        address: String,
        /// The HTTP status.
        status: u16,
        /// Its answer.
        text: String,
    },
}

/// The answer to a call.
#[derive(Debug)]
pub struct Answer {
    /// Its body.
    pub text: String,
    /// Where the next part begins, for what comes in parts.
    pub next: Option<String>,
}

/// The part of a problem document that people read.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Calls the internal address of the process that these settings describe. `operator`: who does it, for calls
/// that the audit log names.
///
/// # Errors
/// [`CallError`].
pub async fn call(
    settings: &Settings,
    method: Method,
    path: &str,
    query: &[(&str, String)],
    operator: Option<&str>,
) -> Result<Answer, CallError> {
    let address = InternalAddress::of(settings);
    let away = |why: String| CallError::Away { address: address.to_string(), why };
    let path = match url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish() {
        none if none.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    let request = |client: Client, base: String| {
        let request = client.request(method.clone(), format!("{base}{path}"));
        operator.iter().fold(request, |request, name| request.header(OPERATOR_HEADER, *name))
    };
    let client = Client::builder().timeout(PATIENCE).no_proxy();
    let asked = match &address {
        InternalAddress::Socket(socket) => {
            let named = SocketPath::of(socket).map_err(|error| away(error.to_string()))?;
            let client = client.unix_socket(named.path.as_path()).build();
            let client = client.map_err(|error| away(error.to_string()))?;
            // The path is good as long as this lives.
            let answer = request(client, "http://internal".to_owned()).send().await;
            drop(named);
            answer
        }
        InternalAddress::Tcp(tcp) => {
            let client = client.build().map_err(|error| away(error.to_string()))?;
            let token = token(settings)?;
            request(client, format!("http://{tcp}")).bearer_auth(token.expose_secret()).send().await
        }
    };
    let answer = asked.map_err(|error| away(causes(&error)))?;
    let status = answer.status();
    let next = answer.headers().get("x-next").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = answer.text().await.map_err(|error| away(causes(&error)))?;
    if status.is_success() {
        return Ok(Answer { text, next });
    }
    let text = match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => problem.detail,
        Err(_) => text.trim().to_owned(),
    };
    Err(CallError::Refused { address: address.to_string(), status: status.as_u16(), text })
}

/// The last of an error's causes says most.
fn causes(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
