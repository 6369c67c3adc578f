//! A conversation's settings and its deletion.

use super::{Decision, Request};
use crate::domain::{Changes, EventKind, Refusal, permissions};
use crate::store::shared::content::without_nul;

pub(super) fn configure(request: &Request<'_>, asked: &Changes) -> Result<Decision, Refusal> {
    let stored = &request.facts.stored;
    let now = &stored.conversation;
    permissions::may_change_settings(now, request.member()?.member.role)?;
    without_nul("name", asked.name.as_deref().unwrap_or_default())?;
    without_nul("topic", asked.topic.as_deref().unwrap_or_default())?;
    let topic_now = now.topic.as_deref().unwrap_or_default();
    let changes = Changes {
        name: asked.name.clone().filter(|name| now.name.as_ref() != Some(name)),
        topic: asked.topic.clone().filter(|topic| topic != topic_now),
        history: asked.history.filter(|policy| now.history != *policy),
        join: asked.join.filter(|policy| now.join != *policy),
        ..Changes::default()
    };
    if changes == Changes::default() {
        return Ok(Decision::Before(stored.settings_seq));
    }
    let mut settings = now.clone();
    settings.name = changes.name.clone().or(settings.name);
    settings.topic = changes.topic.clone().or(settings.topic).filter(|topic| !topic.is_empty());
    settings.history = changes.history.unwrap_or(settings.history);
    settings.join = changes.join.unwrap_or(settings.join);
    let mut journal = request.journal();
    journal.settings = Some(settings);
    journal.record(request.actor(), EventKind::ConversationChanged(changes));
    Ok(Decision::Write(Box::new(journal)))
}

/// Deletes the conversation: after the commit no user can see it. A separate job removes the content in
/// bounded steps. The rows of its members stay, so that log consumers know the audience.
pub(super) fn delete(request: &Request<'_>) -> Result<Decision, Refusal> {
    permissions::may_delete_conversation(&request.facts.stored.conversation, request.member()?.member.role)?;
    let mut journal = request.journal();
    journal.ended = true;
    let changes = Changes { deleted: true, ..Changes::default() };
    journal.record(request.actor(), EventKind::ConversationChanged(changes));
    Ok(Decision::Write(Box::new(journal)))
}

/// The conversation is already deleted. The user who deleted it gets the same answer again.
pub(super) fn deleted_before(request: &Request<'_>) -> Result<Decision, Refusal> {
    let facts = &request.facts;
    if facts.ended_by == Some(request.actor()) {
        Ok(Decision::Before(facts.stored.conversation.last_seq))
    } else {
        Err(Refusal::NotFound)
    }
}
