//! Telling heads: a page at a time, as the client takes them, then the live events behind them.

use std::rc::Rc;

use super::Hub;
use crate::actors::inbox::SessionKey;
use crate::domain::UserId;
use crate::gateway::session::cursor;
use crate::gateway::session::entering::Entered;
use crate::protocol::server::{HeadEntry, LimitsView, ServerFrame, Welcome};

/// Heads per frame.
const HEADS_PER_FRAME: usize = 200;

/// Heads to tell; the last page bears the cursor, since only then the client has all that came before it.
struct Pages {
    heads: std::vec::IntoIter<HeadEntry>,
    cursor: Option<String>,
    /// Said with the first page.
    reset: bool,
}

#[derive(Default)]
struct Page {
    heads: Vec<HeadEntry>,
    cursor: Option<String>,
    reset: bool,
}

impl Pages {
    fn of(entered: Entered) -> Self {
        let heads = entered.heads.into_iter().map(HeadEntry::from);
        let heads: Vec<_> = heads.chain(entered.left.into_iter().map(HeadEntry::from)).collect();
        Self { cursor: Some(cursor::encode(entered.cursor)), heads: heads.into_iter(), reset: entered.reset }
    }
}

impl Iterator for Pages {
    type Item = Page;

    /// At least one page, with a cursor and without heads when nothing moved.
    fn next(&mut self) -> Option<Page> {
        self.cursor.as_ref()?;
        let heads = self.heads.by_ref().take(HEADS_PER_FRAME).collect();
        let cursor = if self.heads.len() == 0 { self.cursor.take() } else { None };
        Some(Page { heads, cursor, reset: std::mem::take(&mut self.reset) })
    }
}

impl Hub {
    /// The session stands: says so, then the heads that found no room in the welcome.
    pub(super) async fn welcome(self: &Rc<Self>, key: SessionKey, user: UserId, entered: Entered) {
        self.node.meters().resume.heads.record(entered.heads.len() as f64);
        let mut pages = Pages::of(entered);
        let first = pages.next();
        self.with(key, |this, connection| {
            let moment = this.moment();
            let Page { heads, cursor, reset } = first.unwrap_or_default();
            let welcome = Welcome {
                session: connection.state.borrow().id,
                user,
                server_time: moment.now,
                heartbeat_ms: this.bounds.gateway.heartbeat_ms,
                limits: LimitsView::from(&this.bounds.limits),
                more_heads: cursor.is_none(),
                reset,
                cursor,
                heads,
                token_expires_in_ms: connection.state.borrow().token_expires_in_ms(moment),
            };
            this.say(connection, &ServerFrame::Welcome(Box::new(welcome)));
            this.hello_ended(connection, "welcome");
            connection.state.borrow_mut().on_entered(moment, &this.bounds);
            let deadline_ms = connection.state.borrow().next_deadline_ms(&this.bounds);
            this.look_at(connection, deadline_ms);
        });
        self.tell_pages(key, pages).await;
    }

    /// Says heads to a session that was behind. Also when nothing moved: the client waits for the word that it is live again.
    pub(super) async fn tell_heads(self: &Rc<Self>, key: SessionKey, entered: Entered) {
        self.tell_pages(key, Pages::of(entered)).await;
    }

    async fn tell_pages(self: &Rc<Self>, key: SessionKey, pages: Pages) {
        for Page { heads, cursor, reset } in pages {
            if !self.room(key).await {
                return;
            }
            self.with(key, |this, connection| {
                this.say(connection, &ServerFrame::Heads { cursor: cursor.as_deref(), heads: &heads, reset });
            });
        }
        self.with(key, |this, connection| {
            let held = connection.state.borrow_mut().feed.go_live();
            for delivery in held {
                this.deliver(connection, &delivery);
            }
            if connection.presence_lost.get() {
                this.review_soon(connection);
            }
        });
    }

    /// Waits until a session's queue has room; `false`: the connection is over.
    pub(super) async fn room(&self, key: SessionKey) -> bool {
        loop {
            let Some(connection) =
                self.registry.borrow().get(key).filter(|connection| !connection.is_ending())
            else {
                return false;
            };
            if connection.waiting_bytes() <= self.bounds.gateway.outbox_bytes {
                return true;
            }
            let queue = connection.queue();
            // Whoever waits does not keep the connection.
            drop(connection);
            queue.room.notified().await;
        }
    }
}
