//! Signing in and out.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::ToSchema;

use super::accounts::answer;
use super::extract::{Address, Body, Caller, Query};
use super::resource::calls;
use super::views::SignedInBody;
use super::{ApiState, Problem};
use crate::identity::Visitor;

calls! {
    "/v1/tokens" => [post(sign_in), delete(sign_out)],
    "/v1/tokens/refresh" => [post(refresh)],
}

/// Name and password.
#[derive(Deserialize, ToSchema)]
pub struct SignIn {
    username: String,
    #[schema(format = Password)]
    password: String,
    /// What the user calls the device, for the list of sessions; at most 64 characters.
    device_name: Option<String>,
    /// The one of the last sign-in on this device, which nobody's wrong guesses keep out.
    device_token: Option<String>,
    /// The code of the account's authenticator app, when it has a second factor.
    code: Option<String>,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
pub struct Refresh {
    /// The one of the last sign-in or refresh; good once.
    refresh_token: String,
}

/// Signs in by password.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = SignIn, security(()),
    responses((status = 200, body = SignedInBody)))]
pub async fn sign_in(
    state: Data<ApiState>,
    Address(address): Address,
    Body(given): Body<SignIn>,
) -> Result<HttpResponse, Problem> {
    let (device_name, device_token) = (given.device_name.as_deref(), given.device_token.as_deref());
    let visitor = Visitor { address, device_name, device_token, code: given.code.as_deref() };
    Ok(answer(state.identity.sign_in(&given.username, given.password, &visitor).await?))
}

/// Exchanges a refresh token for new tokens. A token used twice ends its whole sign-in.
#[utoipa::path(post, path = "/v1/tokens/refresh", tag = "tokens", request_body = Refresh, security(()),
    responses((status = 200, body = SignedInBody)))]
pub async fn refresh(
    state: Data<ApiState>,
    Address(address): Address,
    Body(given): Body<Refresh>,
) -> Result<HttpResponse, Problem> {
    Ok(answer(state.identity.refresh(&given.refresh_token, address).await?))
}

/// Signs out: this sign-in, or with `all=true` every one of the user's.
#[utoipa::path(delete, path = "/v1/tokens", tag = "tokens", params(("all" = Option<bool>, Query)),
    responses((status = 204)))]
pub async fn sign_out(state: Data<ApiState>, caller: Caller, query: Query) -> Result<HttpResponse, Problem> {
    state.identity.sign_out(&caller.0, query.flag("all")?).await?;
    Ok(HttpResponse::NoContent().finish())
}
