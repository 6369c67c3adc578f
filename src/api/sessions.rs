//! The caller's sign-ins.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Caller, Segments};
use super::resource::calls;
use super::{ApiState, Problem};
use crate::domain::{FamilyId, Timestamp};
use crate::store::SignInView;

calls! {
    "/v1/me/sessions" => [get(list), delete(end_others)],
    "/v1/me/sessions/{session}" => [delete(end)],
}

/// A sign-in that has not ended.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionBody {
    session: FamilyId,
    /// What the device called itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_name: Option<String>,
    created_at: Timestamp,
    /// When it was refreshed last.
    last_used_at: Timestamp,
    /// The network from which that was: the /24 of the address, or the /48 for IPv6.
    network: String,
    /// Whether it is the sign-in of this call.
    current: bool,
}

impl SessionBody {
    fn new(view: SignInView, own: Option<FamilyId>) -> Self {
        let SignInView { id, device_name, network, created_at, used_at } = view;
        Self {
            session: id,
            device_name,
            created_at,
            last_used_at: used_at,
            network: network.as_str().to_owned(),
            current: own == Some(id),
        }
    }
}

/// All sign-ins.
#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
pub struct SessionsBody {
    sessions: Vec<SessionBody>,
}

/// The sign-ins that have not ended, at most 100, the one that was used last first.
#[utoipa::path(get, path = "/v1/me/sessions", tag = "sessions", responses((status = 200, body = SessionsBody)))]
pub async fn list(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let sign_ins = state.identity.sign_ins(&caller.0).await?;
    let sessions = sign_ins.into_iter().map(|view| SessionBody::new(view, caller.0.family)).collect();
    Ok(HttpResponse::Ok().json(SessionsBody { sessions }))
}

/// Ends one sign-in. Its connections close with 4401, and no process takes its tokens, within a second.
#[utoipa::path(delete, path = "/v1/me/sessions/{session}", tag = "sessions", params(("session" = FamilyId, Path)),
    responses((status = 204)))]
pub async fn end(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    state.identity.end_sign_in(&caller.0, path.session()?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends all sign-ins but that of this call.
#[utoipa::path(delete, path = "/v1/me/sessions", tag = "sessions", responses((status = 204)))]
pub async fn end_others(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    state.identity.end_others(&caller.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
