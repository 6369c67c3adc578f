//! Conversations and their members.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Head, MessageView, Outcome, StoreError};
use crate::domain::{
    Committed, Conversation, ConversationId, HistoryPolicy, JoinPolicy, Member, Role, Timestamp, User, UserId,
};

/// A conversation to create.
#[derive(Debug, Clone)]
pub struct NewConversation {
    /// Its id (direct: derived from the two; else random, or derived from creator and `client_id`).
    pub id: ConversationId,
    /// The creator, who is the owner of a group or channel.
    pub creator: UserId,
    /// The other members at the start; a direct conversation has exactly one.
    pub members: Vec<UserId>,
    /// Its name.
    pub name: Option<String>,
    /// Its topic, if it has one.
    pub topic: Option<String>,
    /// The part of the history that new members may read.
    pub history: HistoryPolicy,
    /// How users become members.
    pub join: JoinPolicy,
}

/// A conversation that exists, created by this call or an earlier one.
#[derive(Debug, Clone)]
pub struct Created {
    /// It existed already, and nothing was changed.
    pub existed: bool,
    /// The join events, to publish.
    pub committed: Vec<Committed>,
    /// Those who are invited instead of being members at once.
    pub invited: Vec<UserId>,
}

/// A conversation with one user's view of it.
#[derive(Debug, Clone)]
pub struct ConversationView {
    /// The conversation.
    pub conversation: Conversation,
    /// The user's head of it.
    pub head: Head,
    /// The user's role.
    pub role: Role,
    /// Until when an admin muted the user; it may be in the past.
    pub muted_until: Option<Timestamp>,
}

/// A member with the profile.
#[derive(Debug, Clone)]
pub struct MemberView {
    /// The membership.
    pub member: Member,
    /// The profile.
    pub user: User,
}

/// An open channel, as somebody who browses sees it.
#[derive(Debug, Clone)]
pub struct OpenChannel {
    /// The channel.
    pub conversation: Conversation,
    /// Whether the user who browses is a member.
    pub is_member: bool,
    /// Its place in the listing.
    pub place: ChannelPlace,
}

/// In which order open channels are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelOrder {
    /// The ones in which something happened last come first, as exactly as a minute.
    Activity,
    /// By name, in small letters; those that begin so.
    Name(String),
}

/// A place in a listing of open channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelPlace {
    /// When something happened there, in milliseconds by the database's clock, and which it is.
    Activity(i64, ConversationId),
    /// Its name in small letters, and which it is.
    Name(String, ConversationId),
}

/// A ban that has not ended.
#[derive(Debug, Clone)]
pub struct BanView {
    /// Who is kept out.
    pub user: User,
    /// The admin who banned them.
    pub by: UserId,
    /// When that was.
    pub at: Timestamp,
    /// The end of the ban.
    pub until: Timestamp,
    /// Why, in the admin's words.
    pub reason: Option<String>,
}

/// A conversation that anybody may join, as one sees it before one joins.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The conversation.
    pub conversation: Conversation,
    /// Whether the user who looks is a member.
    pub is_member: bool,
    /// The newest messages, ascending by seq; none where members read from their join on.
    pub messages: Vec<MessageView>,
}

/// One page of a keyset listing.
#[derive(Debug, Clone)]
pub struct Page<T, K> {
    /// The items.
    pub items: Vec<T>,
    /// The start of the next page; `None` on the last page.
    pub next: Option<K>,
}

/// Conversations and memberships, without the events in them.
#[async_trait]
pub trait Conversations: Send + Sync {
    /// Creates a conversation with its members. Refusals: `NotFound` (a member is no user), `Blocked`,
    /// `TooLarge` (group).
    async fn create(&self, new: &NewConversation, now: Timestamp) -> Outcome<Created>;

    /// One conversation as a member sees it; `None` when it does not exist or the user is not a member.
    async fn conversation(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Option<ConversationView>, StoreError>;

    /// A conversation that anybody may join; `None` when there is none of this id that is open.
    async fn open_conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError>;

    /// The open channels that have a name, in an order, from `after` on. A place of another order counts as
    /// none.
    async fn open_channels(
        &self,
        user: UserId,
        order: &ChannelOrder,
        after: Option<&ChannelPlace>,
        limit: usize,
    ) -> Result<Page<OpenChannel, ChannelPlace>, StoreError>;

    /// An open conversation with its newest messages, as `user` sees it before joining; `None` when there is
    /// none of this id that is open.
    async fn preview(
        &self,
        user: UserId,
        id: ConversationId,
        limit: usize,
    ) -> Result<Option<Preview>, StoreError>;

    /// The user's conversations by id, from `after` on.
    async fn conversations(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Page<ConversationView, ConversationId>, StoreError>;

    /// The members by user id, from `after` on, for a member. Refusals: `NotFound`, `NotMember`.
    async fn members(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> Outcome<Page<MemberView, UserId>>;

    /// Who is banned at `now`, by user id, from `after` on, for owner and admins. Refusals: `NotFound`,
    /// `NotMember`, `Forbidden`.
    async fn bans(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
        now: Timestamp,
    ) -> Outcome<Page<BanView, UserId>>;

    /// The membership of `user`; `None` when not a member.
    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError>;

    /// The members of a direct or group conversation, from a cache. The cache includes the newest membership
    /// event that this process committed or received; otherwise it is at most a few seconds old. Use it for
    /// typing signals, never for decisions on content. Channels: empty.
    async fn audience(&self, conversation: ConversationId) -> Result<Arc<[UserId]>, StoreError>;

    /// Which of `others` share a direct conversation or a group with `user`, have no block between them,
    /// and let each other see their presence: those whose presence may be seen. It is the same for both. A
    /// channel makes nobody known to anybody. Of two who are both in more than 500 conversations, one that
    /// they share may be missed, unless it is a direct one.
    async fn acquaintances(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError>;
}
