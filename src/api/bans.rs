//! Who is kept out of a conversation.

use std::ops::RangeInclusive;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Caller, OptionalBody, Query, Segments};
use super::resource::calls;
use super::{ApiState, Problem, cursor};
use crate::domain::{ConversationId, Timestamp, UserId};
use crate::protocol::{checks, whole};
use crate::store::{BanView, Change};

calls! {
    "/v1/conversations/{conversation}/bans" => [get(list)],
    "/v1/conversations/{conversation}/bans/{user}" => [put(ban), delete(unban)],
}

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 200;
/// How long a ban with an end lasts at least and at most, in seconds.
const BAN_S: RangeInclusive<u64> = 1..=315_360_000;

/// For how long somebody is kept out, and why.
#[derive(Default, Deserialize, ToSchema)]
pub struct Ban {
    /// Seconds from now on; without it the ban has no end. It replaces what is left of an earlier ban.
    #[serde(default, deserialize_with = "whole::optional")]
    #[schema(minimum = 1, maximum = 315_360_000)]
    duration_s: Option<u64>,
    /// For all members to read; at most 250 characters.
    reason: Option<String>,
}

/// A user who is kept out of a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = BannedUser)]
pub struct BanBody {
    user: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    display_name: String,
    /// The admin who did it.
    banned_by: UserId,
    banned_at: Timestamp,
    /// The end; in the year 9999 when there is none.
    until: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<BanView> for BanBody {
    fn from(view: BanView) -> Self {
        let BanView { user, by, at, until, reason } = view;
        Self {
            user: user.id,
            username: user.username.map(|name| name.as_str().to_owned()),
            display_name: user.display_name,
            banned_by: by,
            banned_at: at,
            until,
            reason,
        }
    }
}

/// A page of bans.
#[derive(Serialize, ToSchema)]
#[schema(as = Bans)]
pub struct BansBody {
    bans: Vec<BanBody>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Removes a user, who need not be a member, and keeps them out for a while or for good.
#[utoipa::path(put, path = "/v1/conversations/{conversation}/bans/{user}", tag = "bans",
    params(("conversation" = ConversationId, Path), ("user" = UserId, Path)), request_body = Option<Ban>,
    responses((status = 204)))]
pub async fn ban(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    OptionalBody(body): OptionalBody<Ban>,
) -> Result<HttpResponse, Problem> {
    let (conversation, user) = (path.conversation()?, path.user()?);
    let now = state.node.environment().now();
    let until = match body.duration_s {
        None => Timestamp::LATEST,
        Some(duration_s) if BAN_S.contains(&duration_s) => {
            now.plus_ms(i64::try_from(duration_s * 1_000).unwrap_or(i64::MAX))
        }
        Some(_) => return Err(Problem::invalid("duration_s: must be from 1 to 315360000, ten years")),
    };
    let reason = body.reason.as_deref().map(checks::reason).transpose()?.flatten();
    state.node.change(caller.user(), conversation, Change::Ban { user, until, reason }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lets a banned user be a member again. It makes nobody one.
#[utoipa::path(delete, path = "/v1/conversations/{conversation}/bans/{user}", tag = "bans",
    params(("conversation" = ConversationId, Path), ("user" = UserId, Path)), responses((status = 204)))]
pub async fn unban(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    let until = Timestamp::from_unix_ms(0);
    let change = Change::Ban { user: path.user()?, until, reason: None };
    state.node.change(caller.user(), path.conversation()?, change).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who is kept out, for owner and admins.
#[utoipa::path(get, path = "/v1/conversations/{conversation}/bans", tag = "bans",
    params(("conversation" = ConversationId, Path), ("cursor" = Option<String>, Query), ("limit" = Option<u64>, Query, minimum = 1)),
    responses((status = 200, body = BansBody)))]
pub async fn list(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let (after, limit) = (cursor::decode(query.text("cursor"))?, query.limit(DEFAULT_LIMIT, MAX_LIMIT)?);
    let now = state.node.environment().now();
    let bans = state.node.store().bans(caller.user(), path.conversation()?, after, limit, now);
    let page = state.node.read(bans).await??;
    let next_cursor = page.next.as_ref().map(cursor::encode);
    Ok(HttpResponse::Ok()
        .json(BansBody { bans: page.items.into_iter().map(BanBody::from).collect(), next_cursor }))
}
