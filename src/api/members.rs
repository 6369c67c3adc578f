//! Who is in a conversation.

use std::ops::RangeInclusive;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, Caller, OptionalBody, Query, Segments};
use super::resource::calls;
use super::{ApiState, Problem, cursor};
use crate::domain::{ConversationId, Refusal, Role, Seq, Timestamp, UserId};
use crate::protocol::whole;
use crate::store::{Change, MemberView};

calls! {
    "/v1/conversations/{conversation}/members" => [get(list)],
    "/v1/conversations/{conversation}/members/{user}" => [put(add), patch(set_role), delete(remove)],
    "/v1/conversations/{conversation}/members/{user}/mute" => [put(mute), delete(unmute)],
}

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 200;
/// How long a mute lasts at least and at most, in seconds.
const MUTE_S: RangeInclusive<u64> = 1..=31_536_000;

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

/// For how long a member may say nothing.
#[derive(Deserialize, ToSchema)]
pub struct Mute {
    /// Seconds from now on. It replaces what is left of an earlier mute.
    #[serde(deserialize_with = "whole::deserialize")]
    #[schema(minimum = 1, maximum = 31_536_000)]
    duration_s: u64,
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
    /// Until when the member may say nothing; absent when nobody has muted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<Timestamp>,
}

impl MemberBody {
    /// As it is at `now`: a mute that has ended is not shown.
    fn new(view: MemberView, now: Timestamp) -> Self {
        let MemberView { member, user } = view;
        Self {
            user: member.user,
            username: user.username.map(|name| name.as_str().to_owned()),
            display_name: user.display_name,
            role: member.role,
            joined_seq: member.joined_seq,
            delivered_seq: member.delivered_seq,
            read_seq: member.read_seq,
            muted_until: member.muted_until.filter(|until| *until > now),
        }
    }
}

/// Who is no contact of the caller's and is asked first.
#[derive(Serialize, ToSchema)]
#[schema(as = Invited)]
pub struct InvitedBody {
    user: UserId,
    /// Always true.
    invited: bool,
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

/// Joins, accepts an invitation, makes somebody a member, or invites them.
#[utoipa::path(put, path = "/v1/conversations/{conversation}/members/{user}", tag = "members",
    params(("conversation" = ConversationId, Path), ("user" = UserId, Path)), request_body = Option<AddMember>,
    responses((status = 201, body = MemberBody), (status = 200, body = MemberBody, description = "one already"),
        (status = 202, body = InvitedBody, description = "they are asked first")))]
pub async fn add(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    OptionalBody(body): OptionalBody<AddMember>,
) -> Result<HttpResponse, Problem> {
    let (conversation, user) = (path.conversation()?, path.user()?);
    let change = Change::Join { user, role: body.role.unwrap_or(Role::Member) };
    let changed = state.node.change(caller.user(), conversation, change).await?;
    if changed.invited.is_some() {
        return Ok(HttpResponse::Accepted().json(InvitedBody { user, invited: true }));
    }
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

/// Mutes a member for a while: sends, edits and new reactions are refused, and typing is not sent to the
/// others.
#[utoipa::path(put, path = "/v1/conversations/{conversation}/members/{user}/mute", tag = "members",
    params(("conversation" = ConversationId, Path), ("user" = UserId, Path)), request_body = Mute,
    responses((status = 200, body = MemberBody)))]
pub async fn mute(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    Body(body): Body<Mute>,
) -> Result<HttpResponse, Problem> {
    let (conversation, user) = (path.conversation()?, path.user()?);
    if !MUTE_S.contains(&body.duration_s) {
        return Err(Problem::invalid("duration_s: must be from 1 to 31536000, a year"));
    }
    let change = Change::Mute { user, duration_ms: body.duration_s * 1_000 };
    state.node.change(caller.user(), conversation, change).await?;
    Ok(HttpResponse::Ok().json(view(&state, conversation, user).await?))
}

/// Lets a muted member speak again.
#[utoipa::path(delete, path = "/v1/conversations/{conversation}/members/{user}/mute", tag = "members",
    params(("conversation" = ConversationId, Path), ("user" = UserId, Path)), responses((status = 204)))]
pub async fn unmute(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    let change = Change::Mute { user: path.user()?, duration_ms: 0 };
    state.node.change(caller.user(), path.conversation()?, change).await?;
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
    let now = state.node.environment().now();
    let members = page.items.into_iter().map(|view| MemberBody::new(view, now)).collect();
    Ok(HttpResponse::Ok().json(MembersBody { members, next_cursor }))
}

/// A membership that the caller has just been allowed to make or change.
async fn view(state: &ApiState, conversation: ConversationId, user: UserId) -> Result<MemberBody, Problem> {
    let store = state.node.store();
    let member = state.node.read(store.member(conversation, user)).await?.ok_or(Refusal::NotFound)?;
    let user = state.node.read(store.user(user)).await?.ok_or(Refusal::NotFound)?;
    Ok(MemberBody::new(MemberView { member, user }, state.node.environment().now()))
}
