//! The caller's second factor: a code of an authenticator app beside the password.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, Caller, OptionalBody};
use super::resource::calls;
use super::{ApiState, Problem};
use crate::identity::BegunSecondFactor;

calls! {
    "/v1/me/second-factor" => [get(show), post(begin), put(confirm), delete(end)],
}

/// Whether sign-ins by password need a code.
#[derive(Serialize, ToSchema)]
#[schema(as = SecondFactor)]
pub struct SecondFactorBody {
    /// Sign-ins by password need a code.
    on: bool,
    /// One was begun and not confirmed; sign-ins do not ask for it yet.
    pending: bool,
}

/// What the caller's app has to know. It is shown once.
#[derive(Serialize, ToSchema)]
pub struct NewSecondFactor {
    /// In Base32, to be typed into the app.
    secret: String,
    /// The same as a link, for a QR code.
    uri: String,
}

/// The caller's password.
#[derive(Default, Deserialize, ToSchema)]
pub struct BeginSecondFactor {
    #[schema(format = Password)]
    password: Option<String>,
}

/// A code of the app.
#[derive(Deserialize, ToSchema)]
pub struct ConfirmSecondFactor {
    code: String,
}

/// The caller's password, and a code.
#[derive(Default, Deserialize, ToSchema)]
pub struct EndSecondFactor {
    #[schema(format = Password)]
    password: Option<String>,
    /// Not needed while the factor is not confirmed.
    code: Option<String>,
}

/// Whether the caller has a second factor.
#[utoipa::path(get, path = "/v1/me/second-factor", tag = "second factor", responses((status = 200, body = SecondFactorBody)))]
pub async fn show(state: Data<ApiState>, caller: Caller) -> Result<HttpResponse, Problem> {
    let factor = state.identity.second_factor(&caller.0).await?;
    let on = factor.as_ref().is_some_and(|factor| factor.is_confirmed());
    Ok(HttpResponse::Ok().json(SecondFactorBody { on, pending: factor.is_some() && !on }))
}

/// Begins a second factor. It counts once a code of the app has confirmed it.
#[utoipa::path(post, path = "/v1/me/second-factor", tag = "second factor", request_body = Option<BeginSecondFactor>,
    responses((status = 200, body = NewSecondFactor)))]
pub async fn begin(
    state: Data<ApiState>,
    caller: Caller,
    OptionalBody(body): OptionalBody<BeginSecondFactor>,
) -> Result<HttpResponse, Problem> {
    let begun = state.identity.begin_second_factor(&caller.0, body.password).await?;
    let BegunSecondFactor { secret, link } = begun;
    Ok(HttpResponse::Ok().json(NewSecondFactor { secret, uri: link }))
}

/// Confirms it by a code. Sign-ins by password need a code from now on; other sign-ins end.
#[utoipa::path(put, path = "/v1/me/second-factor", tag = "second factor", request_body = ConfirmSecondFactor,
    responses((status = 204)))]
pub async fn confirm(
    state: Data<ApiState>,
    caller: Caller,
    Body(body): Body<ConfirmSecondFactor>,
) -> Result<HttpResponse, Problem> {
    state.identity.confirm_second_factor(&caller.0, &body.code).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends it, with the password and a code.
#[utoipa::path(delete, path = "/v1/me/second-factor", tag = "second factor", request_body = Option<EndSecondFactor>,
    responses((status = 204)))]
pub async fn end(
    state: Data<ApiState>,
    caller: Caller,
    OptionalBody(body): OptionalBody<EndSecondFactor>,
) -> Result<HttpResponse, Problem> {
    state.identity.end_second_factor(&caller.0, body.password, body.code.as_deref()).await?;
    Ok(HttpResponse::NoContent().finish())
}
