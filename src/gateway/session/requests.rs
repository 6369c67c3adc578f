//! Requests that need the store: tokens, receipts with an answer, presence.

use std::rc::Rc;

use super::Session;
use super::deliveries::presence_frame;
use super::session_ref::SessionRef;
use super::stream::ByteStream;
use crate::domain::{Receipt, UserId, price};
use crate::gateway::admission::Permit;
use crate::protocol::server::ServerFrame;
use crate::protocol::{Failure, RequestId};

/// Users whose presence is sent before there has to be room again.
const USERS_AT_ONCE: usize = 50;

/// State that exists only until the hello has ended.
#[derive(Debug)]
pub struct HelloInProgress {
    /// When the connection was upgraded, on the monotonic clock.
    pub opened_us: u64,
    /// The permit of a hello in progress.
    permit: Option<Permit>,
}

impl HelloInProgress {
    /// The connection was upgraded at `opened_us`.
    pub const fn new(opened_us: u64) -> Self {
        Self { opened_us, permit: None }
    }
}

impl<S: ByteStream> Session<S> {
    /// Checks a token. `refresh`: the `auth` request that brought it; `None`: the `hello`.
    pub(super) fn authenticate(self: &Rc<Self>, token: String, refresh: Option<RequestId>) {
        if let Some(id) = &refresh
            && let Some(user) = self.user()
            && let Err(failure) = self.worker.node.admit_work(user, price::AUTH)
        {
            return self.refuse(id, failure);
        }
        self.spawn(|this| async move {
            // A hello costs a signature check and a read of heads, so their number is limited.
            let permit = match &refresh {
                None => this.worker.admission.acquire().await.map(Some),
                Some(_) => Ok(None),
            };
            let (checked, permit) = match permit {
                Ok(permit) => (this.worker.identity.authenticate(&token).await, permit),
                Err(failure) => {
                    rare!(HelloShed);
                    this.worker.node.meters().load.sheds.of("hellos").increment(1);
                    (Err(failure), None)
                }
            };
            this.with(|session| {
                if let Some(mut hello) = session.hello.take() {
                    hello.permit = permit;
                    session.hello.set(Some(hello));
                }
                session.decide(|state, moment, _, effects| {
                    state.on_token_checked(checked, refresh, moment, effects);
                });
                // A revocation during the check found no session to close. From here on it does.
                session.check_standing();
                // The new token may expire, or need its warning, before the next timer.
                session.schedule_rules();
            });
        });
    }

    /// Closes a session whose token was revoked.
    pub(super) fn check_standing(self: &Rc<Self>) {
        let Some(claims) = self.state.borrow().claims() else { return };
        let standing = self.worker.identity.standing(&claims);
        self.decide(|state, _, _, effects| state.on_standing(standing, effects));
    }

    /// Stores a receipt before it answers.
    pub(super) fn move_receipt(self: &Rc<Self>, id: RequestId, receipt: Receipt) {
        self.spawn(|this| async move {
            let node = &this.worker.node;
            let moved = match node.admit_request(receipt.user) {
                Ok(()) => node.move_receipt(receipt).await,
                Err(failure) => Err(failure),
            };
            this.answer(&id, moved);
        });
    }

    /// Watches those of `users` whom the session may see, and sends their presence.
    pub(super) fn watch(self: &Rc<Self>, id: RequestId, users: Vec<UserId>) {
        let Some(user) = self.user() else { return };
        self.spawn(|this| async move {
            let visible = match this.worker.node.admit_work(user, price::of_watch(users.len())) {
                Ok(()) => this.worker.visible(user, &users).await,
                Err(failure) => Err(failure),
            };
            let (visible, failed) = match visible {
                Ok(visible) => (visible, None),
                Err(failure) => (Vec::new(), Some(failure)),
            };
            // Subscribe first, read second: a change after the read arrives as a signal.
            this.with(|session| {
                let begun = session.state.borrow_mut().watches.answer(&users, &visible);
                for user in begun {
                    session.worker.directory.watch(user, session);
                }
            });
            match failed {
                Some(failure) => this.answer(&id, Err(failure)),
                None => {
                    this.tell_presence(visible).await;
                    this.answer(&id, Ok(()));
                }
            }
        });
    }

    /// Stops watching `user`. Returns whether the session watched the user.
    pub(super) fn unwatch(self: &Rc<Self>, user: UserId) -> bool {
        let ended = self.state.borrow_mut().watches.end(user);
        if ended {
            self.worker.directory.unwatch(user, self);
        }
        ended
    }
}

impl<S: ByteStream> SessionRef<S> {
    fn answer(&self, id: &RequestId, done: Result<(), Failure>) {
        self.with(|session| match done {
            Ok(()) => {
                session.state.borrow_mut().on_answered();
                session.send(&ServerFrame::Ok { id });
            }
            Err(failure) => session.refuse(id, failure),
        });
    }

    /// Sends the presence of those of `users` whom the session watches, as fast as the client takes it.
    pub(super) async fn tell_presence(&self, users: Vec<UserId>) {
        let presence = self.worker.node.presence();
        for some in users.chunks(USERS_AT_ONCE) {
            if !self.room().await {
                return;
            }
            let seen = presence.seen(some).await;
            self.with(|session| {
                for (user, looked) in some.iter().copied().zip(seen) {
                    if session.state.borrow().watches.is_watched(user) {
                        session.send(&presence_frame(user, presence.answer(user, looked)));
                    }
                }
            });
        }
    }
}
