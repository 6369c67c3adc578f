//! The rules of a session, without socket, store or clock.

use uuid::Uuid;

use super::effect::Effect;
use super::state::{Moment, SessionState};
use crate::domain::{FamilyId, Position, SessionId, Timestamp, UserId};
use crate::gateway::Bounds;
use crate::identity::{AccountSuspended, Claims, Standing};
use crate::protocol::{Close, Encoding, ErrorCode, Failure, RequestId};
use crate::store::Cursor;

const ADA: UserId = UserId::from_uuid(Uuid::from_u128(0xada));
const HEARTBEAT_MS: u64 = 25_000;
const TOKEN_MS: i64 = 900_000;

fn bounds() -> Bounds {
    Bounds::for_tests()
}

fn moment(mono_ms: u64) -> Moment {
    Moment { mono_ms, now: Timestamp::from_unix_ms(1_000_000 + mono_ms as i64) }
}

fn admission(user: UserId, lives_ms: i64, at_ms: u64) -> Claims {
    let now = moment(at_ms).now;
    let family = Some(FamilyId::from_uuid(Uuid::from_u128(0xfa)));
    Claims { user, family, issued_at: now, expires_at: now.plus_ms(lives_ms) }
}

/// A session and everything it wanted so far.
struct Table {
    state: SessionState,
    bounds: Bounds,
    effects: Vec<Effect>,
}

impl Table {
    fn new(bearer: Option<&str>) -> Self {
        let bounds = bounds();
        let id = SessionId::from_uuid(Uuid::from_u128(7));
        let state = SessionState::new(id, bearer.map(str::to_owned), moment(0), &bounds);
        Self { state, bounds, effects: Vec::new() }
    }

    /// One that has its welcome.
    fn live() -> Self {
        let mut table = Self::new(None);
        table.says(0, r#"{"type":"hello","token":"t"}"#);
        table.state.on_token_checked(Ok(admission(ADA, TOKEN_MS, 0)), None, moment(0), &mut table.effects);
        table.state.read_heads();
        let cursor = Cursor { epoch: 1, position: Position(1) };
        table.state.feed.arrive(&mut table.state.life, Vec::new(), cursor, ADA, &[]);
        table.state.on_welcomed(moment(0), &table.bounds);
        table.state.life.go_live();
        table.effects.clear();
        table
    }

    fn says(&mut self, at_ms: u64, text: &str) {
        let frame = Encoding::Json.decode(text.as_bytes());
        self.state.on_frame(frame, moment(at_ms), &self.bounds, &mut self.effects);
    }

    fn ticks(&mut self, at_ms: u64) {
        self.state.on_tick(moment(at_ms), 0, &self.bounds, &mut self.effects);
    }

    fn taken(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    fn closed(&self) -> Option<Close> {
        let close = |effect: &Effect| match effect {
            Effect::Close(close) => Some(*close),
            _ => None,
        };
        self.effects.iter().find_map(close)
    }
}

#[test]
fn a_hello_leads_to_a_check_and_then_in() {
    let mut table = Table::new(None);
    table.says(0, r#"{"type":"hello","token":"t","cursor":"nonsense"}"#);
    let [Effect::Authenticate { token, refresh: None }] = &table.effects[..] else {
        panic!("{:?}", table.effects)
    };
    assert_eq!(token, "t");
    assert!(!table.state.may_read(&table.bounds), "nothing is read until the welcome");
    table.effects.clear();
    table.state.on_token_checked(Ok(admission(ADA, TOKEN_MS, 0)), None, moment(0), &mut table.effects);
    let [Effect::Enter { user, since: None, brought_cursor: true, positions }] = &table.effects[..] else {
        panic!("{:?}", table.effects)
    };
    assert!(*user == ADA && positions.is_empty());
    table.state.read_heads();
    table.state.on_welcomed(moment(0), &table.bounds);
    assert!(table.state.may_read(&table.bounds) && table.state.user() == Some(ADA));
}

#[test]
fn heads_that_cannot_be_read_end_a_hello_but_not_a_session() {
    let mut entering = Table::new(None);
    entering.says(0, r#"{"type":"hello","token":"t"}"#);
    entering.state.on_token_checked(Ok(admission(ADA, TOKEN_MS, 0)), None, moment(0), &mut entering.effects);
    entering.state.on_heads_failed(moment(0), &mut entering.effects);
    assert_eq!(entering.closed(), Some(Close::Internal), "nothing was promised: the client comes back");

    let mut table = Table::live();
    table.state.life.lag();
    table.state.on_heads_failed(moment(0), &mut table.effects);
    assert!(table.closed().is_none() && !table.state.life.is_draining(), "no other reading begins meanwhile");
    table.ticks(999);
    assert!(table.taken().is_empty());
    table.ticks(2_000);
    assert!(matches!(table.taken()[..], [Effect::CatchUp]));
}

#[test]
fn what_a_comparison_cannot_explain_is_looked_at_again() {
    let mut table = Table::live();
    table.state.on_doubt(moment(10));
    assert!(table.state.next_deadline_ms(&table.bounds) <= 3_010);
    table.ticks(3_009);
    assert!(table.taken().is_empty());
    table.ticks(3_010);
    assert!(matches!(table.taken()[..], [Effect::LookAgain]));
    // However often is compared: a doubt is looked at before anything else is asked.
    table.state.on_doubt(moment(120_000));
    table.ticks(120_000);
    assert!(table.taken().iter().all(|effect| !matches!(effect, Effect::Compare)));
    table.ticks(123_000);
    assert!(table.taken().iter().any(|effect| matches!(effect, Effect::LookAgain)));
    table.ticks(3_011);
    assert!(table.taken().is_empty(), "once");
}

#[test]
fn what_does_not_begin_with_a_hello_is_closed() {
    for (bearer, first, close) in [
        (None, r#"{"type":"ping"}"#, Close::NotTidings),
        (None, "{", Close::NotTidings),
        (None, r#"{"type":"hello","token":7}"#, Close::NotTidings),
        (None, r#"{"type":"hello"}"#, Close::Unauthenticated),
    ] {
        let mut table = Table::new(bearer);
        table.says(0, first);
        assert_eq!(table.closed(), Some(close), "{first}");
        table.taken();
        table.says(1, r#"{"type":"hello","token":"t"}"#);
        assert!(table.effects.is_empty(), "nothing is obeyed behind a close");
    }
    let mut table = Table::new(Some("from the upgrade"));
    table.says(0, r#"{"type":"hello"}"#);
    assert!(
        matches!(&table.effects[..], [Effect::Authenticate { token, .. }] if token == "from the upgrade")
    );
}

#[test]
fn silence_before_the_hello_ends_in_time_and_not_before() {
    let mut table = Table::new(None);
    assert_eq!(table.state.next_deadline_ms(&table.bounds), 5_000);
    table.ticks(4_999);
    assert_eq!(table.closed(), None);
    table.ticks(5_000);
    assert_eq!(table.closed(), Some(Close::TimedOut));
}

#[test]
fn a_token_that_is_refused_says_why_by_the_close() {
    let failures = [
        (Failure::Unauthenticated("bad"), Close::Unauthenticated, false),
        (Failure::Unavailable { definite: true }, Close::Internal, false),
        (Failure::Overloaded { retry_after_ms: 1_500 }, Close::Busy, true),
        (Failure::RateLimited { retry_after_ms: 1_500 }, Close::Busy, true),
        (Failure::Suspended { left_ms: 1_500, reason: None }, Close::Banned, true),
    ];
    for (failure, close, told) in failures {
        let mut table = Table::new(Some("t"));
        table.says(0, r#"{"type":"hello"}"#);
        table.taken();
        table.state.on_token_checked(Err(failure), None, moment(0), &mut table.effects);
        assert_eq!(table.closed(), Some(close));
        let wait = table.effects.iter().find_map(|effect| match effect {
            Effect::Error { id: None, error } => error.retry_after_ms,
            _ => None,
        });
        assert_eq!(wait.is_some(), told, "{close:?}");
    }
}

#[test]
fn a_new_token_is_for_the_same_user_and_a_bad_one_changes_nothing() {
    let mut table = Table::live();
    table.says(0, r#"{"type":"auth","id":1,"token":"n"}"#);
    assert!(matches!(&table.taken()[..], [Effect::Authenticate { refresh: Some(RequestId::Number(1)), .. }]));
    let id = || Some(RequestId::Number(1));
    let bad = Err(Failure::Unauthenticated("bad"));
    table.state.on_token_checked(bad, id(), moment(0), &mut table.effects);
    assert!(
        matches!(&table.taken()[..], [Effect::Error { error, .. }] if error.code == ErrorCode::Unauthenticated)
    );
    assert_eq!(table.state.token_expires_in_ms(moment(0)), TOKEN_MS as u64, "the old token holds");
    table.state.on_token_checked(Ok(admission(ADA, 2 * TOKEN_MS, 0)), id(), moment(0), &mut table.effects);
    assert!(matches!(&table.taken()[..], [Effect::Ok(_)]));
    assert_eq!(table.state.token_expires_in_ms(moment(0)), 2 * TOKEN_MS as u64);
    let ben = UserId::from_uuid(Uuid::from_u128(0xbe));
    table.state.on_token_checked(Ok(admission(ben, TOKEN_MS, 0)), id(), moment(0), &mut table.effects);
    assert_eq!(table.closed(), Some(Close::Unauthenticated));
}

#[test]
fn a_token_is_warned_of_once_and_ends_the_connection() {
    let mut table = Table::live();
    let warned = |effects: &[Effect]| {
        effects
            .iter()
            .filter(|effect| matches!(effect, Effect::TokenExpiring { expires_in_ms: 60_000 }))
            .count()
    };
    let mut effects = Vec::new();
    for at_ms in (0..TOKEN_MS as u64).step_by(HEARTBEAT_MS as usize / 2) {
        table.state.on_sign_of_life();
        let at_ms = at_ms.min(840_000);
        table.ticks(at_ms);
        effects.append(&mut table.effects);
    }
    assert_eq!(warned(&effects), 1);
    table.ticks(TOKEN_MS as u64);
    assert_eq!(table.closed(), Some(Close::Unauthenticated));
}

#[test]
fn two_pings_may_stay_unanswered_and_no_third() {
    let mut table = Table::live();
    let pings =
        |table: &mut Table| table.taken().iter().filter(|effect| matches!(effect, Effect::Ping)).count();
    for beat in 1..=2 {
        table.ticks(beat * HEARTBEAT_MS);
        assert_eq!(pings(&mut table), 1);
    }
    table.state.on_sign_of_life();
    for beat in 3..=4 {
        table.ticks(beat * HEARTBEAT_MS);
        assert_eq!(pings(&mut table), 1);
    }
    table.ticks(5 * HEARTBEAT_MS);
    assert_eq!(table.closed(), Some(Close::TimedOut));
}

#[test]
fn a_socket_that_takes_nothing_is_ended() {
    let mut table = Table::live();
    table.state.on_tick(moment(1), 9_999, &table.bounds, &mut table.effects);
    assert_eq!(table.closed(), None);
    table.state.on_tick(moment(2), 10_000, &table.bounds, &mut table.effects);
    assert_eq!(table.closed(), Some(Close::TimedOut));
}

#[test]
fn twenty_malformed_frames_in_a_minute_are_too_many() {
    let mut table = Table::live();
    for n in 0..19 {
        table.says(n, "{");
    }
    assert_eq!((table.closed(), table.effects.len()), (None, 19));
    for n in 0..40 {
        table.says(n, r#"{"type":"fly"}"#);
        table.says(n, r#"{"type":"typing","on":1}"#);
    }
    assert_eq!(table.closed(), None, "what is well-formed is only wrong");
    table.says(59_999, "{");
    assert_eq!(table.closed(), Some(Close::NotTidings));
    let mut table = Table::live();
    for n in 0..100 {
        table.says(n * 4_000, "{");
    }
    assert_eq!(table.closed(), None, "over a longer time they are answered");
}

#[test]
fn requests_under_way_are_bounded_and_reading_goes_on_when_one_is_answered() {
    let mut table = Table::live();
    table.bounds.gateway.in_flight_requests = 2;
    let send = r#"{"type":"send","id":1,"to":"u_000000000000000000000000000000be","client_id":"0197f3c0-1111-7222-8333-444455556666","body":"b"}"#;
    for _ in 0..table.bounds.gateway.in_flight_requests {
        assert!(table.state.may_read(&table.bounds));
        table.says(0, send);
    }
    assert!(!table.state.may_read(&table.bounds));
    table.state.on_answered();
    assert!(table.state.may_read(&table.bounds));
    table.says(0, r#"{"type":"send","id":2,"client_id":"0197f3c0-1111-7222-8333-444455556666","body":"b"}"#);
    assert!(table.state.may_read(&table.bounds), "what is refused at once is not under way");
    assert!(
        matches!(table.effects.last(), Some(Effect::Error { error, .. }) if error.code == ErrorCode::Invalid)
    );
}

#[test]
fn whoever_goes_on_while_limited_is_cut_off() {
    let mut table = Table::live();
    for n in 0..599 {
        table.state.on_rate_limited(moment(n * 100), &mut table.effects);
    }
    assert_eq!(table.closed(), None);
    table.state.on_rate_limited(moment(59_950), &mut table.effects);
    assert_eq!(table.closed(), Some(Close::Abuse));
}

#[test]
fn frames_that_cost_nothing_are_counted_too() {
    let mut table = Table::live();
    let most = u64::from(table.bounds.frames_per_minute());
    // The hello was one.
    for n in 1..most {
        table.says(n * 59_000 / most, r#"{"type":"ping"}"#);
    }
    assert_eq!(table.closed(), None);
    table.says(59_500, r#"{"type":"ping"}"#);
    assert_eq!(table.closed(), Some(Close::Abuse));
}

#[test]
fn a_token_that_was_revoked_ends_its_session() {
    for (standing, close) in [
        (Standing::Good, None),
        (Standing::SignedOut, Some(Close::Unauthenticated)),
        (Standing::Gone, Some(Close::Banned)),
    ] {
        let mut table = Table::live();
        table.state.on_standing(standing.clone(), &mut table.effects);
        assert_eq!(table.closed(), close, "{standing:?}");
    }
}

#[test]
fn a_suspended_account_reads_why_before_its_session_closes() {
    let reason = Some("spam".to_owned());
    let told = |effects: &[Effect]| {
        effects.iter().any(|effect| matches!(effect, Effect::Error { id: None, error }
            if error.code == ErrorCode::Suspended && error.retry_after_ms == Some(7) && error.message.contains("spam")))
    };
    let mut table = Table::live();
    let suspended = AccountSuspended { left_ms: 7, reason };
    table.state.on_standing(Standing::Suspended(suspended), &mut table.effects);
    assert!(told(&table.effects));
    assert_eq!(table.closed(), Some(Close::Banned));
}

#[test]
fn a_token_that_was_revoked_while_entering_never_gets_in() {
    let mut table = Table::new(None);
    table.says(0, r#"{"type":"hello","token":"t"}"#);
    table.state.on_token_checked(Ok(admission(ADA, TOKEN_MS, 0)), None, moment(0), &mut table.effects);
    table.state.read_heads();
    table.state.on_standing(Standing::SignedOut, &mut table.effects);
    assert_eq!(table.closed(), Some(Close::Unauthenticated));
    // The heads arrive nevertheless.
    table.state.on_welcomed(moment(0), &table.bounds);
    table.state.on_heads_failed(moment(0), &mut table.effects);
    assert!(table.state.life.go_live().is_empty() && table.state.life.is_closing());
    table.taken();
    table.says(1, r#"{"type":"ping"}"#);
    assert!(table.effects.is_empty());
}

#[test]
fn comparisons_come_once_a_period_and_only_while_events_are_pushed() {
    let mut table = Table::live();
    let mut compared = Vec::new();
    for at_ms in (0..300_000).step_by(1_000) {
        table.state.on_sign_of_life();
        if at_ms == 200_000 {
            table.state.life.lag();
        }
        table.ticks(at_ms);
        let wants = table.taken().iter().any(|effect| matches!(effect, Effect::Compare));
        compared.extend(wants.then_some(at_ms));
    }
    assert_eq!(compared.len(), 3, "{compared:?}");
    assert!(compared[0] >= 30_000 && compared[1] - compared[0] == 60_000, "{compared:?}");
    let mut never = Table::new(None);
    never.bounds.gateway.anti_entropy_ms = 0;
    never.state.on_welcomed(moment(0), &never.bounds);
    never.state.on_tick(moment(4_000), 0, &never.bounds, &mut never.effects);
    assert!(never.effects.is_empty());
}

#[test]
fn going_to_the_background_is_told_once() {
    let mut table = Table::live();
    table.says(0, r#"{"type":"background"}"#);
    table.says(0, r#"{"type":"background","id":1}"#);
    assert!(matches!(&table.taken()[..], [Effect::Moved { .. }, Effect::Ok(_)]));
    table.says(0, r#"{"type":"foreground"}"#);
    assert!(matches!(&table.taken()[..], [Effect::Moved { .. }]));
}
