//! The device's sign-in: sign-up, sign-in, refresh, and what ends it.

use serde_json::{Value, json};

use super::device::Device;
use super::jobs::Purpose;
use super::verdict::{Verdict, of_call};
use super::wire::{integer, owned, text};
use super::world::Way;
use crate::net::{Broken, Call};
use crate::plan::Behaviour;

/// A token is renewed when so little of its time is left, in milliseconds, or a quarter of it if that is
/// less.
const RENEW_MS: u64 = 45_000;

/// Where the device's sign-in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignIn {
    /// It must sign in, not before then.
    Needed(u64),
    /// It asks.
    Asking,
    /// It has tokens.
    Done,
    /// The user signed out.
    Out,
    /// The account is gone.
    Erased,
}

/// The tokens of a device.
#[derive(Debug)]
pub struct Account {
    /// Where the sign-in is.
    pub state: SignIn,
    /// The user's id.
    pub user: Option<String>,
    /// The access token.
    pub access: Option<String>,
    /// When it ends (virtual milliseconds).
    pub ends_at: u64,
    life_ms: u64,
    refresh: Option<String>,
    /// The access token is to be renewed, not before then.
    pub renew_at: Option<u64>,
    renewing: bool,
    failures: u32,
    /// The next sign-in makes the account, because none was found.
    make: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            state: SignIn::Needed(0),
            user: None,
            access: None,
            ends_at: 0,
            life_ms: 0,
            refresh: None,
            renew_at: None,
            renewing: false,
            failures: 0,
            make: false,
        }
    }
}

fn post(path: &str, body: Value) -> Call {
    Call { method: "POST", path: path.to_owned(), token: None, body: Some(body), key: None }
}

impl Device {
    /// Does what is due for the sign-in.
    pub(super) fn advance_account(&mut self) {
        if self.world.borrow().people[self.plan.person].erased && self.account.state != SignIn::Erased {
            // Another device of this person ended the account; its tokens end with it.
            if !matches!(self.account.state, SignIn::Done | SignIn::Asking) {
                self.erased();
            }
        }
        let state = self.account.state;
        match state {
            SignIn::Needed(at) if self.is_due(at) => self.sign_in(),
            SignIn::Done => self.renew(),
            _ => {}
        }
    }

    fn sign_in(&mut self) {
        let person = self.world.borrow().people[self.plan.person].clone();
        let first = person.first_device == Some(self.index);
        if person.way == Way::Claimed && !person.has_password && !first && !person.reclaim {
            // The account has no password yet that a second device could use.
            self.account.state = SignIn::Needed(self.now + 500);
            return;
        }
        let with_password = json!({"username": person.username, "password": person.password});
        let (purpose, call) = match person.way {
            Way::Guest => (Purpose::SignUp, guest(&person.device_id)),
            Way::Claimed if !person.has_password => (Purpose::SignUp, guest(&person.device_id)),
            _ if person.has_password && !self.account.make => {
                (Purpose::SignIn, post("/v1/tokens", with_password))
            }
            _ => (Purpose::SignUp, post("/v1/accounts", with_password)),
        };
        self.account.state = SignIn::Asking;
        self.ask(purpose, call);
    }

    fn renew(&mut self) {
        if self.plan.behaviour == Behaviour::Rest && self.account.renew_at.is_none() {
            // A connection is sent `token_expiring`; without a connection the device uses its clock.
            let left = RENEW_MS.min(self.account.life_ms / 4);
            self.account.renew_at = Some(self.account.ends_at.saturating_sub(left));
        }
        let Some(at) = self.account.renew_at else { return };
        if self.account.renewing || !self.is_due(at) {
            return;
        }
        let Some(refresh) = self.account.refresh.clone() else { return };
        self.account.renewing = true;
        self.ask(Purpose::Refresh, post("/v1/tokens/refresh", json!({"refresh_token": refresh})));
    }

    /// A new access token is needed.
    pub(super) fn renew_soon(&mut self) {
        // Who was told to wait does not ask sooner.
        let waits = self.account.failures > 0 && self.account.renew_at.is_some();
        if self.account.state == SignIn::Done && !waits {
            self.account.renew_at = Some(self.now);
        }
    }

    /// The connection did not take the token: try with another one after a while.
    pub(super) fn renew_after(&mut self, verdict: &Verdict) {
        let wait = match verdict {
            Verdict::Later(wait) | Verdict::Unsure(wait) => *wait,
            _ => None,
        };
        self.account.renew_at = Some(self.now + self.backoff(3, wait));
    }

    /// The answer to a sign-up or sign-in.
    pub(super) fn signed_in(&mut self, purpose: &Purpose, answer: Result<(u16, Value), Broken>) {
        let wait = match of_call(answer) {
            Verdict::Done(body) => return self.take_tokens(purpose, &body),
            // The account is not there (any more): a database was restored. It is made again.
            Verdict::Unauthorized | Verdict::Refused(_) => {
                let person = &mut self.world.borrow_mut().people[self.plan.person];
                if person.way == Way::Claimed {
                    person.has_password = false;
                    person.reclaim = true;
                } else {
                    self.account.make = !self.account.make;
                }
                None
            }
            Verdict::Later(wait) | Verdict::Unsure(wait) => wait,
        };
        self.account.failures += 1;
        let at = self.now + self.backoff(self.account.failures, wait);
        self.account.state = SignIn::Needed(at);
    }

    fn take_tokens(&mut self, purpose: &Purpose, body: &Value) {
        let user = owned(&body["user"], "id");
        if self.account.user.is_some() && self.account.user != user {
            self.remark(format!("signs in as another user: {:?} was {:?}", user, self.account.user));
            self.outbox.clear();
            self.forget_everything();
        }
        let mut world = self.world.borrow_mut();
        let person = &mut world.people[self.plan.person];
        person.user.clone_from(&user);
        person.has_password |= person.way == Way::Password || *purpose == Purpose::SignIn;
        let claim = (person.way == Way::Claimed && !person.has_password)
            .then(|| post("/v1/me/claim", json!({"username": person.username, "password": person.password})));
        let claims_twice = person.claims_twice;
        drop(world);
        self.copy.borrow_mut().user.clone_from(&user);
        self.account.user = user;
        self.account.make = false;
        self.account.state = SignIn::Done;
        self.copy.borrow_mut().signed_out = false;
        self.keep_tokens(body);
        // Calls end with a sign-in, also those for heads of conversations that are known from events only.
        let copy = self.copy.borrow();
        let unknown = copy.conversations.iter().filter(|(_, known)| !known.based);
        let unknown: Vec<String> = unknown.map(|(id, _)| id.clone()).collect();
        drop(copy);
        unknown.iter().for_each(|id| self.ask_for_head(id));
        if let Some(claim) = claim {
            if claims_twice {
                self.ask(Purpose::Beside, claim.clone());
            }
            self.changes.push(Purpose::Claim, claim);
        }
    }

    fn keep_tokens(&mut self, body: &Value) {
        self.copy.borrow_mut().signed_out = false;
        self.account.failures = 0;
        self.account.renew_at = None;
        self.account.access = owned(body, "access_token");
        self.account.refresh = owned(body, "refresh_token");
        self.account.life_ms = integer(body, "expires_in").unwrap_or(60) * 1_000;
        self.account.ends_at = self.now + self.account.life_ms;
        self.world.borrow_mut().keep_token(self.index, text(body, "access_token"));
        self.authorize();
    }

    /// The answer to a refresh.
    pub(super) fn renewed(&mut self, answer: Result<(u16, Value), Broken>) {
        self.account.renewing = false;
        if self.account.state != SignIn::Done {
            return;
        }
        match of_call(answer) {
            Verdict::Done(body) => self.keep_tokens(&body),
            Verdict::Unauthorized | Verdict::Refused(_) => self.lost_sign_in(),
            Verdict::Later(wait) | Verdict::Unsure(wait) => {
                self.account.failures += 1;
                // The same refresh token is good again for 30 s only, so the waits stay short.
                let wait = self.backoff(self.account.failures.min(3), wait);
                self.account.renew_at = Some(self.now + wait);
            }
        }
    }

    /// The sign-in was ended elsewhere: sign in again, unless the account is gone.
    fn lost_sign_in(&mut self) {
        self.account.access = None;
        self.account.refresh = None;
        self.account.renew_at = None;
        if self.world.borrow().people[self.plan.person].erased {
            return self.erased();
        }
        self.account.state = SignIn::Needed(self.now + self.dice.below(500));
    }

    /// The claim was answered.
    pub(super) fn claimed(&mut self) {
        self.world.borrow_mut().people[self.plan.person].has_password = true;
    }

    /// The user signed out here.
    pub(super) fn signed_out(&mut self) {
        self.copy.borrow_mut().signed_out = true;
        self.account.access = None;
        self.account.refresh = None;
        self.account.renew_at = None;
        self.account.state = SignIn::Out;
        self.copy.borrow_mut().signed_out = true;
    }

    /// The account is gone.
    pub(super) fn erased(&mut self) {
        self.signed_out();
        self.account.state = SignIn::Erased;
        self.outbox.clear();
    }

    /// The user signs in again.
    pub(super) fn sign_in_again(&mut self) {
        if self.account.state == SignIn::Out {
            self.account.state = SignIn::Needed(self.now);
        }
    }
}

fn guest(device_id: &str) -> Call {
    post("/v1/accounts/guest", json!({"device_id": device_id, "display_name": "A guest"}))
}
