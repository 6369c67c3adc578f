//! Signing up: accounts and guests.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{Address, Body};
use super::resource::calls;
use super::views::SignedInBody;
use super::{ApiState, Problem};
use crate::identity::{SignedIn, Visitor};

calls! {
    "/v1/accounts" => [post(sign_up)],
    "/v1/accounts/guest" => [post(guest)],
}

/// An account to make.
#[derive(Deserialize, ToSchema)]
pub struct NewAccount {
    /// 2 to 32 of `a-z 0-9 _ . -`, beginning with a letter or digit.
    username: String,
    #[schema(format = Password)]
    password: String,
    /// The name shown; the username without one.
    display_name: Option<String>,
    /// What the user calls the device, for the list of sessions; at most 64 characters.
    device_name: Option<String>,
}

/// A guest to make, or to find again.
#[derive(Deserialize, ToSchema)]
pub struct NewGuest {
    /// At most 64 bytes, hard to guess: anyone who has it can act as the guest.
    device_id: Option<String>,
    /// The name shown.
    display_name: Option<String>,
    /// What the user calls the device, for the list of sessions; at most 64 characters.
    device_name: Option<String>,
}

/// The answer to every call that signs in: 201 when it made the account.
pub fn answer(signed_in: SignedIn) -> HttpResponse {
    let mut response = if signed_in.created { HttpResponse::Created() } else { HttpResponse::Ok() };
    response.json(SignedInBody::from(signed_in))
}

/// The same for an account that may be the server's first.
async fn welcome(state: &ApiState, signed_in: SignedIn) -> HttpResponse {
    if signed_in.created {
        state.default_conversation.signed_up(&state.node).await;
    }
    answer(signed_in)
}

/// Makes an account and signs in to it. The same name and password again sign in.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = NewAccount, security(()),
    responses((status = 201, body = SignedInBody), (status = 200, body = SignedInBody, description = "made before")))]
pub async fn sign_up(
    state: Data<ApiState>,
    Address(address): Address,
    Body(new): Body<NewAccount>,
) -> Result<HttpResponse, Problem> {
    let display_name = new.display_name.as_deref();
    let visitor = Visitor { device_name: new.device_name.as_deref(), ..Visitor::of(address) };
    let signed_in = state.identity.sign_up(&new.username, new.password, display_name, &visitor).await?;
    Ok(welcome(&state, signed_in).await)
}

/// Makes a guest, or signs in to the one of this device.
#[utoipa::path(post, path = "/v1/accounts/guest", tag = "accounts", request_body = NewGuest, security(()),
    responses((status = 201, body = SignedInBody), (status = 200, body = SignedInBody, description = "a known device")))]
pub async fn guest(
    state: Data<ApiState>,
    Address(address): Address,
    Body(new): Body<NewGuest>,
) -> Result<HttpResponse, Problem> {
    let (device_id, display_name) = (new.device_id.as_deref(), new.display_name.as_deref());
    let visitor = Visitor { device_name: new.device_name.as_deref(), ..Visitor::of(address) };
    let signed_in = state.identity.guest(device_id, display_name, &visitor).await?;
    Ok(welcome(&state, signed_in).await)
}
