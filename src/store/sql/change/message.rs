//! Edits, deletions and reactions.

use super::facts::Message;
use super::{Decision, Key, Request};
use crate::domain::{ClientId, EventKind, Refusal, Seq, permissions};
use crate::store::shared::content::{REUSED, fingerprint_of_edit, without_nul};
use crate::store::sql::journal::{Act, Touched};

/// The maximum number of different reactions on one message: a page of history contains them all.
const MOST_REACTIONS: u64 = 100;

/// The maximum number of different reactions of one user on a message, so that one user cannot use up the
/// limit.
const MOST_REACTIONS_OF_ONE: u64 = 20;

/// The message if the actor, a member, may see it.
fn visible<'r>(request: &'r Request<'_>) -> Result<&'r Message, Refusal> {
    let joined = request.member()?.member.joined_seq;
    let first = request.facts.stored.conversation.history.first_visible(joined);
    request.facts.message.as_ref().filter(|message| message.seq >= first).ok_or(Refusal::NotFound)
}

fn touch(message: &Message, act: Act) -> Option<Touched> {
    let edit_seq = message.edit_seq.unwrap_or(Seq::ZERO);
    Some(Touched { target: message.seq, author: message.sender, edit_seq, act })
}

pub(super) fn edit(
    request: &Request<'_>,
    target: Seq,
    body: &str,
    client_id: Option<ClientId>,
) -> Result<Decision, Refusal> {
    let fingerprint = fingerprint_of_edit(request.asked.conversation, target, body);
    if let Some(before) = &request.facts.before {
        let same = before.conversation == request.asked.conversation
            && before.fingerprint.is_none_or(|first| first == fingerprint);
        rare!(EditRepeated, same);
        return if same { Ok(Decision::Before(before.seq)) } else { Err(REUSED) };
    }
    let message = visible(request)?;
    permissions::may_edit(request.actor(), message.sender)?;
    if message.deleted {
        rare!(EditOfADeletedMessage);
        return Err(Refusal::NotFound);
    }
    without_nul("body", body)?;
    let key = |seq| client_id.map(|client_id| Key { client_id, fingerprint, seq });
    let there = message.edit_seq.unwrap_or(message.seq);
    if message.body.as_deref() == Some(body) {
        // The key is stored anyway: a repetition must have no effect either, even after another edit.
        let Some(key) = key(Some(there)) else { return Ok(Decision::Before(there)) };
        let mut journal = request.journal();
        journal.key = Some(key);
        return Ok(Decision::Write(Box::new(journal)));
    }
    request.may_speak()?;
    let mut journal = request.journal_of_speech();
    journal.record(request.actor(), EventKind::Edit { target: message.seq, body: Some(body.to_owned()) });
    journal.touched = touch(message, Act::Edit { body: body.to_owned() });
    journal.key = key(None);
    Ok(Decision::Write(Box::new(journal)))
}

/// The right to delete the own message differs from the right to see it: authors may delete their messages
/// after they have left.
pub(super) fn delete(request: &Request<'_>) -> Result<Decision, Refusal> {
    let own = request.facts.message.as_ref().filter(|message| message.sender == request.actor());
    let message = match own {
        Some(message) => message,
        None => {
            let role = request.member()?.member.role;
            let message = visible(request)?;
            permissions::may_delete(
                &request.facts.stored.conversation,
                request.actor(),
                role,
                message.sender,
            )?;
            message
        }
    };
    if message.deleted {
        rare!(DeleteRepeated);
        return Ok(Decision::Before(message.delete_seq.unwrap_or(message.seq)));
    }
    let mut journal = request.journal();
    journal.record(request.actor(), EventKind::Delete { target: message.seq });
    journal.touched = touch(message, Act::Delete);
    Ok(Decision::Write(Box::new(journal)))
}

pub(super) fn react(request: &Request<'_>, emoji: &str, on: bool) -> Result<Decision, Refusal> {
    let reaction = &request.facts.reaction;
    let given_once = reaction.said.is_some();
    // As with own messages: the user who gave a reaction may remove it, also without a membership.
    let message = match &request.facts.message {
        Some(message) if !on && given_once => message,
        _ => visible(request)?,
    };
    if message.deleted {
        rare!(ReactionToADeletedMessage);
        return Err(Refusal::NotFound);
    }
    without_nul("emoji", emoji)?;
    match reaction.said {
        Some((said, seq)) if said == on => return Ok(Decision::Before(seq)),
        // The reaction was never given: it is off since the message was sent.
        None if !on => return Ok(Decision::Before(message.seq)),
        Some(_) | None => {}
    }
    let mut journal = if on {
        request.may_speak()?;
        if reaction.given.others >= MOST_REACTIONS {
            return Err(Refusal::TooLarge("the message has too many different reactions"));
        }
        if reaction.given.own >= MOST_REACTIONS_OF_ONE {
            return Err(Refusal::TooLarge("you gave this message too many different reactions"));
        }
        request.journal_of_speech()
    } else {
        request.journal()
    };
    let event = EventKind::Reaction { target: message.seq, emoji: emoji.to_owned(), on };
    journal.record(request.actor(), event);
    journal.touched = touch(message, Act::React { emoji: emoji.to_owned(), on, given: reaction.given });
    Ok(Decision::Write(Box::new(journal)))
}
