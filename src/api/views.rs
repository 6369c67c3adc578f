//! The answers of REST, made from what the store returns.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::schemas::{EventDoc, MessageDoc};
use crate::domain::{
    ConversationId, ConversationKind, HistoryPolicy, JoinPolicy, MessageId, Role, Seq, Timestamp, User,
    UserId,
};
use crate::identity::SignedIn;
use crate::protocol::event::EventView;
use crate::store::{Appended, ConversationView, MessageView, OpenChannel, Preview};

/// A user's public profile.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody {
    id: UserId,
    /// Absent for guests and users of another issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    display_name: String,
    guest: bool,
    created_at: Timestamp,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username.map(|name| name.as_str().to_owned()),
            display_name: user.display_name,
            guest: user.guest,
            created_at: user.created_at,
        }
    }
}

/// The users that were found.
#[derive(Serialize, ToSchema)]
#[schema(as = Users)]
pub struct UsersBody {
    pub(super) users: Vec<UserBody>,
}

/// Ids of users.
#[derive(Serialize, ToSchema)]
#[schema(as = UserIds)]
pub struct UserIdsBody {
    pub(super) users: Vec<UserId>,
}

/// A sign-in.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub struct SignedInBody {
    user: UserBody,
    /// A bearer token.
    access_token: String,
    /// Seconds the access token is valid.
    expires_in: u64,
    /// For `POST /v1/tokens/refresh`; good once.
    refresh_token: String,
    /// For the next `POST /v1/tokens` on this device; absent for users without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
}

impl From<SignedIn> for SignedInBody {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            user: signed_in.user.into(),
            access_token: signed_in.access_token,
            expires_in: signed_in.expires_in_s,
            refresh_token: signed_in.refresh_token,
            device_token: signed_in.device_token,
        }
    }
}

/// A conversation as one of its members sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Conversation)]
pub struct ConversationBody {
    conversation: ConversationId,
    kind: ConversationKind,
    last_seq: Seq,
    read_seq: Seq,
    /// Messages of others after `read_seq`.
    unread: u64,
    /// The first event this user may see.
    first_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// The other user of a direct conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<UserId>,
    /// The other user is no contact of this one, and has written. Absent when that is not so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stranger: bool,
    history: HistoryPolicy,
    join: JoinPolicy,
    /// This user's.
    role: Role,
    /// Until when this user may say nothing here; absent when nobody has muted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<Timestamp>,
    member_count: u64,
    created_at: Timestamp,
    /// In the answer to its creation: those who are asked first. Absent when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) invited: Vec<UserId>,
}

impl ConversationBody {
    /// As it is at `now`: a mute that has ended is not shown.
    pub fn new(view: ConversationView, now: Timestamp) -> Self {
        let ConversationView { conversation, head, role, muted_until } = view;
        Self {
            conversation: conversation.id,
            kind: conversation.id.kind(),
            last_seq: head.last_seq,
            read_seq: head.read_seq,
            unread: head.unread,
            first_seq: head.first_seq,
            name: conversation.name,
            topic: conversation.topic,
            peer: head.peer,
            stranger: head.stranger,
            history: conversation.history,
            join: conversation.join,
            role,
            muted_until: muted_until.filter(|until| *until > now),
            member_count: conversation.member_count,
            created_at: conversation.created_at,
            invited: Vec::new(),
        }
    }
}

/// A page of conversations.
#[derive(Serialize, ToSchema)]
#[schema(as = Conversations)]
pub struct ConversationsBody {
    pub(super) conversations: Vec<ConversationBody>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// An open channel, as somebody who browses sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Channel)]
pub struct ChannelBody {
    conversation: ConversationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    member_count: u64,
    last_seq: Seq,
    created_at: Timestamp,
    /// Whether the caller is a member.
    member: bool,
}

impl From<OpenChannel> for ChannelBody {
    fn from(channel: OpenChannel) -> Self {
        let OpenChannel { conversation, is_member, place: _ } = channel;
        Self {
            conversation: conversation.id,
            name: conversation.name,
            topic: conversation.topic,
            member_count: conversation.member_count,
            last_seq: conversation.last_seq,
            created_at: conversation.created_at,
            member: is_member,
        }
    }
}

/// A page of open channels.
#[derive(Serialize, ToSchema)]
#[schema(as = Channels)]
pub struct ChannelsBody {
    pub(super) channels: Vec<ChannelBody>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// An open conversation before one joins it.
#[derive(Serialize, ToSchema)]
#[schema(as = Preview)]
pub struct PreviewBody<'a> {
    conversation: ConversationId,
    kind: ConversationKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    member_count: u64,
    last_seq: Seq,
    history: HistoryPolicy,
    created_at: Timestamp,
    /// Whether the caller is a member.
    member: bool,
    /// The newest, ascending by seq; none where members read from their join on.
    #[schema(value_type = Vec<MessageDoc>)]
    messages: Vec<MessageBody<'a>>,
}

impl<'a> PreviewBody<'a> {
    /// As `viewer` sees it.
    pub fn new(preview: &'a Preview, viewer: UserId) -> Self {
        let conversation = &preview.conversation;
        Self {
            conversation: conversation.id,
            kind: conversation.id.kind(),
            name: conversation.name.as_deref(),
            topic: conversation.topic.as_deref(),
            member_count: conversation.member_count,
            last_seq: conversation.last_seq,
            history: conversation.history,
            created_at: conversation.created_at,
            member: preview.is_member,
            messages: preview.messages.iter().map(|view| MessageBody::new(view, viewer)).collect(),
        }
    }
}

/// How often a reaction was given.
#[derive(Serialize, ToSchema, schemars::JsonSchema)]
#[schema(as = ReactionCount)]
pub struct ReactionBody<'a> {
    emoji: &'a str,
    count: u64,
    /// By the caller too.
    me: bool,
}

/// A message event and its reactions.
#[derive(Serialize, schemars::JsonSchema)]
pub struct MessageBody<'a> {
    #[serde(flatten)]
    event: EventView<'a>,
    reactions: Vec<ReactionBody<'a>>,
}

impl<'a> MessageBody<'a> {
    /// As `viewer` sees it.
    pub fn new(view: &'a MessageView, viewer: UserId) -> Self {
        let reactions = view.reactions.iter();
        Self {
            event: EventView::named(&view.event, viewer),
            reactions: reactions
                .map(|reaction| ReactionBody {
                    emoji: &reaction.emoji,
                    count: reaction.count,
                    me: reaction.me,
                })
                .collect(),
        }
    }
}

/// A page of history, ascending by seq.
#[derive(Serialize, ToSchema)]
#[schema(as = Messages)]
pub struct MessagesBody {
    #[schema(value_type = Vec<MessageDoc>)]
    pub(super) messages: Vec<Box<RawValue>>,
    /// More lie beyond, in the direction asked.
    pub(super) more: bool,
}

/// A stretch of a conversation's log, ascending by seq.
#[derive(Serialize, ToSchema)]
#[schema(as = Events)]
pub struct EventsBody {
    #[schema(value_type = Vec<EventDoc>)]
    pub(super) events: Vec<Box<RawValue>>,
    /// More lie beyond.
    pub(super) more: bool,
}

/// A message's place.
#[derive(Serialize, ToSchema)]
#[schema(as = Sent)]
pub struct SentBody {
    conversation: ConversationId,
    seq: Seq,
    message_id: MessageId,
    sent_at: Timestamp,
    /// An earlier request with the same key made it.
    duplicate: bool,
}

impl SentBody {
    /// The answer to a send of this message.
    pub fn new(appended: &Appended, message_id: MessageId) -> Self {
        Self {
            conversation: appended.conversation,
            seq: appended.seq,
            message_id,
            sent_at: appended.sent_at,
            duplicate: appended.committed.is_none(),
        }
    }
}

/// The place of the event that made it so.
#[derive(Serialize, ToSchema)]
#[schema(as = Place)]
pub struct PlaceBody {
    pub(super) conversation: ConversationId,
    pub(super) seq: Seq,
    /// True when this call made no event: it held already, or was done before under the same key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) duplicate: bool,
}
