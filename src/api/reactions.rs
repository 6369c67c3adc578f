//! Reactions.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::extract::{Caller, Segments};
use super::messages::change;
use super::resource::calls;
use super::views::PlaceBody;
use super::{ApiState, Problem};
use crate::domain::{ConversationId, Seq};
use crate::store::Change;

calls! {
    "/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}" => [put(add), delete(remove)],
}

/// Reacts to a message.
#[utoipa::path(put, path = "/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}", tag = "reactions",
    params(("conversation" = ConversationId, Path), ("seq" = Seq, Path), ("emoji" = String, Path)),
    responses((status = 200, body = PlaceBody)))]
pub async fn add(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    let reaction = Change::React { target: path.seq()?, emoji: path.emoji()?, on: true };
    change(&state, caller.user(), &path, reaction).await
}

/// Takes a reaction back.
#[utoipa::path(delete, path = "/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}", tag = "reactions",
    params(("conversation" = ConversationId, Path), ("seq" = Seq, Path), ("emoji" = String, Path)),
    responses((status = 200, body = PlaceBody)))]
pub async fn remove(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    let reaction = Change::React { target: path.seq()?, emoji: path.emoji()?, on: false };
    change(&state, caller.user(), &path, reaction).await
}
