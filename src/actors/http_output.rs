//! What waits for the client of an HTTP connection: the body of its answer, and the HTTP writer's buffer.

use std::cell::Cell;
use std::task::{Context, Poll};

use super::byte_budget::Account;
use crate::domain::queued::{QueuedBytes, QueuedKind};

/// The bytes that wait for one HTTP client. They are given back at the end of the connection.
#[derive(Debug)]
pub struct HttpOutput {
    account: Account,
    kind: Cell<QueuedKind>,
    body_bytes: Cell<usize>,
    buffer_bytes: Cell<usize>,
}

impl HttpOutput {
    /// Nothing waits yet.
    pub const fn new(account: Account) -> Self {
        Self {
            account,
            kind: Cell::new(QueuedKind::Pages),
            body_bytes: Cell::new(0),
            buffer_bytes: Cell::new(0),
        }
    }

    /// So much of the present answer is not in the writer's buffer yet.
    pub fn body_waits(&self, kind: QueuedKind, bytes: usize) {
        self.kind.set(kind);
        self.body_bytes.set(bytes);
        self.count();
    }

    /// So much of the writer's buffer was not taken by the socket.
    pub fn buffer_waits(&self, bytes: usize) {
        self.buffer_bytes.set(bytes);
        self.count();
    }

    fn count(&self) {
        self.account.set(QueuedBytes::of(self.kind.get(), self.body_bytes.get() + self.buffer_bytes.get()));
    }

    /// Ready when the connection has to end because too much waits for all clients. Call it after the
    /// connection's own work in the same task.
    pub fn poll_asked(&self, task: &Context<'_>) -> Poll<()> {
        self.account.poll_asked(task)
    }

    /// Counts that the connection ended because of that.
    pub fn gave_way(&self) {
        self.account.gave_way(self.kind.get());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::actors::byte_budget::ByteBudget;

    #[test]
    fn body_and_buffer_count_together_and_are_given_back() {
        let budget = ByteBudget::new(0, Arc::default());
        let output = HttpOutput::new(budget.account());
        output.body_waits(QueuedKind::Exports, 100);
        output.buffer_waits(30);
        assert_eq!((budget.observed().exports, budget.observed().pages), (130, 0));
        output.body_waits(QueuedKind::Pages, 0);
        assert_eq!((budget.observed().exports, budget.observed().pages), (0, 30));
        output.buffer_waits(0);
        output.body_waits(QueuedKind::Pages, 7);
        drop(output);
        assert_eq!(budget.queued(), 0);
    }
}
