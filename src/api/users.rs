//! Other users.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::extract::{Caller, Query, Segments};
use super::resource::calls;
use super::views::{UserBody, UsersBody};
use super::{ApiState, Problem};
use crate::domain::{Refusal, UserId, Username};

calls! {
    "/v1/users" => [get(search)],
    "/v1/users/{user}" => [get(show)],
}

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 50;

/// A user's profile.
#[utoipa::path(get, path = "/v1/users/{user}", tag = "users", params(("user" = UserId, Path)),
    responses((status = 200, body = UserBody)))]
pub async fn show(state: Data<ApiState>, _caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    let user = state.node.read(state.node.store().user(path.user()?)).await?;
    Ok(HttpResponse::Ok().json(UserBody::from(user.ok_or(Refusal::NotFound)?)))
}

/// Users whose username begins with `prefix`, by username.
#[utoipa::path(get, path = "/v1/users", tag = "users",
    params(("prefix" = String, Query, min_length = 1, max_length = 32), ("limit" = Option<u64>, Query, minimum = 1)),
    responses((status = 200, body = UsersBody)))]
pub async fn search(state: Data<ApiState>, _caller: Caller, query: Query) -> Result<HttpResponse, Problem> {
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let prefix = query.text("prefix").ok_or_else(|| Problem::invalid("prefix: missing"))?;
    // The prefix with one more letter must be a valid username, so a prefix follows the rules of names.
    let padded = Username::parse(&format!("{prefix}a")).ok().filter(|_| !prefix.is_empty());
    let padded = padded.or_else(|| Username::parse(prefix).ok());
    let Some(checked) = padded else {
        return Err(Problem::invalid("prefix: not the beginning of a username"));
    };
    let prefix = checked.as_str().get(..prefix.len()).unwrap_or_default();
    let users = state.node.read(state.node.store().users_by_prefix(prefix, limit)).await?;
    Ok(HttpResponse::Ok().json(UsersBody { users: users.into_iter().map(UserBody::from).collect() }))
}
