//! Requests that ask the store: tokens, receipts with an answer, presence.

use std::rc::Rc;

use super::Hub;
use super::fan_out::presence_frame;
use crate::actors::inbox::SessionKey;
use crate::domain::{Mark, Topic, UserId};
use crate::gateway::session::connection::Connection;
use crate::protocol::server::ServerFrame;
use crate::protocol::{Failure, RequestId};

impl Hub {
    pub(super) fn authenticate(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        token: String,
        refresh: Option<RequestId>,
    ) {
        let (this, key) = (Rc::clone(self), connection.key());
        self.spawn_for(connection, async move {
            // A hello costs a signature and a reading of heads: only so many at once.
            let permit = match &refresh {
                None => this.admission.acquire().await.map(Some),
                Some(_) => Ok(None),
            };
            let (admission, permit) = match permit {
                Ok(permit) => (this.identity.authenticate(&token).await, permit),
                Err(failure) => {
                    this.node.meters().load.sheds.of("hellos").increment(1);
                    (Err(failure), None)
                }
            };
            this.with(key, |this, connection| {
                if permit.is_some() {
                    connection.permit.set(permit);
                }
                this.decide(connection, |state, moment, _, effects| {
                    state.on_token_checked(admission, refresh, moment, effects);
                });
                // What ended while the token was being checked found no session to close. From here on it does.
                this.check_standing(connection);
                // The new token may end, or be warned of, before the next look.
                let deadline_ms = connection.state.borrow().next_deadline_ms(&this.bounds);
                this.look_at(connection, deadline_ms);
            });
        });
    }

    /// Closes a session whose token was revoked.
    pub(super) fn check_standing(self: &Rc<Self>, connection: &Rc<Connection>) {
        let Some(claims) = connection.state.borrow().claims() else { return };
        let standing = self.identity.standing(&claims);
        self.decide(connection, |state, _, _, effects| state.on_standing(standing, effects));
    }

    pub(super) fn mark(self: &Rc<Self>, connection: &Rc<Connection>, id: RequestId, mark: Mark) {
        let (this, key) = (Rc::clone(self), connection.key());
        self.spawn_for(connection, async move {
            let marked = match this.node.admit_request(mark.user) {
                Ok(()) => this.node.mark(mark).await,
                Err(failure) => Err(failure),
            };
            this.answer(key, &id, marked);
        });
    }

    fn answer(self: &Rc<Self>, key: SessionKey, id: &RequestId, done: Result<(), Failure>) {
        self.with(key, |this, connection| match done {
            Ok(()) => {
                connection.state.borrow_mut().on_answered();
                this.say(connection, &ServerFrame::Ok { id });
            }
            Err(failure) => this.refuse(connection, id, failure),
        });
    }

    pub(super) fn watch(self: &Rc<Self>, connection: &Rc<Connection>, id: RequestId, users: Vec<UserId>) {
        let (this, key) = (Rc::clone(self), connection.key());
        let Some(user) = connection.user() else { return };
        self.spawn_for(connection, async move {
            let visible = match this.node.admit_request(user) {
                Ok(()) => this.visible(user, &users).await,
                Err(failure) => Err(failure),
            };
            let (visible, failed) = match visible {
                Ok(visible) => (visible, None),
                Err(failure) => (Vec::new(), Some(failure)),
            };
            // Subscribe first, look second: whatever changes after the look is told by a signal.
            this.with(key, |this, connection| {
                for user in connection.state.borrow_mut().watches.answer(&users, &visible) {
                    this.registry.borrow_mut().watch(user, connection);
                    this.node.router().subscribe(this.worker, Topic::Presence(user));
                    this.node.meters().social.watches.increment(1.0);
                }
            });
            match failed {
                Some(failure) => this.answer(key, &id, Err(failure)),
                None => {
                    this.tell_presence(key, visible).await;
                    this.answer(key, &id, Ok(()));
                }
            }
        });
    }

    /// Tells a session how those of `users` are whom it watches.
    pub(super) async fn tell_presence(self: &Rc<Self>, key: SessionKey, users: Vec<UserId>) {
        let seen = self.node.presence().seen(&users).await;
        self.with(key, |this, connection| {
            for (user, looked) in users.into_iter().zip(seen) {
                if connection.state.borrow().watches.stands(user) {
                    let presence = this.node.presence().answer(user, looked);
                    this.say(connection, &presence_frame(user, presence));
                }
            }
        });
    }

    /// A session watches `user` no more; whether it did.
    pub(super) fn unwatch(&self, connection: &Rc<Connection>, user: UserId) -> bool {
        let ended = connection.state.borrow_mut().watches.end(user);
        if ended {
            self.registry.borrow_mut().unwatch(user, connection);
            self.node.router().unsubscribe(self.worker, Topic::Presence(user));
            self.node.meters().social.watches.decrement(1.0);
        }
        ended
    }
}
