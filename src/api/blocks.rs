//! Whom the caller has blocked.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::extract::{Caller, Segments};
use super::resource::calls;
use super::views::UserIdsBody;
use super::{ApiState, Problem};
use crate::domain::{Refusal, UserId};

calls! {
    "/v1/blocks" => [get(list)],
    "/v1/blocks/{user}" => [get(show), put(add), delete(remove)],
}

/// Everyone blocked.
#[utoipa::path(get, path = "/v1/blocks", tag = "blocks", responses((status = 200, body = UserIdsBody)))]
pub async fn list(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let users = state.node.read(state.node.store().blocks(caller.user())).await?;
    Ok(HttpResponse::Ok().json(UserIdsBody { users }))
}

/// Whether a user is blocked: 404 when not.
#[utoipa::path(get, path = "/v1/blocks/{user}", tag = "blocks", params(("user" = UserId, Path)),
    responses((status = 204)))]
pub async fn show(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    let (user, blocks) = (path.user()?, state.node.read(state.node.store().blocks(caller.user())).await?);
    if blocks.contains(&user) {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(Refusal::NotFound.into())
    }
}

/// Blocks a user: neither can write to or invite the other, or is sent the other's typing, receipts and
/// presence.
#[utoipa::path(put, path = "/v1/blocks/{user}", tag = "blocks", params(("user" = UserId, Path)),
    responses((status = 204)))]
pub async fn add(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    set(&state, caller.user(), path.user()?, true).await
}

/// Unblocks a user.
#[utoipa::path(delete, path = "/v1/blocks/{user}", tag = "blocks", params(("user" = UserId, Path)),
    responses((status = 204)))]
pub async fn remove(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    set(&state, caller.user(), path.user()?, false).await
}

async fn set(state: &ApiState, user: UserId, other: UserId, blocked: bool) -> Result<HttpResponse, Problem> {
    state.node.block(user, other, blocked).await?;
    Ok(HttpResponse::NoContent().finish())
}
