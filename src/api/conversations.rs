//! Conversations: making, listing, showing, changing, deleting.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::ToSchema;

use super::extract::{Body, Caller, Query, Segments};
use super::resource::calls;
use super::views::{ConversationBody, ConversationsBody};
use super::{ApiState, Problem, cursor};
use crate::domain::{
    Changes, ClientId, ConversationId, ConversationKind, HistoryPolicy, JoinPolicy, Refusal, UserId, price,
};
use crate::environment::SharedEnvironment;
use crate::protocol::checks;
use crate::store::{Change, NewConversation};

calls! {
    "/v1/conversations" => [post(create), get(list)],
    "/v1/conversations/{conversation}" => [get(show), patch(change), delete(delete)],
}

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// A conversation to make.
#[derive(Deserialize, ToSchema)]
pub struct NewConversationBody {
    kind: ConversationKind,
    /// Who else is in it; for a direct conversation exactly one.
    members: Option<Vec<UserId>>,
    name: Option<String>,
    /// What it is about, in one line.
    topic: Option<String>,
    /// `from_join` without one.
    history: Option<HistoryPolicy>,
    /// Without one: `invite` for groups, `open` for channels.
    join: Option<JoinPolicy>,
    /// The idempotency key: repeating the request finds the same conversation.
    client_id: Option<ClientId>,
}

/// Settings to change; absent ones stay.
#[derive(Deserialize, ToSchema)]
pub struct ChangeConversation {
    name: Option<String>,
    /// Empty: the topic is removed.
    topic: Option<String>,
    history: Option<HistoryPolicy>,
    join: Option<JoinPolicy>,
}

impl NewConversationBody {
    fn checked(
        self,
        creator: UserId,
        most_members: usize,
        environment: &SharedEnvironment,
    ) -> Result<NewConversation, Refusal> {
        let given = self.members.unwrap_or_default();
        let others: BTreeSet<UserId> = given.iter().copied().filter(|user| *user != creator).collect();
        if others.len() >= most_members {
            return Err(Refusal::TooLarge("members: over limits.group_members"));
        }
        let name = self.name.as_deref().map(checks::shown_name).transpose()?;
        let topic = self.topic.as_deref().map(checks::topic).transpose()?.filter(|topic| !topic.is_empty());
        let (id, history, join) = match self.kind {
            ConversationKind::Direct => {
                let [peer] = given.as_slice() else {
                    return Err(Refusal::Invalid(
                        "members: a direct conversation has exactly one other".into(),
                    ));
                };
                if name.is_some() {
                    return Err(Refusal::Invalid("name: a direct conversation has none".into()));
                }
                if topic.is_some() {
                    return Err(Refusal::Invalid("topic: a direct conversation has none".into()));
                }
                (ConversationId::direct(creator, *peer), HistoryPolicy::All, JoinPolicy::Invite)
            }
            kind @ (ConversationKind::Group | ConversationKind::Channel) => {
                let id = match self.client_id {
                    Some(client_id) => ConversationId::derive(kind, creator, client_id),
                    None => ConversationId::from_random(kind, environment.new_uuid()),
                };
                let by_kind =
                    if kind == ConversationKind::Group { JoinPolicy::Invite } else { JoinPolicy::Open };
                (id, self.history.unwrap_or(HistoryPolicy::FromJoin), self.join.unwrap_or(by_kind))
            }
        };
        // A direct conversation with oneself has one member, who is named once.
        let members =
            if self.kind == ConversationKind::Direct { given } else { others.into_iter().collect() };
        Ok(NewConversation { id, creator, members, name, topic, history, join })
    }
}

/// Makes a conversation, or finds the one that is there.
#[utoipa::path(post, path = "/v1/conversations", tag = "conversations", request_body = NewConversationBody,
    responses((status = 201, body = ConversationBody), (status = 200, body = ConversationBody, description = "it exists")))]
pub async fn create(
    state: Data<ApiState>,
    caller: Caller,
    Body(body): Body<NewConversationBody>,
) -> Result<HttpResponse, Problem> {
    let node = &state.node;
    let new = body.checked(caller.user(), node.limits().group_members, node.environment())?;
    let id = new.id;
    node.admit_rest(caller.user(), price::of_new_conversation(new.members.len()))?;
    let created = node.create(new).await?;
    let mut response = if created.existed { HttpResponse::Ok() } else { HttpResponse::Created() };
    let mut view = view(&state, caller.user(), id).await?;
    view.invited = created.invited;
    Ok(response.json(view))
}

/// The caller's conversations.
#[utoipa::path(get, path = "/v1/conversations", tag = "conversations",
    params(("cursor" = Option<String>, Query), ("limit" = Option<u64>, Query, minimum = 1)),
    responses((status = 200, body = ConversationsBody)))]
pub async fn list(state: Data<ApiState>, caller: Caller, query: Query) -> Result<HttpResponse, Problem> {
    let (after, limit) = (cursor::decode(query.text("cursor"))?, query.limit(DEFAULT_LIMIT, MAX_LIMIT)?);
    let page = state.node.read(state.node.store().conversations(caller.user(), after, limit)).await?;
    let now = state.node.environment().now();
    let conversations = page.items.into_iter().map(|view| ConversationBody::new(view, now)).collect();
    let next_cursor = page.next.as_ref().map(cursor::encode);
    Ok(HttpResponse::Ok().json(ConversationsBody { conversations, next_cursor }))
}

/// One conversation.
#[utoipa::path(get, path = "/v1/conversations/{conversation}", tag = "conversations",
    params(("conversation" = ConversationId, Path)), responses((status = 200, body = ConversationBody)))]
pub async fn show(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(view(&state, caller.user(), path.conversation()?).await?))
}

/// Changes settings.
#[utoipa::path(patch, path = "/v1/conversations/{conversation}", tag = "conversations",
    params(("conversation" = ConversationId, Path)), request_body = ChangeConversation,
    responses((status = 200, body = ConversationBody)))]
pub async fn change(
    state: Data<ApiState>,
    caller: Caller,
    path: Segments,
    Body(body): Body<ChangeConversation>,
) -> Result<HttpResponse, Problem> {
    let id = path.conversation()?;
    let name = body.name.as_deref().map(checks::shown_name).transpose()?;
    let topic = body.topic.as_deref().map(checks::topic).transpose()?;
    let changes = Changes { name, topic, history: body.history, join: body.join, ..Changes::default() };
    state.node.change(caller.user(), id, Change::Configure(changes)).await?;
    Ok(HttpResponse::Ok().json(view(&state, caller.user(), id).await?))
}

/// Deletes a conversation: its content goes, every membership ends.
#[utoipa::path(delete, path = "/v1/conversations/{conversation}", tag = "conversations",
    params(("conversation" = ConversationId, Path)), responses((status = 204)))]
pub async fn delete(state: Data<ApiState>, caller: Caller, path: Segments) -> Result<HttpResponse, Problem> {
    state.node.change(caller.user(), path.conversation()?, Change::DeleteConversation).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn view(state: &ApiState, user: UserId, id: ConversationId) -> Result<ConversationBody, Problem> {
    let found = state.node.read(state.node.store().conversation(user, id)).await?;
    Ok(ConversationBody::new(found.ok_or(Refusal::NotFound)?, state.node.environment().now()))
}
