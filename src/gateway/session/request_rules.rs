//! How each request of a welcomed session is answered, or which effect it has.

use super::effect::Effect;
use super::state::SessionState;
use crate::actors::presence::state::Device;
use crate::domain::{ConversationId, Receipt, Refusal};
use crate::gateway::Bounds;
use crate::protocol::client::{ReceiptUpTo, Send, Sync, Watch};
use crate::protocol::{ClientFrame, Error, ErrorCode, Failure, RequestId, checks};
use crate::store::{Change, NewMessage, Target};

impl SessionState {
    pub(super) fn on_request(&mut self, frame: ClientFrame, bounds: &Bounds, effects: &mut Vec<Effect>) {
        match frame {
            ClientFrame::Send(send) => self.on_send(*send, bounds, effects),
            ClientFrame::Edit(edit) => {
                let change = Change::Edit { target: edit.seq, body: edit.body, client_id: edit.client_id };
                let checked = match &change {
                    Change::Edit { body, .. } => checks::body(body, &bounds.limits),
                    _ => Ok(()),
                };
                self.on_change(edit.id, edit.conversation, change, checked, effects);
            }
            ClientFrame::Delete(delete) => {
                let change = Change::Delete { target: delete.seq };
                self.on_change(delete.id, delete.conversation, change, Ok(()), effects);
            }
            ClientFrame::React(react) => {
                let emoji = checks::composed(&react.emoji);
                let checked = checks::emoji(&emoji);
                let change = Change::React { target: react.seq, emoji, on: true };
                self.on_change(react.id, react.conversation, change, checked, effects);
            }
            ClientFrame::Unreact(react) => {
                let emoji = checks::composed(&react.emoji);
                let checked = checks::emoji(&emoji);
                let change = Change::React { target: react.seq, emoji, on: false };
                self.on_change(react.id, react.conversation, change, checked, effects);
            }
            ClientFrame::Read(receipt) => self.on_receipt(receipt, true, effects),
            ClientFrame::Delivered(receipt) => self.on_receipt(receipt, false, effects),
            ClientFrame::Typing(typing) => {
                effects.push(Effect::Typing { conversation: typing.conversation, on: typing.on });
            }
            ClientFrame::Watch(watch) => self.on_watch(watch, bounds, effects),
            ClientFrame::Unwatch(watch) if watch.users.len() > bounds.limits.watch_users => {
                refuse(watch.id, Refusal::TooLarge("users: over limits.watch_users"), effects);
            }
            ClientFrame::Unwatch(watch) => {
                effects.push(Effect::Unwatch { id: watch.id, users: watch.users });
            }
            ClientFrame::Sync(sync) => self.on_sync(sync, bounds, effects),
            ClientFrame::Auth(auth) => {
                self.under_way(Effect::Authenticate { token: auth.token, refresh: Some(auth.id) }, effects);
            }
            ClientFrame::Background(bare) => self.on_moved(Device::Background, bare.id, effects),
            ClientFrame::Foreground(bare) => self.on_moved(Device::Foreground, bare.id, effects),
            ClientFrame::Ping(bare) => effects.push(Effect::Pong(bare.id)),
            ClientFrame::Hello(_) => effects.push(Effect::Error {
                id: None,
                error: Error::new(ErrorCode::Conflict, "hello was said already; send auth for a new token"),
            }),
        }
    }

    fn on_send(&mut self, mut send: Send, bounds: &Bounds, effects: &mut Vec<Effect>) {
        let Some(sender) = self.user() else { return };
        let target = match (send.conversation, send.to) {
            (Some(conversation), None) => Ok(Target::Conversation(conversation)),
            (None, Some(user)) => Ok(Target::User(user)),
            _ => Err(Refusal::Invalid("conversation, to: exactly one of the two".into())),
        };
        let client_id = send.client_id;
        let message = target.and_then(|target| {
            let content = checks::content(send.take_content(), &bounds.limits)?;
            Ok(NewMessage { sender, target, client_id, content })
        });
        match message {
            Ok(message) => self.under_way(Effect::Send { id: send.id, message }, effects),
            Err(refusal) => refuse(send.id, refusal, effects),
        }
    }

    fn on_change(
        &mut self,
        id: RequestId,
        conversation: ConversationId,
        change: Change,
        checked: Result<(), Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        match checked {
            Ok(()) => self.under_way(Effect::Change { id, conversation, change }, effects),
            Err(refusal) => refuse(id, refusal, effects),
        }
    }

    fn on_receipt(&mut self, up_to: ReceiptUpTo, read: bool, effects: &mut Vec<Effect>) {
        let Some(user) = self.user() else { return };
        let seq = Some(up_to.seq);
        let receipt =
            Receipt { user, conversation: up_to.conversation, delivered: seq, read: seq.filter(|_| read) };
        if up_to.id.is_some() {
            self.in_flight += 1;
        }
        effects.push(Effect::MoveReceipt { id: up_to.id, receipt });
    }

    fn on_watch(&mut self, watch: Watch, bounds: &Bounds, effects: &mut Vec<Effect>) {
        if !self.watches.ask(&watch.users, bounds.limits.watch_users) {
            return refuse(watch.id, Refusal::TooLarge("users: over limits.watch_users"), effects);
        }
        self.under_way(Effect::Watch { id: watch.id, users: watch.users }, effects);
    }

    fn on_sync(&mut self, sync: Sync, bounds: &Bounds, effects: &mut Vec<Effect>) {
        if sync.ranges.len() > bounds.limits.sync_ranges {
            return refuse(sync.id, Refusal::TooLarge("ranges: over limits.sync_ranges"), effects);
        }
        if sync.ranges.iter().any(|range| range.limit == Some(0)) {
            return refuse(sync.id, Refusal::Invalid("ranges: limit must be at least 1".into()), effects);
        }
        self.under_way(Effect::Sync { id: sync.id, ranges: sync.ranges }, effects);
    }

    fn on_moved(&mut self, to: Device, id: Option<RequestId>, effects: &mut Vec<Effect>) {
        let from = std::mem::replace(&mut self.device, to);
        if from != to {
            effects.push(Effect::Moved { from, to });
        }
        effects.extend(id.map(Effect::Ok));
    }
}

fn refuse(id: RequestId, refusal: Refusal, effects: &mut Vec<Effect>) {
    effects.push(Effect::Error { id: Some(id), error: Failure::from(refusal).into() });
}
