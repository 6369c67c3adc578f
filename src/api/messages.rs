//! Messages and events: reading pages, sending, editing, deleting.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{Body, Caller, Query, Segments, Sender};
use super::fitting::{PAGE_BYTES, fitting};
use super::resource::calls;
use super::views::{EventsBody, MessageBody, MessagesBody, PlaceBody, SentBody};
use super::{ApiState, Problem};
use crate::domain::{ClientId, ConversationId, MessageId, Refusal, Seq, UserId};
use crate::protocol::Failure;
use crate::protocol::checks;
use crate::protocol::client::SendContent;
use crate::protocol::event::EventView;
use crate::store::{Change, HistoryQuery, NewMessage, RangeQuery, Target};

calls! {
    "/v1/conversations/{conversation}/messages" => [get(history), post(send)],
    "/v1/conversations/{conversation}/messages/{seq}" => [patch(edit), delete(delete)],
    "/v1/conversations/{conversation}/events" => [get(events)],
}

const DEFAULT_LIMIT: usize = 50;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A new text.
#[derive(Deserialize, ToSchema)]
pub struct EditMessage {
    body: String,
}

/// A page of messages, ascending by seq; the newest without `before` and `after`. It ends after about 1 MiB,
/// then with `more`.
#[utoipa::path(get, path = "/v1/conversations/{conversation}/messages", tag = "messages",
    params(("conversation" = ConversationId, Path), ("before" = Option<Seq>, Query), ("after" = Option<Seq>, Query),
        ("limit" = Option<u64>, Query, minimum = 1),
        ("min_seq" = Option<Seq>, Query, description = "answer only when everything up to here can be read, else 503")),
    responses((status = 200, body = MessagesBody)))]
pub async fn history(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let (user, conversation) = (caller.user(), path.conversation()?);
    let limit = query.limit(DEFAULT_LIMIT, state.node.limits().history_page)?;
    let (before, after) = (query.seq("before")?, query.seq("after")?);
    if before.is_some() && after.is_some() {
        return Err(Problem::invalid("before: not together with after"));
    }
    if let Some(min_seq) = query.seq("min_seq")? {
        reaches(&state, user, conversation, min_seq).await?;
    }
    let wanted = HistoryQuery { conversation, before, after, limit, max_bytes: PAGE_BYTES };
    let reading = state.node.budget().large_read().await?;
    let page = state.node.read(state.node.store().history(user, wanted)).await??;
    let views = page.messages.iter().map(|view| MessageBody::new(view, user));
    let (messages, left) = if after.is_some() {
        fitting(views, PAGE_BYTES)?
    } else {
        // The newest are asked for.
        let (mut messages, left) = fitting(views.rev(), PAGE_BYTES)?;
        messages.reverse();
        (messages, left)
    };
    let more = page.more || left;
    drop(page);
    drop(reading);
    Ok(HttpResponse::Ok().json(MessagesBody { messages, more }))
}

/// Events after a seq, ascending.
#[utoipa::path(get, path = "/v1/conversations/{conversation}/events", tag = "messages",
    params(("conversation" = ConversationId, Path), ("after" = Option<Seq>, Query), ("limit" = Option<u64>, Query, minimum = 1)),
    responses((status = 200, body = EventsBody)))]
pub async fn events(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    query: Query,
) -> Result<HttpResponse, Problem> {
    let (user, conversation) = (caller.user(), path.conversation()?);
    let limits = state.node.limits();
    let limit = query.limit(limits.history_page, limits.sync_events)?;
    let after = query.seq("after")?.unwrap_or(Seq::ZERO);
    let wanted = RangeQuery { conversation, after, limit, max_bytes: PAGE_BYTES };
    let _reading = state.node.budget().large_read().await?;
    let range = state.node.read(state.node.store().range(user, wanted)).await??;
    let (events, left) = fitting(range.events.iter().map(|event| EventView::named(event, user)), PAGE_BYTES)?;
    Ok(HttpResponse::Ok().json(EventsBody { events, more: range.more || left }))
}

/// Sends a message. Repeating it with the same key gives the first answer again.
#[utoipa::path(post, path = "/v1/conversations/{conversation}/messages", tag = "messages",
    params(("conversation" = ConversationId, Path), ("Idempotency-Key" = ClientId, Header)), request_body = SendContent,
    responses((status = 201, body = SentBody), (status = 200, body = SentBody, description = "a duplicate")))]
pub async fn send(
    state: Data<ApiState>,
    sender: Sender,
    request: HttpRequest,
    path: Segments,
    Body(body): Body<SendContent>,
) -> Result<HttpResponse, Problem> {
    let (sender, target) = (sender.0, Target::Conversation(path.conversation()?));
    let client_id = idempotency_key(&request)?.ok_or_else(needs_key)?;
    let content = checks::content(body, state.node.limits())?;
    let appended = state.node.send(NewMessage { sender, target, client_id, content }).await?;
    let mut response =
        if appended.committed.is_some() { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(SentBody::new(&appended, MessageId::derive(sender, client_id))))
}

/// The idempotency key of a request, if it brings one.
fn idempotency_key(request: &HttpRequest) -> Result<Option<ClientId>, Problem> {
    let Some(value) = request.headers().get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| text.parse::<ClientId>().ok());
    key.map(Some).ok_or_else(needs_key)
}

fn needs_key() -> Problem {
    Problem::invalid("Idempotency-Key: a UUID is needed in this header")
}

/// Replaces the text of one's own message. With a key, the same call is done once, however late it comes
/// again.
#[utoipa::path(patch, path = "/v1/conversations/{conversation}/messages/{seq}", tag = "messages",
    params(("conversation" = ConversationId, Path), ("seq" = Seq, Path), ("Idempotency-Key" = Option<ClientId>, Header)),
    request_body = EditMessage, responses((status = 200, body = PlaceBody)))]
pub async fn edit(
    state: Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    path: Segments,
    Body(new): Body<EditMessage>,
) -> Result<HttpResponse, Problem> {
    checks::body(&new.body, state.node.limits())?;
    let (target, client_id) = (path.seq()?, idempotency_key(&request)?);
    change(&state, caller.user(), &path, Change::Edit { target, body: new.body, client_id }).await
}

/// Removes a message's content for good.
#[utoipa::path(delete, path = "/v1/conversations/{conversation}/messages/{seq}", tag = "messages",
    params(("conversation" = ConversationId, Path), ("seq" = Seq, Path)), responses((status = 200, body = PlaceBody)))]
pub async fn delete(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    change(&state, caller.user(), &path, Change::Delete { target: path.seq()? }).await
}

/// Carries out a change of a message and answers with the place of its event.
pub async fn change(
    state: &ApiState,
    user: UserId,
    path: &Segments,
    change: Change,
) -> Result<HttpResponse, Problem> {
    let conversation = path.conversation()?;
    let changed = state.node.change(user, conversation, change).await?;
    Ok(HttpResponse::Ok().json(PlaceBody {
        conversation,
        seq: changed.seq,
        duplicate: changed.committed.is_empty(),
    }))
}

/// Reading one's own writes: 503 until the store that is read has `min_seq`.
async fn reaches(
    state: &ApiState,
    user: UserId,
    conversation: ConversationId,
    min_seq: Seq,
) -> Result<(), Problem> {
    let found = state.node.read(state.node.store().conversation(user, conversation)).await?;
    let last = found.ok_or(Refusal::NotFound)?.conversation.last_seq;
    if last < min_seq { Err(Failure::Unavailable { definite: true }.into()) } else { Ok(()) }
}
