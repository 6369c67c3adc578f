//! Read positions.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{Body, Caller, Segments};
use super::resource::calls;
use super::{ApiState, Problem};
use crate::domain::{ConversationId, Refusal, Seq};
use crate::store::Receipt;

calls! { "/v1/conversations/{conversation}/read" => [put(mark)] }

/// Up to where.
#[derive(Deserialize, ToSchema)]
pub struct ReadUpTo {
    seq: Seq,
}

/// Moves the caller's read position forward; never back, never past the newest event.
#[utoipa::path(put, path = "/v1/conversations/{conversation}/read", tag = "conversations",
    params(("conversation" = ConversationId, Path)), request_body = ReadUpTo, responses((status = 204)))]
pub async fn mark(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    Body(body): Body<ReadUpTo>,
) -> Result<HttpResponse, Problem> {
    let (user, conversation) = (caller.user(), path.conversation()?);
    // The store drops receipts of users who are not members silently. Here the caller gets an error.
    let member = state.node.read(state.node.store().member(conversation, user)).await?;
    member.ok_or(Refusal::NotFound)?;
    state.node.move_receipt(Receipt { user, conversation, delivered: None, read: Some(body.seq) }).await?;
    Ok(HttpResponse::NoContent().finish())
}
