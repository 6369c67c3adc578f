//! What a client needs to know of the server before anybody has signed in.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use super::resource::calls;
use super::schemas::LimitsDoc;
use crate::config::{AuthSettings, SignUps};
use crate::domain::{ConversationId, SHOWN_NAME_CHARS, TOPIC_CHARS, Username};
use crate::identity::MAX_PASSWORD_BYTES;
use crate::protocol::server::LimitsView;

calls! { "/v1/server" => [get(show)] }

/// The server, its rules and its limits.
#[derive(Serialize, ToSchema)]
#[schema(as = Server)]
pub struct ServerBody {
    name: String,
    /// Of the software.
    version: &'static str,
    sign_ups: SignUpPolicy,
    password: PasswordRule,
    username: UsernameRule,
    display_name: ShownTextRule,
    /// Of a conversation; it may be empty.
    topic: ShownTextRule,
    /// `open`: signed-in users find people by the beginning of a name. `closed`: only by a whole username,
    /// and no channel is listed.
    directory: &'static str,
    /// The open channel that newcomers are shown first; null when there is none.
    default_conversation: Option<ConversationId>,
    /// The same as `welcome.limits`.
    #[schema(value_type = LimitsDoc)]
    limits: LimitsView,
}

/// Who may sign up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SignUpPolicy {
    /// Anybody, as a guest or by name.
    Open,
    /// Guests only; they may not claim a name.
    Guests,
    /// Nobody may sign up.
    Closed,
    /// Nobody here: users come with tokens of another issuer.
    External,
}

/// What a password must be.
#[derive(Serialize, ToSchema)]
struct PasswordRule {
    min_bytes: usize,
    max_bytes: usize,
}

/// What a username must be.
#[derive(Serialize, ToSchema)]
struct UsernameRule {
    min_chars: usize,
    max_chars: usize,
    /// A regular expression of JavaScript for the whole name in small letters.
    pattern: &'static str,
}

/// What a text that is shown must be.
#[derive(Serialize, ToSchema)]
struct ShownTextRule {
    max_chars: usize,
}

impl SignUpPolicy {
    fn of(auth: &AuthSettings) -> Self {
        match (auth.sign_ups, auth.external()) {
            (SignUps::Open, _) => Self::Open,
            (SignUps::Guests, _) => Self::Guests,
            (SignUps::Closed, Some(_)) => Self::External,
            (SignUps::Closed, None) => Self::Closed,
        }
    }
}

/// The server's name, version, rules and limits, and the channel to begin in. Needs no token.
#[utoipa::path(get, path = "/v1/server", tag = "server", security(()), responses((status = 200, body = ServerBody)))]
pub async fn show(state: Data<ApiState>) -> HttpResponse {
    let default_conversation = state.default_conversation.find(&state.node).await;
    let auth = &state.identity.options().auth;
    let body = ServerBody {
        name: state.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        sign_ups: SignUpPolicy::of(auth),
        password: PasswordRule { min_bytes: auth.password_min_bytes, max_bytes: MAX_PASSWORD_BYTES },
        username: UsernameRule {
            min_chars: Username::MIN_CHARS,
            max_chars: Username::MAX_CHARS,
            pattern: Username::PATTERN,
        },
        display_name: ShownTextRule { max_chars: SHOWN_NAME_CHARS },
        topic: ShownTextRule { max_chars: TOPIC_CHARS },
        directory: state.directory.as_str(),
        default_conversation,
        limits: LimitsView::from(state.node.limits()),
    };
    // Where there is to be a channel, the first account makes it: that there is none holds for the moment
    // only.
    let settled = default_conversation.is_some() || !state.default_conversation.is_wanted();
    let kept = if settled { "public, max-age=60" } else { "no-cache" };
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, kept)).json(body)
}
