//! Invitations to groups and channels that wait for the caller.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Caller, Segments};
use super::resource::calls;
use super::views::UserBody;
use super::{ApiState, Problem};
use crate::domain::{ConversationId, ConversationKind, Timestamp};
use crate::store::InvitationView;

calls! {
    "/v1/me/invitations" => [get(list)],
    "/v1/me/invitations/{conversation}" => [delete(decline)],
}

/// An invitation, with as much of the conversation as its user sees before accepting.
#[derive(Serialize, ToSchema)]
#[schema(as = Invitation)]
pub struct InvitationBody {
    conversation: ConversationId,
    kind: ConversationKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    member_count: u64,
    invited_by: UserBody,
    invited_at: Timestamp,
    /// Until when it waits.
    until: Timestamp,
}

impl From<InvitationView> for InvitationBody {
    fn from(view: InvitationView) -> Self {
        let InvitationView { conversation, by, at, until } = view;
        Self {
            conversation: conversation.id,
            kind: conversation.id.kind(),
            name: conversation.name,
            topic: conversation.topic,
            member_count: conversation.member_count,
            invited_by: by.into(),
            invited_at: at,
            until,
        }
    }
}

/// All invitations that wait.
#[derive(Serialize, ToSchema)]
#[schema(as = Invitations)]
pub struct InvitationsBody {
    invitations: Vec<InvitationBody>,
}

/// Invitations that wait for the caller, the oldest first. To accept one, join the conversation.
#[utoipa::path(get, path = "/v1/me/invitations", tag = "me", responses((status = 200, body = InvitationsBody)))]
pub async fn list(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let now = state.node.environment().now();
    let found = state.node.read(state.node.store().invitations(caller.user(), now)).await?;
    let invitations = found.into_iter().map(InvitationBody::from).collect();
    Ok(HttpResponse::Ok().json(InvitationsBody { invitations }))
}

/// Declines an invitation. Who invited is not told.
#[utoipa::path(delete, path = "/v1/me/invitations/{conversation}", tag = "me",
    params(("conversation" = ConversationId, Path)), responses((status = 204)))]
pub async fn decline(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    state.node.decline(caller.user(), path.conversation()?).await?;
    Ok(HttpResponse::NoContent().finish())
}
