//! Reads the log at the end of a run, without faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tidings::domain::{Committed, ConversationId, Event, EventKind, Position, UserId};
use tidings::environment::SharedEnvironment;
use tidings::store::model::{ModelOptions, ModelServer, NoFaults};
use tidings::store::{Accounts, Audit, Conversations, Log, StoreError};

use crate::checker::log::{FinalLog, Logged, Membership};

/// The name of this reader, which no process has.
const READER: u64 = 1 << 32;
/// Events of one read.
const PAGE: usize = 500;

/// Reads everything.
///
/// # Errors
/// The log cannot be read.
pub async fn read(server: &Arc<ModelServer>, environment: SharedEnvironment) -> Result<FinalLog, StoreError> {
    let store = server.connect(ModelOptions::new(READER), environment, Arc::new(NoFaults));
    let mut log = FinalLog::default();
    let (mut conversations, mut users) = (BTreeSet::new(), BTreeSet::new());
    let mut joined: BTreeMap<ConversationId, BTreeSet<UserId>> = BTreeMap::new();
    let mut after = Position(0);
    loop {
        let page = store.ahead(after, PAGE).await?;
        for Committed { event, position, .. } in &page.committed {
            conversations.insert(event.conversation);
            users.insert(event.sender);
            if let EventKind::MemberJoined { user, .. } = event.kind {
                users.insert(user);
                joined.entry(event.conversation).or_default().insert(user);
            }
            let logged = logged(event, position.0);
            if logged.fields["changes"]["deleted"] == true {
                log.deleted.insert(logged.conversation.clone());
            }
            log.events.entry(logged.conversation.clone()).or_default().insert(logged.seq, logged);
        }
        if page.committed.is_empty() || page.next == after {
            break;
        }
        after = page.next;
    }
    for conversation in conversations {
        let mut of_conversation = BTreeMap::new();
        // The audience of a channel is its topic, so its members are looked up one by one.
        let audience = store.audience(conversation).await?;
        let joined = joined.remove(&conversation).unwrap_or_default();
        for user in joined.into_iter().chain(audience.iter().copied()) {
            let Some(view) = store.conversation(user, conversation).await? else { continue };
            let Some(member) = store.member(conversation, user).await? else { continue };
            log.last.insert(conversation.to_string(), view.head.last_seq.get());
            let membership = Membership {
                joined_seq: member.joined_seq.get(),
                delivered_seq: member.delivered_seq.get(),
                read_seq: view.head.read_seq.get(),
                first_seq: view.head.first_seq.get(),
            };
            of_conversation.insert(user.to_string(), membership);
        }
        log.members.insert(conversation.to_string(), of_conversation);
    }
    for user in users {
        if !store.account_state(user).await?.is_living() {
            log.erased.insert(user.to_string());
        }
        for other in store.blocks(user).await? {
            log.blocks.insert((user.to_string(), other.to_string()));
        }
    }
    loop {
        let page = store.audit(log.audit.last().map_or(0, |entry| entry.id), PAGE).await?;
        if page.is_empty() {
            return Ok(log);
        }
        log.audit.extend(page);
    }
}

fn logged(event: &Event, position: u64) -> Logged {
    let mut logged = Logged {
        conversation: event.conversation.to_string(),
        seq: event.seq.get(),
        kind: String::new(),
        sender: event.sender.to_string(),
        sent_at_ms: event.sent_at.as_unix_ms(),
        position,
        message_id: None,
        has_content: false,
        client_id: None,
        body: None,
        deleted: false,
        target: None,
        fields: Value::Null,
    };
    let kind = match &event.kind {
        EventKind::Message(message) => {
            logged.client_id = Some(message.client_id.to_string());
            logged.message_id = Some(message.id(event.sender).to_string());
            logged.body = message.content.body.clone();
            let content = &message.content;
            logged.has_content =
                content.body.is_some() || content.data.is_some() || content.attachments.is_some();
            logged.deleted = message.deleted;
            logged.fields = json!({ "edited": message.edited_at.is_some() });
            "message"
        }
        EventKind::Edit { target, body } => {
            (logged.target, logged.body) = (Some(target.get()), body.clone());
            "edit"
        }
        EventKind::Delete { target } => {
            logged.target = Some(target.get());
            "delete"
        }
        EventKind::Reaction { target, emoji, on } => {
            logged.target = Some(target.get());
            logged.fields = json!({ "emoji": emoji, "on": on });
            "reaction"
        }
        EventKind::MemberJoined { user, role } => {
            logged.fields = json!({ "user": user.to_string(), "role": role.as_str() });
            "member_joined"
        }
        EventKind::MemberLeft { user, reason } => {
            logged.fields = json!({ "user": user.to_string(), "reason": reason.as_str() });
            "member_left"
        }
        EventKind::ConversationChanged(changes) => {
            logged.fields = json!({ "changes": {
                "history": changes.history.map(|history| history.as_str()),
                "join": changes.join.map(|join| join.as_str()),
                "name": changes.name,
                "deleted": changes.deleted,
                "muted": changes.muted.map(|(user, until)| {
                    json!({ "user": user.to_string(), "until_ms": until.as_unix_ms() })
                }),
                "banned": changes.banned.map(|(user, until)| {
                    json!({ "user": user.to_string(), "until_ms": until.as_unix_ms() })
                }),
                "role": changes.role.map(|(user, role)| json!({ "user": user.to_string(), "role": role.as_str() })),
            } });
            "conversation_changed"
        }
    };
    logged.kind = kind.to_owned();
    logged
}
