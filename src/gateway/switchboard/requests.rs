//! Requests that ask the store: tokens, receipts with an answer, presence.

use std::rc::Rc;

use super::Switchboard;
use super::distribute::presence_frame;
use crate::actors::inbox::SessionKey;
use crate::domain::{Mark, Topic, UserId};
use crate::gateway::line::Line;
use crate::protocol::server::ServerFrame;
use crate::protocol::{Failure, RequestId};

impl Switchboard {
    pub(super) fn authenticate(self: &Rc<Self>, line: &Rc<Line>, token: String, refresh: Option<RequestId>) {
        let (this, key) = (Rc::clone(self), line.key());
        self.spawn_for(line, async move {
            // A hello costs a signature and a reading of heads: only so many at once.
            let place = match &refresh {
                None => this.doorman.place().await.map(Some),
                Some(_) => Ok(None),
            };
            let (admission, place) = match place {
                Ok(place) => (this.identity.authenticate(&token).await, place),
                Err(failure) => {
                    this.node.meters().load.sheds.of("hellos").increment(1);
                    (Err(failure), None)
                }
            };
            this.with(key, |this, line| {
                if place.is_some() {
                    line.place.set(place);
                }
                this.decide(line, |state, moment, _, effects| {
                    state.on_admission(admission, refresh, moment, effects);
                });
                // What ended while the token was being checked found no session to close. From here on it does.
                this.check_standing(line);
                // The new token may end, or be warned of, before the next look.
                let deadline_ms = line.state.borrow().next_deadline_ms(&this.bounds);
                this.look_at(line, deadline_ms);
            });
        });
    }

    /// Closes a session whose token was revoked.
    pub(super) fn check_standing(self: &Rc<Self>, line: &Rc<Line>) {
        let Some(claims) = line.state.borrow().claims() else { return };
        let standing = self.identity.standing(&claims);
        self.decide(line, |state, _, _, effects| state.on_standing(standing, effects));
    }

    pub(super) fn mark(self: &Rc<Self>, line: &Rc<Line>, id: RequestId, mark: Mark) {
        let (this, key) = (Rc::clone(self), line.key());
        self.spawn_for(line, async move {
            let marked = match this.node.admit_request(mark.user) {
                Ok(()) => this.node.mark(mark).await,
                Err(failure) => Err(failure),
            };
            this.answer(key, &id, marked);
        });
    }

    fn answer(self: &Rc<Self>, key: SessionKey, id: &RequestId, done: Result<(), Failure>) {
        self.with(key, |this, line| match done {
            Ok(()) => {
                line.state.borrow_mut().on_answered();
                this.say(line, &ServerFrame::Ok { id });
            }
            Err(failure) => this.refuse(line, id, failure),
        });
    }

    pub(super) fn watch(self: &Rc<Self>, line: &Rc<Line>, id: RequestId, users: Vec<UserId>) {
        let (this, key) = (Rc::clone(self), line.key());
        let Some(user) = line.user() else { return };
        self.spawn_for(line, async move {
            let visible = match this.node.admit_request(user) {
                Ok(()) => this.visible(user, &users).await,
                Err(failure) => Err(failure),
            };
            let (visible, failed) = match visible {
                Ok(visible) => (visible, None),
                Err(failure) => (Vec::new(), Some(failure)),
            };
            // Subscribe first, look second: whatever changes after the look is told by a signal.
            this.with(key, |this, line| {
                for user in line.state.borrow_mut().watches.answer(&users, &visible) {
                    this.registry.borrow_mut().watch(user, line);
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
        self.with(key, |this, line| {
            for (user, looked) in users.into_iter().zip(seen) {
                if line.state.borrow().watches.stands(user) {
                    let presence = this.node.presence().answer(user, looked);
                    this.say(line, &presence_frame(user, presence));
                }
            }
        });
    }

    /// A session watches `user` no more; whether it did.
    pub(super) fn unwatch(&self, line: &Rc<Line>, user: UserId) -> bool {
        let ended = line.state.borrow_mut().watches.end(user);
        if ended {
            self.registry.borrow_mut().unwatch(user, line);
            self.node.router().unsubscribe(self.worker, Topic::Presence(user));
            self.node.meters().social.watches.decrement(1.0);
        }
        ended
    }
}
