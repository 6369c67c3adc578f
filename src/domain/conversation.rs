//! Conversations, their members, and where their events are routed.

use super::{ConversationId, Seq, Timestamp, UserId};

/// The most characters of a conversation's topic.
pub const TOPIC_CHARS: usize = 250;
/// The most characters of the reason of a ban.
pub const REASON_CHARS: usize = 250;

/// The three kinds of conversation. Numbers and prefixes are stored and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversationKind {
    /// Two users; the id is derived from theirs.
    Direct,
    /// Up to [`super::Limits::group_members`] members; routed to each member.
    Group,
    /// Any number of members; routed to a topic of its own.
    Channel,
}

impl ConversationKind {
    /// The kind's number in ids and stores.
    pub const fn as_bits(self) -> u8 {
        match self {
            Self::Direct => 0,
            Self::Group => 1,
            Self::Channel => 2,
        }
    }

    /// The kind of a number; `None` when no kind has it.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Direct),
            1 => Some(Self::Group),
            2 => Some(Self::Channel),
            _ => None,
        }
    }

    /// The prefix of ids of this kind.
    pub const fn id_prefix(self) -> &'static str {
        match self {
            Self::Direct => "d_",
            Self::Group => "g_",
            Self::Channel => "c_",
        }
    }

    /// The kind's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Channel => "channel",
        }
    }
}

/// From where a member may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryPolicy {
    /// From the member's own join event.
    FromJoin,
    /// Everything, from the first event.
    All,
}

impl HistoryPolicy {
    /// The first seq that a member may see who joined at `joined_seq`.
    pub fn first_visible(self, joined_seq: Seq) -> Seq {
        match self {
            Self::All => Seq::ZERO.next(),
            Self::FromJoin => joined_seq.max(Seq::ZERO.next()),
        }
    }

    /// The policy's name on the wire and in stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FromJoin => "from_join",
            Self::All => "all",
        }
    }

    /// The policy of a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::FromJoin, Self::All].into_iter().find(|policy| policy.as_str() == text)
    }
}

/// How a user becomes a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinPolicy {
    /// Anyone who knows the id joins; any member invites.
    Open,
    /// Owner and admins invite.
    Invite,
}

impl JoinPolicy {
    /// The policy's name on the wire and in stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
        }
    }

    /// The policy of a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Invite].into_iter().find(|policy| policy.as_str() == text)
    }
}

/// What a member may do, weakest first. Numbers are stored and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sends, reacts, leaves.
    Member,
    /// Also invites, removes members, moderates, changes settings.
    Admin,
    /// Also removes admins, changes roles, deletes the conversation. One per group or channel.
    Owner,
}

impl Role {
    /// The role's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role of a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner].into_iter().find(|role| role.as_str() == text)
    }

    /// The role's number in stores.
    pub const fn as_stored(self) -> i16 {
        self as i16
    }

    /// The role of a stored number; an unknown one is the weakest.
    pub const fn from_stored(number: i16) -> Self {
        match number {
            2 => Self::Owner,
            1 => Self::Admin,
            _ => Self::Member,
        }
    }
}

/// A conversation as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id, which includes its kind.
    pub id: ConversationId,
    /// A name for users; direct conversations have none.
    pub name: Option<String>,
    /// What it is about, in one line; never empty.
    pub topic: Option<String>,
    /// From where members may read.
    pub history: HistoryPolicy,
    /// How a user becomes a member.
    pub join: JoinPolicy,
    /// The seq of its newest event; [`Seq::ZERO`] when it has none.
    pub last_seq: Seq,
    /// How many members it has.
    pub member_count: u64,
    /// When it was created.
    pub created_at: Timestamp,
}

/// One user's membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The user who is a member.
    pub user: UserId,
    /// The member's role.
    pub role: Role,
    /// The seq of their join event; [`Seq::ZERO`] in direct conversations.
    pub joined_seq: Seq,
    /// Up to where their devices have received.
    pub delivered_seq: Seq,
    /// Up to where they have read.
    pub read_seq: Seq,
    /// Until when they may say nothing there. A time that has passed means nothing.
    pub muted_until: Option<Timestamp>,
}

/// One conversation from one user's point of view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The conversation it describes.
    pub conversation: ConversationId,
    /// Its name.
    pub name: Option<String>,
    /// The other user of a direct conversation.
    pub peer: Option<UserId>,
    /// Its newest event.
    pub last_seq: Seq,
    /// The first event this user may see.
    pub first_seq: Seq,
    /// Up to where this user has read.
    pub read_seq: Seq,
    /// How many messages of others come after that.
    pub unread: u64,
    /// Somebody who is no contact of this user has written it.
    pub stranger: bool,
}

/// A receipt to store: positions only move forward and never past the newest event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The user whose receipt moves.
    pub user: UserId,
    /// The conversation it moves in.
    pub conversation: ConversationId,
    /// Devices have received up to here.
    pub delivered: Option<Seq>,
    /// The user has read up to here (which implies delivered).
    pub read: Option<Seq>,
}

/// A bus channel. A node subscribes to it while it has a local reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Events and signals for one user: of their direct and group conversations, their own membership, their
    /// receipts.
    User(UserId),
    /// One channel's events.
    Channel(ConversationId),
    /// One user's presence, for the sessions that watch the user.
    Presence(UserId),
    /// The digests of relays, which every gateway reads.
    Digest,
    /// The announcements of published events, which relays read.
    Published,
}

/// The topics of a conversation's events. Every publisher and subscriber uses this function.
///
/// `users` are the members of a direct or group conversation, and in a channel the user whose membership
/// changes (a joining user is not yet subscribed to the channel).
pub fn topics(conversation: ConversationId, users: &[UserId]) -> impl Iterator<Item = Topic> + '_ {
    let channel = (conversation.kind() == ConversationKind::Channel).then_some(Topic::Channel(conversation));
    channel.into_iter().chain(users.iter().copied().map(Topic::User))
}
