//! One's own account.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::extract::{Body, Caller, OptionalBody};
use super::resource::calls;
use super::views::UserBody;
use super::{ApiState, Problem};
use crate::actors::exports::Export;
use crate::domain::Refusal;
use crate::identity::Claims;
use crate::protocol::checks;

calls! {
    "/v1/me" => [get(show), patch(change), delete(erase)],
    "/v1/me/claim" => [post(claim)],
    "/v1/me/export" => [get(export)],
}

/// Records read from the store for one piece of an export. A message has some 65 KB of JSON at most with the
/// default limits, so a piece has at most 2 MB.
const EXPORT_STEP: usize = 32;

/// What to change; absent fields stay.
#[derive(Deserialize, ToSchema)]
pub struct ChangeMe {
    display_name: Option<String>,
    /// A new password; other sign-ins end.
    #[schema(format = Password)]
    password: Option<String>,
    /// Needed with `password`.
    #[schema(format = Password)]
    current_password: Option<String>,
}

/// Who has a password gives it.
#[derive(Default, Deserialize, ToSchema)]
pub struct EraseMe {
    #[schema(format = Password)]
    password: Option<String>,
}

/// What a guest becomes.
#[derive(Deserialize, ToSchema)]
pub struct Claim {
    username: String,
    #[schema(format = Password)]
    password: String,
}

/// One's own profile.
#[utoipa::path(get, path = "/v1/me", tag = "me", responses((status = 200, body = UserBody)))]
pub async fn show(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let user = state.node.read(state.node.store().user(caller.user())).await?;
    Ok(HttpResponse::Ok().json(UserBody::from(user.ok_or(Refusal::NotFound)?)))
}

/// Changes the name shown, the password, or both.
#[utoipa::path(patch, path = "/v1/me", tag = "me", request_body = ChangeMe, responses((status = 200, body = UserBody)))]
pub async fn change(
    state: Data<ApiState>,
    caller: Caller,
    Body(body): Body<ChangeMe>,
) -> Result<HttpResponse, Problem> {
    let name = body.display_name.as_deref().map(checks::display_name).transpose()?;
    if let Some(password) = body.password {
        state.identity.change_password(&caller.0, body.current_password, password).await?;
    }
    if let Some(name) = name {
        state.node.write(state.node.store().rename(caller.user(), &name)).await??;
    }
    show(state, caller).await
}

/// Erases the account, for good. With the answer the account is gone and its tokens are revoked; what it said
/// goes after that.
#[utoipa::path(delete, path = "/v1/me", tag = "me", request_body = Option<EraseMe>, responses((status = 202)))]
pub async fn erase(
    state: Data<ApiState>,
    caller: Caller,
    OptionalBody(body): OptionalBody<EraseMe>,
) -> Result<HttpResponse, Problem> {
    let user = caller.user();
    state.identity.erase(user, body.password, state.node.erase(user)).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Gives a guest a name and password. Its other sign-ins end.
#[utoipa::path(post, path = "/v1/me/claim", tag = "me", request_body = Claim, responses((status = 200, body = UserBody)))]
pub async fn claim(
    state: Data<ApiState>,
    caller: Caller,
    Body(body): Body<Claim>,
) -> Result<HttpResponse, Problem> {
    let user = state.identity.claim(&caller.0, &body.username, body.password).await?;
    Ok(HttpResponse::Ok().json(UserBody::from(user)))
}

/// Everything kept about the caller, one JSON object per line. Without the line `{"type":"end", …}` at its
/// end it is not complete. A caller has `limits.exports_per_user` at once.
#[utoipa::path(get, path = "/v1/me/export", tag = "me",
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
pub async fn export(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let state = state.into_inner();
    let export = state.exports.begin(caller.user())?;
    let lines = export_lines(state, caller.0, export);
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(lines))
}

enum ExportStep {
    Next { after: Option<String>, records: u64 },
    Done,
}

/// Reads a step when the last one was sent: a slow reader costs no memory. A reader may take hours over it,
/// so the token is asked about before each step; when it has ended, the export breaks off without its last
/// line.
fn export_lines(
    state: Arc<ApiState>,
    claims: Claims,
    export: Export,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let begin = ExportStep::Next { after: None, records: 0 };
    stream::try_unfold((state, export, begin), move |(state, export, step)| async move {
        let ExportStep::Next { after, records } = step else { return Ok(None) };
        state.identity.recheck(&claims)?;
        let reading = state.node.budget().large_read().await?;
        let (lines, next) =
            state.node.read(state.node.store().export(claims.user, after, EXPORT_STEP)).await?;
        let records = records + lines.len() as u64;
        let mut text = lines.into_iter().fold(String::new(), |text, line| text + &line + "\n");
        drop(reading);
        let step = match next {
            Some(after) => ExportStep::Next { after: Some(after), records },
            None => {
                text.push_str(&json!({ "type": "end", "records": records }).to_string());
                text.push('\n');
                ExportStep::Done
            }
        };
        Ok(Some((Bytes::from(text), (state, export, step))))
    })
}
