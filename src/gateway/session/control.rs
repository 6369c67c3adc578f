//! Control messages and timers, which come to a session from other parts of its process.

use std::rc::Rc;

use super::Session;
use super::mailbox::Control;
use super::stream::ByteStream;
use crate::protocol::Close;
use crate::protocol::server::ServerFrame;

impl<S: ByteStream> Session<S> {
    /// Puts a control message into the mailbox; the task handles it at its next turn.
    pub fn post(&self, control: Control) {
        if self.mailbox.post(control).is_err() {
            self.close(Close::Internal);
        }
        self.wake();
    }

    /// Handles the waiting control messages. The hub calls it when a delivery must come after them.
    pub fn handle_mailbox(self: &Rc<Self>) {
        for control in self.mailbox.take() {
            match control {
                Control::Close(close) => self.close(close),
                Control::Reconnect { after_ms, deadline_ms } => {
                    self.send(&ServerFrame::Reconnect { after_ms, deadline_ms, handover: false });
                }
                Control::Revoked => self.check_standing(),
                Control::Blocked { other, by_other, on } => self.on_block(other, by_other, on),
                Control::EventsLost => {
                    self.state.borrow_mut().life.lag();
                }
                Control::AllLost => {
                    rare!(InboxOverflowWhileHeadsAreRead, self.state.borrow_mut().life.held().is_some());
                    self.signals_lost();
                    self.state.borrow_mut().life.lag();
                }
                Control::CheckWatches => self.check_watches(),
            }
        }
    }

    /// The hub's timer for this session is due.
    pub fn on_timer(self: &Rc<Self>, now_ms: u64) {
        if let Some(again_ms) = self.linger_deadline_ms(now_ms) {
            return self.schedule(again_ms);
        }
        if self.is_closing() {
            return;
        }
        let stalled_ms = self.connection.stalled_ms(now_ms);
        self.decide(|state, moment, bounds, effects| {
            state.on_tick(moment, stalled_ms, bounds, effects);
        });
        if stalled_ms >= self.worker.bounds.gateway.write_deadline_ms {
            // The close frame cannot be written either.
            self.end();
        }
        let deadline_ms = self.state.borrow().next_deadline_ms(&self.worker.bounds);
        self.schedule(deadline_ms.max(now_ms + 1));
    }

    /// Asks for a timer at `at_ms`, unless an earlier one is set.
    pub(super) fn schedule(&self, at_ms: u64) {
        if at_ms < self.next_timer_ms.get() {
            self.next_timer_ms.set(at_ms);
            self.worker.directory.schedule(self.key(), at_ms);
        }
    }

    /// Asks for a timer at the time the rules want next.
    pub(super) fn schedule_rules(&self) {
        let deadline_ms = self.state.borrow().next_deadline_ms(&self.worker.bounds);
        self.schedule(deadline_ms);
    }

    /// Checks whether the timer that the session asked for is due, and clears it.
    ///
    /// # Errors
    /// When to ask again: the deadline moved, or is further away than one turn of the wheel.
    pub fn take_timer(&self, now_ms: u64) -> Result<(), u64> {
        let due_ms = self.next_timer_ms.get();
        if now_ms < due_ms {
            return Err(due_ms);
        }
        self.next_timer_ms.set(u64::MAX);
        Ok(())
    }
}
