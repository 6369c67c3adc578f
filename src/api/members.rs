//! Who is in a conversation.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, Caller, OptionalBody, Query, Segments};
use super::resource::calls;
use super::{ApiState, Problem, cursor};
use crate::domain::{ConversationId, Refusal, Role, Seq, UserId};
use crate::store::{Change, MemberView};

calls! {
    "/v1/conversations/{conversation}/members" => [get(list)],
    "/v1/conversations/{conversation}/members/{user}" => [put(add), patch(set_role), delete(remove)],
}

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 200;

/// As what somebody becomes a member.
#[derive(Default, Deserialize, ToSchema)]
pub struct AddMember {
    /// `member` without one.
    role: Option<Role>,
}

/// A role to give.
#[derive(Deserialize, ToSchema)]
pub struct SetRole {
    /// `owner` hands ownership over.
    role: Role,
}

/// A member of a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberBody {
    user: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    display_name: String,
    role: Role,
    joined_seq: Seq,
    delivered_seq: Seq,
    read_seq: Seq,
}

impl From<MemberView> for MemberBody {
    fn from(view: MemberView) -> Self {
        let MemberView { member, user } = view;
        Self {
            user: member.user,
            username: user.username.map(|name| name.as_str().to_owned()),
            display_name: user.display_name,
            role: member.role,
            joined_seq: member.joined_seq,
            delivered_seq: member.delivered_seq,
            read_seq: member.read_seq,
        }
    }
}

/// A page of members.
#[derive(Serialize, ToSchema)]
#[schema(as = Members)]
pub struct MembersBody {
    members: Vec<MemberBody>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Joins, or makes somebody a member.
#[utoipa::path(put, path = "/v1/conversations/{conversation}/members/{user}", tag = "members",
    params(("conversation" = ConversationId, Path), ("user" = UserId, Path)), request_body = Option<AddMember>,
    responses((status = 201, body = MemberBody), (status = 200, body = MemberBody, description = "one already")))]
pub async fn add(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    OptionalBody(body): OptionalBody<AddMember>,
) -> Result<HttpResponse, Problem> {
    let (conversation, user) = (path.conversation()?, path.user()?);
    let change = Change::Join { user, role: body.role.unwrap_or(Role::Member) };
    let changed = state.node.change(caller.user(), conversation, change).await?;
    let mut response =
        if changed.committed.is_empty() { HttpResponse::Ok() } else { HttpResponse::Created() };
    Ok(response.json(view(&state, conversation, user).await?))
}

/// Gives a member a role.
#[utoipa::path(patch, path = "/v1/conversations/{conversation}/members/{user}", tag = "members",
    params(("conversation" = ConversationId, Path), ("user" = UserId, Path)), request_body = SetRole,
    responses((status = 200, body = MemberBody)))]
pub async fn set_role(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    Body(body): Body<SetRole>,
) -> Result<HttpResponse, Problem> {
    let (conversation, user) = (path.conversation()?, path.user()?);
    state.node.change(caller.user(), conversation, Change::SetRole { user, role: body.role }).await?;
    Ok(HttpResponse::Ok().json(view(&state, conversation, user).await?))
}

/// Leaves, or removes a member.
#[utoipa::path(delete, path = "/v1/conversations/{conversation}/members/{user}", tag = "members",
    params(("conversation" = ConversationId, Path), ("user" = UserId, Path)), responses((status = 204)))]
pub async fn remove(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    state.node.change(caller.user(), path.conversation()?, Change::Leave { user: path.user()? }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The members.
#[utoipa::path(get, path = "/v1/conversations/{conversation}/members", tag = "members",
    params(("conversation" = ConversationId, Path), ("cursor" = Option<String>, Query), ("limit" = Option<u64>, Query, minimum = 1)),
    responses((status = 200, body = MembersBody)))]
pub async fn list(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let (after, limit) = (cursor::decode(query.text("cursor"))?, query.limit(DEFAULT_LIMIT, MAX_LIMIT)?);
    let members = state.node.store().members(caller.user(), path.conversation()?, after, limit);
    let page = state.node.read(members).await??;
    let next_cursor = page.next.as_ref().map(cursor::encode);
    let members = page.items.into_iter().map(MemberBody::from).collect();
    Ok(HttpResponse::Ok().json(MembersBody { members, next_cursor }))
}

/// A membership that the caller has just been allowed to make or change.
async fn view(state: &ApiState, conversation: ConversationId, user: UserId) -> Result<MemberBody, Problem> {
    let store = state.node.store();
    let member = state.node.read(store.member(conversation, user)).await?.ok_or(Refusal::NotFound)?;
    let user = state.node.read(store.user(user)).await?.ok_or(Refusal::NotFound)?;
    Ok(MemberView { member, user }.into())
}
