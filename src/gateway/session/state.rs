//! A session's rules as a plain value: frames, answers and times go in, [`Effect`]s come out.

use std::sync::Arc;

use super::checked_token::CheckedToken;
use super::cursor;
use super::effect::Effect;
use super::feed::Feed;
use super::life::Life;
use super::minute_counter::MinuteCounter;
use super::watches::Watches;
use crate::actors::presence::state::Device;
use crate::domain::{SessionId, Timestamp, UserId};
use crate::gateway::Bounds;
use crate::identity::{Claims, Standing};
use crate::protocol::client::Hello;
use crate::protocol::delivery::Delivery;
use crate::protocol::{ClientFrame, Close, ErrorCode, Failure, Rejected, RequestId};

/// The present moment, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Monotonic milliseconds, for deadlines.
    pub mono_ms: u64,
    /// Wall-clock time, for tokens.
    pub now: Timestamp,
}

/// The rules of one session: frames and times in, effects out.
#[derive(Debug)]
pub struct SessionState {
    /// The session's id, sent in `welcome`.
    pub id: SessionId,
    /// Its phase.
    pub life: Life,
    /// Which live events it is pushed.
    pub feed: Feed,
    hello: Option<Box<Hello>>,
    /// The token of the session.
    user: Option<UserId>,
    token: Option<Box<CheckedToken>>,
    pub(super) device: Device,
    pub(super) in_flight: u16,
    unanswered_pings: u8,
    next_ping_ms: u64,
    frames: MinuteCounter,
    malformed: MinuteCounter,
    rate_limited: MinuteCounter,
    compare_ms: Option<u64>,
    /// When to read again which users' signals the session may be sent.
    review_ms: Option<u64>,
    /// The later work for the heads, and its time.
    again: Option<(u64, Again)>,
    /// The users whose presence it is sent.
    pub watches: Watches,
}

/// Work that is done a little later.
#[derive(Debug, Clone, Copy)]
enum Again {
    /// Check again what a comparison could not explain.
    Look,
    /// Read heads again after a failure.
    CatchUp,
}

/// How long an event may be on its way before a session counts it as lost. Healing takes less.
const ON_ITS_WAY_MS: u64 = 3_000;
/// How often the session reads again which users' signals it may be sent, in case a signal was lost.
const REVIEW_MS: u64 = 300_000;
/// Within which time it reads that when it is in doubt. Spread, so that not all sessions read at once.
const REVIEW_SOON_MS: u64 = 2_000;
/// The shortest wait before heads that could not be read are read again. The longest is twice that, so that
/// not all sessions read at once.
const CATCH_UP_AGAIN_MS: u64 = 1_000;
/// After this many rate-limited answers per minute a client counts as abusive.
const RATE_LIMITED_PER_MINUTE: u32 = 600;
const UNANSWERED_PINGS: u8 = 2;

impl SessionState {
    /// A new connection. `bearer`: a token that came with the upgrade.
    pub fn new(id: SessionId, bearer: Option<String>, moment: Moment, bounds: &Bounds) -> Self {
        let hello = bearer.map(|token| Box::new(Hello { token: Some(token), ..Hello::default() }));
        Self {
            id,
            life: Life::Greeting { deadline_ms: moment.mono_ms + bounds.gateway.hello_timeout_ms },
            feed: Feed::default(),
            hello,
            user: None,
            token: None,
            device: Device::Foreground,
            in_flight: 0,
            unanswered_pings: 0,
            next_ping_ms: moment.mono_ms + bounds.gateway.heartbeat_ms,
            frames: MinuteCounter::default(),
            malformed: MinuteCounter::default(),
            rate_limited: MinuteCounter::default(),
            compare_ms: None,
            review_ms: None,
            again: None,
            watches: Watches::default(),
        }
    }

    /// The user, once the token was checked.
    pub const fn user(&self) -> Option<UserId> {
        self.user
    }

    /// The claims of the token, once it was checked.
    pub fn claims(&self) -> Option<Claims> {
        self.token.as_ref().map(|token| token.claims)
    }

    /// The connection state of the device.
    pub const fn device(&self) -> Device {
        self.device
    }

    /// Whether another frame may be read now: requests in progress are bounded, and entering comes first.
    pub const fn may_read(&self, bounds: &Bounds) -> bool {
        self.life.reads_frames() && self.in_flight < bounds.gateway.in_flight_requests
    }

    /// In how many milliseconds the token expires.
    pub fn token_expires_in_ms(&self, moment: Moment) -> u64 {
        self.token.as_ref().map_or(0, |token| token.left_ms(moment.mono_ms))
    }

    /// When [`SessionState::on_tick`] must be called next.
    pub fn next_deadline_ms(&self, bounds: &Bounds) -> u64 {
        let hello = match self.life {
            Life::Greeting { deadline_ms } => deadline_ms,
            _ => u64::MAX,
        };
        let warning_ms = bounds.gateway.token_warning_ms;
        let token = self.token.as_ref().map_or(u64::MAX, |token| token.due_ms(warning_ms));
        let again_ms = self.again.map(|(at_ms, _)| at_ms);
        let upkeep = [again_ms, self.compare_ms, self.review_ms].into_iter().flatten().min();
        hello.min(self.next_ping_ms).min(token).min(upkeep.unwrap_or(u64::MAX))
    }

    fn close(&mut self, close: Close, effects: &mut Vec<Effect>) {
        if self.life.close() {
            effects.push(Effect::Close(close));
        }
    }

    /// Heads are about to be read. From now on events are held.
    pub fn read_heads(&mut self) {
        self.life.read_heads();
        self.feed.drop_doubts();
    }

    /// Heads will be read, but not yet.
    pub fn wait_for_heads(&mut self) {
        self.life.wait_for_heads();
        self.feed.drop_doubts();
    }

    /// Judges an event. Returns `true` if it must be pushed now.
    pub fn wants(&mut self, delivery: &Arc<Delivery>) -> bool {
        self.feed.wants(&mut self.life, delivery)
    }

    /// Takes a frame, well-formed or not.
    pub fn on_frame(
        &mut self,
        frame: Result<ClientFrame, Rejected>,
        moment: Moment,
        bounds: &Bounds,
        effects: &mut Vec<Effect>,
    ) {
        self.unanswered_pings = 0;
        let flooded = self.frames.count(moment.mono_ms) > bounds.frames_per_minute();
        match (&self.life, frame) {
            (Life::Closing(_), _) => {}
            _ if flooded => self.close(Close::Abuse, effects),
            (Life::Greeting { .. }, Ok(ClientFrame::Hello(hello))) => self.on_hello(hello, effects),
            (Life::Greeting { .. }, _) => self.close(Close::NotTidings, effects),
            (_, Ok(frame)) => self.on_request(frame, bounds, effects),
            (_, Err(rejected)) => self.on_rejected(rejected, moment, bounds, effects),
        }
    }

    fn on_rejected(
        &mut self,
        rejected: Rejected,
        moment: Moment,
        bounds: &Bounds,
        effects: &mut Vec<Effect>,
    ) {
        let malformed = rejected.error.code == ErrorCode::BadFrame;
        effects.push(Effect::Error { id: rejected.id, error: rejected.error });
        if malformed && self.malformed.count(moment.mono_ms) >= bounds.gateway.malformed_per_minute {
            self.close(Close::NotTidings, effects);
        }
    }

    fn on_hello(&mut self, hello: Box<Hello>, effects: &mut Vec<Effect>) {
        let bearer = self.hello.take().and_then(|upgrade| upgrade.token);
        let Some(token) = hello.token.clone().or(bearer) else {
            return self.close(Close::Unauthenticated, effects);
        };
        if hello.device.as_ref().is_some_and(|device| device.len() > 64) {
            return self.close(Close::NotTidings, effects);
        }
        self.hello = Some(hello);
        self.life = Life::Authenticating;
        effects.push(Effect::Authenticate { token, refresh: None });
    }

    /// The token was checked. `refresh`: the `auth` request that brought it; `None`: the `hello`.
    pub fn on_token_checked(
        &mut self,
        admission: Result<Claims, Failure>,
        refresh: Option<RequestId>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if self.life.is_closing() {
            return;
        }
        if refresh.is_some() {
            self.on_answered();
        }
        match (admission, refresh) {
            (Ok(claims), Some(id)) => {
                if self.user() != Some(claims.user) {
                    return self.close(Close::Unauthenticated, effects);
                }
                self.adopt(claims, moment);
                effects.push(Effect::Ok(id));
            }
            (Ok(claims), None) => {
                self.adopt(claims, moment);
                let hello = self.hello.take().unwrap_or_default();
                effects.push(Effect::Enter {
                    user: claims.user,
                    since: hello.cursor.as_deref().and_then(cursor::decode),
                    brought_cursor: hello.cursor.is_some(),
                    positions: hello.positions.unwrap_or_default(),
                });
            }
            (Err(failure), Some(id)) => effects.push(Effect::Error { id: Some(id), error: failure.into() }),
            (Err(Failure::Unauthenticated(_)), None) => self.close(Close::Unauthenticated, effects),
            (Err(Failure::Refused(_)), None) => self.close(Close::Banned, effects),
            (Err(failure @ Failure::Suspended { .. }), None) => self.end(failure, Close::Banned, effects),
            (Err(failure @ (Failure::Overloaded { .. } | Failure::RateLimited { .. })), None) => {
                self.end(failure, Close::Busy, effects);
            }
            // The client may reconnect at once to another node, or here in a moment.
            (Err(Failure::Unavailable { .. } | Failure::IssuerAway), None) => {
                self.close(Close::Internal, effects);
            }
        }
    }

    fn adopt(&mut self, claims: Claims, moment: Moment) {
        let left_ms = u64::try_from(claims.expires_at.ms_since(moment.now)).unwrap_or(0);
        let ends_mono_ms = moment.mono_ms.saturating_add(left_ms);
        self.user = Some(claims.user);
        self.token = Some(Box::new(CheckedToken::new(claims, ends_mono_ms)));
    }

    /// The welcome is queued. Requests may come.
    pub fn on_welcomed(&mut self, moment: Moment, bounds: &Bounds) {
        if matches!(self.life, Life::Entering(_)) {
            self.life.welcome();
            let first_ms = |period_ms: u64| moment.mono_ms + period_ms / 2 + self.spread_ms(period_ms / 2);
            let (compare_ms, review_ms) = (bounds.gateway.anti_entropy().map(first_ms), first_ms(REVIEW_MS));
            self.compare_ms = compare_ms;
            self.review_ms.get_or_insert(review_ms);
        }
    }

    /// A number below `below_ms` that differs between sessions, so that sessions which came together do not
    /// use the store together.
    fn spread_ms(&self, below_ms: u64) -> u64 {
        // The end of the id is random.
        self.id.as_uuid().as_u128() as u64 % (below_ms + 1)
    }

    /// Heads could not be read. Before the welcome the connection is closed and the client comes back; after
    /// it the session tries again.
    pub fn on_heads_failed(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        if !self.life.is_welcomed() {
            rare!(HeadsUnreadableAtHello);
            return self.close(Close::Internal, effects);
        }
        rare!(HeadsUnreadableWhileCatchingUp);
        self.wait_for_heads();
        let wait_ms = CATCH_UP_AGAIN_MS + self.spread_ms(CATCH_UP_AGAIN_MS);
        self.again = Some((moment.mono_ms + wait_ms, Again::CatchUp));
    }

    /// Closes after an error that says why.
    fn end(&mut self, failure: Failure, close: Close, effects: &mut Vec<Effect>) {
        effects.push(Effect::Error { id: None, error: failure.into() });
        self.close(close, effects);
    }

    /// The session's knowledge of whose signals it may be sent may be wrong: it is read again soon.
    pub fn review_soon(&mut self, moment: Moment) {
        let soon_ms = moment.mono_ms + self.spread_ms(REVIEW_SOON_MS);
        self.review_ms = Some(self.review_ms.map_or(soon_ms, |due_ms| due_ms.min(soon_ms)));
    }

    /// A comparison found what it could not explain.
    pub const fn on_doubt(&mut self, moment: Moment) {
        self.again = Some((moment.mono_ms + ON_ITS_WAY_MS, Again::Look));
    }

    /// A request in progress was answered.
    pub const fn on_answered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A request was answered with `rate_limited`.
    pub fn on_rate_limited(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        if self.rate_limited.count(moment.mono_ms) >= RATE_LIMITED_PER_MINUTE {
            self.close(Close::Abuse, effects);
        }
    }

    pub(super) fn under_way(&mut self, effect: Effect, effects: &mut Vec<Effect>) {
        self.in_flight += 1;
        effects.push(effect);
    }

    /// A pong arrived, or another sign of life below the protocol.
    pub const fn on_sign_of_life(&mut self) {
        self.unanswered_pings = 0;
    }

    /// Whether this session's token is still valid.
    pub fn on_standing(&mut self, standing: Standing, effects: &mut Vec<Effect>) {
        rare!(RevokedWhileEntering, standing != Standing::Good && matches!(self.life, Life::Entering(_)));
        rare!(RevokedWhileLagging, standing != Standing::Good && matches!(self.life, Life::Lagging(_)));
        rare!(RevokedWithRequestsInProgress, standing != Standing::Good && self.in_flight > 0);
        match standing {
            Standing::Good => {}
            Standing::SignedOut => self.close(Close::Unauthenticated, effects),
            Standing::Gone => self.close(Close::Banned, effects),
            Standing::Suspended(why) => self.end(why.into(), Close::Banned, effects),
        }
    }

    /// Time passed. `stalled_ms`: for how long the socket has taken none of the waiting bytes.
    pub fn on_tick(&mut self, moment: Moment, stalled_ms: u64, bounds: &Bounds, effects: &mut Vec<Effect>) {
        if let Life::Greeting { deadline_ms } = self.life
            && moment.mono_ms >= deadline_ms
        {
            rare!(HelloTooLate);
            return self.close(Close::TimedOut, effects);
        }
        if stalled_ms >= bounds.gateway.write_deadline_ms {
            rare!(SocketStalledUntilTheDeadline);
            return self.close(Close::TimedOut, effects);
        }
        if self.review_ms.is_some_and(|at_ms| moment.mono_ms >= at_ms) {
            self.review_ms = Some(moment.mono_ms + REVIEW_MS);
            effects.push(Effect::Review);
        }
        if let Some((_, again)) = self.again.take_if(|(at_ms, _)| moment.mono_ms >= *at_ms) {
            effects.push(match again {
                Again::Look => Effect::LookAgain,
                Again::CatchUp => Effect::CatchUp,
            });
        }
        if let Some(period_ms) = bounds.gateway.anti_entropy()
            && self.compare_ms.is_some_and(|at_ms| moment.mono_ms >= at_ms)
        {
            self.compare_ms = Some(moment.mono_ms + period_ms);
            // The result of an earlier comparison is checked first.
            if self.life.is_live() && self.again.is_none() {
                effects.push(Effect::Compare);
            }
        }
        if let Some(token) = &mut self.token {
            let left_ms = token.left_ms(moment.mono_ms);
            if left_ms == 0 {
                rare!(TokenExpiresOnAConnection);
                return self.close(Close::Unauthenticated, effects);
            }
            if token.warn(moment.mono_ms, bounds.gateway.token_warning_ms) {
                effects.push(Effect::TokenExpiring { expires_in_ms: left_ms });
            }
        }
        if moment.mono_ms >= self.next_ping_ms {
            if self.unanswered_pings >= UNANSWERED_PINGS {
                rare!(PingsUnanswered);
                return self.close(Close::TimedOut, effects);
            }
            self.unanswered_pings += 1;
            self.next_ping_ms = moment.mono_ms + bounds.gateway.heartbeat_ms;
            effects.push(Effect::Ping);
        }
    }
}
