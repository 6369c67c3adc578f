//! The open channel that a server begins with.
//!
//! Its id follows from its name, so any number of processes, starts and sign-ups make one. It is made as soon
//! as the account is there that is to own it. Once deleted it stays so; once closed it is no longer named.

use tokio::sync::Mutex;

use super::Node;
use crate::domain::{ConversationId, HistoryPolicy, JoinPolicy, User, UserId, Username};
use crate::protocol::Failure;
use crate::store::NewConversation;

/// For how long it is not looked for again where it is or was.
const KNOWN_MS: u64 = 30_000;
/// For how long a reader does not look again for the account that is to own it.
const MISSING_MS: u64 = 1_000;

/// Which channel it is, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultConversationOptions {
    /// Its name.
    pub name: String,
    /// Whose it is; `None`: the oldest account's.
    pub owner: Option<Username>,
}

/// The channel, as far as this process knows. One look at the store is under way at most.
#[derive(Debug)]
pub struct DefaultConversation {
    options: Option<DefaultConversationOptions>,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    found: Found,
    until_ms: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Found {
    /// Nobody is there to own it.
    #[default]
    Unowned,
    There(ConversationId),
    /// It was deleted or closed.
    Gone,
}

impl DefaultConversation {
    /// `None`: the server begins without one.
    pub fn new(options: Option<DefaultConversationOptions>) -> Self {
        Self { options, known: Mutex::default() }
    }

    /// Whether there is to be one.
    pub fn is_wanted(&self) -> bool {
        self.options.is_some()
    }

    /// The channel, made when it has to be; `None` when there is none (yet). An answer may be half a minute
    /// old, and older while the store is away.
    pub async fn find(&self, node: &Node) -> Option<ConversationId> {
        let options = self.options.as_ref()?;
        let mut known = self.known.lock().await;
        if node.environment().monotonic_ms() >= known.until_ms {
            *known = look_again(node, options, *known).await;
        }
        known.found.there()
    }

    /// Somebody has signed up: when the channel still waits for an owner it is made now, so that it is there
    /// when the newcomer asks for it.
    pub async fn signed_up(&self, node: &Node) {
        let Some(options) = &self.options else { return };
        let mut known = self.known.lock().await;
        if known.found == Found::Unowned {
            *known = look_again(node, options, *known).await;
        }
    }
}

impl Found {
    fn there(self) -> Option<ConversationId> {
        match self {
            Self::There(id) => Some(id),
            Self::Unowned | Self::Gone => None,
        }
    }
}

/// The new state; without the store it is the state from before.
async fn look_again(node: &Node, options: &DefaultConversationOptions, before: Known) -> Known {
    let found = look(node, options).await.unwrap_or_else(|failure| {
        tracing::debug!(?failure, "the default conversation was not looked for");
        before.found
    });
    let kept_ms = if found == Found::Unowned { MISSING_MS } else { KNOWN_MS };
    Known { found, until_ms: node.environment().monotonic_ms() + kept_ms }
}

async fn look(node: &Node, options: &DefaultConversationOptions) -> Result<Found, Failure> {
    let id = ConversationId::default_channel(&options.name);
    let mut found = open(node, id).await?;
    if found == Found::Gone {
        match owner(node, options).await? {
            None => found = Found::Unowned,
            Some(owner) => {
                make(node, id, options, owner).await?;
                found = open(node, id).await?;
            }
        }
    }
    Ok(found)
}

async fn open(node: &Node, id: ConversationId) -> Result<Found, Failure> {
    let open = node.read(node.store().open_conversation(id)).await?;
    Ok(open.map_or(Found::Gone, |_| Found::There(id)))
}

async fn owner(node: &Node, options: &DefaultConversationOptions) -> Result<Option<UserId>, Failure> {
    let user: Option<User> = match &options.owner {
        Some(name) => node.read(node.store().user_named(name)).await?,
        None => node.read(node.store().first_user()).await?,
    };
    Ok(user.map(|user| user.id))
}

/// Newcomers see what was said before they came.
async fn make(
    node: &Node,
    id: ConversationId,
    options: &DefaultConversationOptions,
    creator: UserId,
) -> Result<(), Failure> {
    let name = Some(options.name.clone());
    let (history, join) = (HistoryPolicy::All, JoinPolicy::Open);
    let new = NewConversation { id, creator, members: Vec::new(), name, topic: None, history, join };
    match node.create(new).await {
        // It was deleted, or its owner was erased just now. The next look finds out which.
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}
