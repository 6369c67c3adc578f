//! What the caller lets others do without being asked, and the caller's contacts.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, Caller, Segments};
use super::resource::calls;
use super::views::UserIdsBody;
use super::{ApiState, Problem};
use crate::domain::{Openness, Privacy, PrivacyChange, UserId};

calls! {
    "/v1/me/privacy" => [get(show), patch(change)],
    "/v1/contacts" => [get(contacts)],
    "/v1/contacts/{user}" => [put(add), delete(remove)],
}

/// What a user lets others do without being asked.
#[derive(Serialize, ToSchema)]
#[schema(as = Privacy)]
pub struct PrivacyBody {
    /// Who may write to the user first.
    messages: Openness,
    /// Who may add the user to groups and channels.
    groups: Openness,
    /// Who of those who share a conversation with the user sees the user's presence.
    presence: Openness,
}

impl From<Privacy> for PrivacyBody {
    fn from(privacy: Privacy) -> Self {
        let Privacy { messages, groups, presence } = privacy;
        Self { messages, groups, presence }
    }
}

/// What to change of it; absent fields stay.
#[derive(Deserialize, ToSchema)]
pub struct ChangePrivacy {
    messages: Option<Openness>,
    groups: Option<Openness>,
    presence: Option<Openness>,
}

/// What the caller lets others do. Where the caller has chosen nothing, it is what the installation has
/// chosen.
#[utoipa::path(get, path = "/v1/me/privacy", tag = "privacy", responses((status = 200, body = PrivacyBody)))]
pub async fn show(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let privacy = state.node.read(state.node.store().privacy(caller.user())).await?;
    Ok(HttpResponse::Ok().json(PrivacyBody::from(privacy)))
}

/// Changes it.
#[utoipa::path(patch, path = "/v1/me/privacy", tag = "privacy", request_body = ChangePrivacy,
    responses((status = 200, body = PrivacyBody)))]
pub async fn change(
    state: Data<ApiState>,
    caller: Caller,
    Body(body): Body<ChangePrivacy>,
) -> Result<HttpResponse, Problem> {
    let ChangePrivacy { messages, groups, presence } = body;
    let change = PrivacyChange { messages, groups, presence };
    let privacy = state.node.set_privacy(caller.user(), change).await?;
    Ok(HttpResponse::Ok().json(PrivacyBody::from(privacy)))
}

/// The caller's contacts: those whom the caller has written to or accepted.
#[utoipa::path(get, path = "/v1/contacts", tag = "contacts", responses((status = 200, body = UserIdsBody)))]
pub async fn contacts(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let users = state.node.read(state.node.store().contacts(caller.user())).await?;
    Ok(HttpResponse::Ok().json(UserIdsBody { users }))
}

/// Accepts a user as a contact.
#[utoipa::path(put, path = "/v1/contacts/{user}", tag = "contacts", params(("user" = UserId, Path)),
    responses((status = 204)))]
pub async fn add(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    set(&state, caller.user(), path.user()?, true).await
}

/// Removes a contact.
#[utoipa::path(delete, path = "/v1/contacts/{user}", tag = "contacts", params(("user" = UserId, Path)),
    responses((status = 204)))]
pub async fn remove(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    set(&state, caller.user(), path.user()?, false).await
}

async fn set(state: &ApiState, user: UserId, other: UserId, on: bool) -> Result<HttpResponse, Problem> {
    state.node.set_contact(user, other, on).await?;
    Ok(HttpResponse::NoContent().finish())
}
