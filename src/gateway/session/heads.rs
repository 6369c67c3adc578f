//! Sends heads page by page as the client takes them, and then the live events.

use super::cursor;
use super::entering::Entered;
use super::session_ref::SessionRef;
use super::stream::ByteStream;
use crate::domain::UserId;
use crate::protocol::server::{HeadEntry, LimitsView, ServerFrame, Welcome};

/// Heads per frame.
const HEADS_PER_FRAME: usize = 200;

/// Heads to send. The last page has the cursor, because only then the client has everything before it.
struct Pages {
    heads: std::vec::IntoIter<HeadEntry>,
    cursor: Option<String>,
    /// Sent with the first page.
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

    /// At least one page: when nothing moved, it has a cursor and no heads.
    fn next(&mut self) -> Option<Page> {
        self.cursor.as_ref()?;
        let heads = self.heads.by_ref().take(bound!(HeadsPerFrame, HEADS_PER_FRAME)).collect();
        let cursor = if self.heads.len() == 0 { self.cursor.take() } else { None };
        Some(Page { heads, cursor, reset: std::mem::take(&mut self.reset) })
    }
}

impl<S: ByteStream> SessionRef<S> {
    /// Welcomes the session with the first page of its heads, and sends the other pages.
    pub(super) async fn welcome(&self, user: UserId, entered: Entered) {
        self.worker.node.meters().resume.heads.record(entered.heads.len() as f64);
        let mut pages = Pages::of(entered);
        let first = pages.next();
        self.with(|session| {
            let (moment, bounds) = (self.worker.moment(), &self.worker.bounds);
            let Page { heads, cursor, reset } = first.unwrap_or_default();
            let welcome = Welcome {
                session: session.state.borrow().id,
                user,
                server_time: moment.now,
                heartbeat_ms: bounds.gateway.heartbeat_ms,
                limits: LimitsView::from(&bounds.limits),
                more_heads: cursor.is_none(),
                reset,
                cursor,
                heads,
                token_expires_in_ms: session.state.borrow().token_expires_in_ms(moment),
            };
            session.send(&ServerFrame::Welcome(Box::new(welcome)));
            session.hello_ended("welcome");
            session.state.borrow_mut().on_welcomed(moment, bounds);
            session.schedule_rules();
        });
        self.tell_pages(pages).await;
    }

    /// Sends heads to a session that was behind, also when nothing moved, because the client waits for the
    /// message that it is live again.
    pub(super) async fn tell_heads(&self, entered: Entered) {
        self.tell_pages(Pages::of(entered)).await;
    }

    async fn tell_pages(&self, pages: Pages) {
        for Page { heads, cursor, reset } in pages {
            if !self.room().await {
                return;
            }
            self.with(|session| {
                session.send(&ServerFrame::Heads { cursor: cursor.as_deref(), heads: &heads, reset });
            });
        }
        self.with(|session| {
            let held = session.state.borrow_mut().life.go_live();
            for delivery in held {
                session.deliver(&delivery);
            }
            if session.presence_lost.get() {
                session.review_soon();
            }
        });
    }
}
