//! Open channels, for those who look where to go.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::extract::{Caller, Query, Segments};
use super::resource::calls;
use super::views::{ChannelBody, ChannelsBody, PreviewBody};
use super::{ApiState, Problem, cursor};
use crate::config::Directory;
use crate::domain::{ConversationId, Refusal};
use crate::store::ChannelOrder;

calls! {
    "/v1/channels" => [get(list)],
    "/v1/conversations/{conversation}/preview" => [get(preview)],
}

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;
const PREFIX_CHARS: usize = 64;
/// Messages that a preview shows.
const PREVIEWED: usize = 20;

/// The open channels that have a name: the ones in which something happened last first (`activity`, as
/// exactly as a minute), or by name. With `prefix` those whose name begins so, by name; capital letters of
/// ASCII count as small ones.
#[utoipa::path(get, path = "/v1/channels", tag = "channels",
    params(("order" = Option<String>, Query, pattern = "^(activity|name)$"), ("prefix" = Option<String>, Query, max_length = 64),
        ("cursor" = Option<String>, Query), ("limit" = Option<u64>, Query, minimum = 1)),
    responses((status = 200, body = ChannelsBody)))]
pub async fn list(state: Data<ApiState>, caller: Caller, query: Query) -> Result<HttpResponse, Problem> {
    if state.directory == Directory::Closed {
        return Err(Refusal::Forbidden("this server's channels are not listed").into());
    }
    let (order, limit) = (order(&query)?, query.limit(DEFAULT_LIMIT, MAX_LIMIT)?);
    let after = cursor::decode_place(query.text("cursor"), &order)?;
    let store = state.node.store();
    let page = state.node.read(store.open_channels(caller.user(), &order, after.as_ref(), limit)).await?;
    let channels = page.items.into_iter().map(ChannelBody::from).collect();
    let next_cursor = page.next.as_ref().map(cursor::encode_place);
    Ok(HttpResponse::Ok().json(ChannelsBody { channels, next_cursor }))
}

fn order(query: &Query) -> Result<ChannelOrder, Problem> {
    let prefix = query.text("prefix").unwrap_or_default();
    if prefix.chars().count() > PREFIX_CHARS {
        return Err(Problem::invalid(format!("prefix: at most {PREFIX_CHARS} characters")));
    }
    match query.text("order") {
        None if prefix.is_empty() => Ok(ChannelOrder::Activity),
        Some("activity") if prefix.is_empty() => Ok(ChannelOrder::Activity),
        Some("activity") => Err(Problem::invalid("order: with a prefix channels are listed by name")),
        None | Some("name") => Ok(ChannelOrder::Name(prefix.to_owned())),
        Some(_) => Err(Problem::invalid("order: activity or name")),
    }
}

/// An open conversation as somebody sees it who has not joined: what it is, and its newest messages where
/// newcomers read everything.
#[utoipa::path(get, path = "/v1/conversations/{conversation}/preview", tag = "channels",
    params(("conversation" = ConversationId, Path)), responses((status = 200, body = PreviewBody)))]
pub async fn preview(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    let (user, store) = (caller.user(), state.node.store());
    let seen = state.node.read(store.preview(user, path.conversation()?, PREVIEWED)).await?;
    let seen = seen.ok_or(Refusal::NotFound)?;
    Ok(HttpResponse::Ok().json(PreviewBody::new(&seen, user)))
}
