//! P7: who is kept out by an operator, and what the audit log has of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tidings::domain::Timestamp;
use tidings::domain::audit::{AuditAction, AuditActor, AuditEntry, Audited, FIRST_PREVIOUS, hash};

use super::{ADAS, BEN, BENS, Scene, token};
use crate::edges::clock::BEGAN_AT_MS;
use crate::history::{What, Who};
use crate::operator::NAME;
use crate::plan::Fault;

impl Scene {
    /// The operator makes a call that is answered with a status, or not at all; the audit log has it if it
    /// was done.
    fn operates(&mut self, method: &str, path: &str, status: Option<u16>) -> &mut Self {
        self.calls += 1;
        let (call, body) = (self.calls, Value::Null);
        let (method, path) = (method.to_owned(), format!("/admin/users/{BEN}/{path}"));
        let action = match (method.as_str(), path.contains("/suspension")) {
            ("PUT", true) => AuditAction::Suspended,
            (_, true) => AuditAction::SuspensionLifted,
            _ => AuditAction::SignInsEnded,
        };
        let called =
            What::Called { call, process: Some(0), method, path, body, signed_in: false, token: None };
        self.note(Who::Operator, called);
        if status == Some(200) {
            self.audits(action);
        }
        self.note(Who::Operator, What::Answered { call, status, body: Value::Null })
    }

    fn audits(&mut self, action: AuditAction) -> &mut Self {
        let actor = AuditActor::Operator(NAME.to_owned());
        let mut fields = AuditEntry::new(Timestamp::from_unix_ms(0), actor, action).fields();
        fields.subject = Some(BEN.to_owned());
        let (id, previous) =
            self.log.audit.last().map_or((1, FIRST_PREVIOUS), |last| (last.id + 1, last.hash));
        let hash = hash(&previous, id, &fields);
        self.log.audit.push(Audited { id, fields, previous, hash });
        self
    }

    fn refused(&mut self, path: &str) -> &mut Self {
        let answer = json!({"code": "suspended", "definite": true, "retryable": false, "retry_after_ms": 9});
        self.calls(1, BEN, "GET", path, 403, answer)
    }
}

fn suspended() -> Scene {
    let mut scene = Scene::new();
    scene.at(10_000).operates("PUT", "suspension?reason=noise", Some(200));
    scene
}

#[test]
fn who_is_kept_out_is_shown_nothing() {
    let mut closed = suspended();
    closed.at(10_800).sends(3, "a").pushed(BENS, 3, "a").at(11_000).closed(BENS, Some(4403)).holds();
    let mut goes_on = suspended();
    goes_on.at(12_000).sends(3, "a").pushed(BENS, 3, "a").breaks("P7", "went on");
    let mut other = suspended();
    other.at(10_900).closed(BENS, Some(4403)).at(12_000).sends(3, "a").holds();
    other
        .at(13_000)
        .sent(ADAS, json!({"type": "ping", "id": 9}))
        .received(ADAS, json!({"type": "pong", "id": 9}));
    other.holds();
}

#[test]
fn every_door_is_closed_to_who_is_kept_out() {
    let closed = || {
        let mut scene = suspended();
        scene.at(10_900).closed(BENS, Some(4403));
        scene
    };
    closed().at(11_200).calls(1, BEN, "GET", "/v1/me", 200, json!({})).holds();
    closed().at(12_000).refused("/v1/me").holds();
    closed().at(12_000).calls(1, BEN, "GET", "/v1/me", 200, json!({})).breaks("P7", "GET /v1/me");
    let signed_in = json!({"user": {"id": BEN}, "access_token": token(BEN, "f9"), "refresh_token": "r"});
    for path in ["/v1/tokens", "/v1/tokens/refresh", "/v1/accounts/guest"] {
        let (asked, answer) = (("POST", path, json!({"refresh_token": "q"})), signed_in.clone());
        closed().at(12_000).calls_with(1, None, asked, 200, answer).breaks("P7", path);
    }
}

#[test]
fn a_suspension_ends_with_its_time_or_when_it_is_lifted() {
    let mut lifted = suspended();
    lifted.at(10_900).closed(BENS, Some(4403)).at(14_000).operates("DELETE", "suspension", Some(200));
    lifted.at(14_100).refused("/v1/me").holds();
    lifted.at(15_500).calls(1, BEN, "GET", "/v1/me", 200, json!({})).holds();
    lifted.at(16_000).refused("/v1/me").breaks("P7", "whose suspension had ended");

    let mut over = Scene::new();
    over.at(10_000).operates("PUT", "suspension?duration_s=4&reason=noise", Some(200));
    over.at(10_900).closed(BENS, Some(4403)).at(13_000).refused("/v1/me").holds();
    over.at(16_000).calls(1, BEN, "GET", "/v1/me", 200, json!({})).holds();
    over.at(17_000).refused("/v1/me").breaks("P7", "whose suspension had ended");
}

#[test]
fn the_tokens_from_before_a_suspension_work_again() {
    let mut lifted = suspended();
    lifted.at(10_900).closed(BENS, Some(4403)).at(14_000).operates("DELETE", "suspension", Some(200));
    let now_ms = BEGAN_AT_MS + 9_000;
    let claims = json!({"sub": BEN, "fam": "f1", "iat_ms": now_ms}).to_string();
    let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
    let call = ("GET", "/v1/me", Value::Null);
    let refused = json!({"code": "unauthenticated", "definite": true, "retryable": false});
    lifted.at(14_500).calls_with(1, Some(token.clone()), call.clone(), 401, refused.clone()).holds();
    lifted.at(16_000).calls_with(1, Some(token), call, 401, refused).breaks("P7", "a token from before it");
}

#[test]
fn nothing_is_certain_without_an_answer_while_clocks_differ_or_after_a_loss() {
    let mut unknown = Scene::new();
    unknown.at(10_000).operates("PUT", "suspension?reason=noise", None);
    unknown.at(12_000).calls(1, BEN, "GET", "/v1/me", 200, json!({})).holds();
    let mut clocks = Scene::new();
    clocks.plan.processes[0].clock_off_ms = -3_000;
    clocks.at(10_000).operates("PUT", "suspension?duration_s=8&reason=noise", Some(200));
    clocks
        .at(10_900)
        .closed(BENS, Some(4403))
        .at(13_000)
        .calls(1, BEN, "GET", "/v1/me", 200, json!({}))
        .holds();
    let mut lost = suspended();
    lost.at(11_000).fault(Fault::Restore { lost: 1 });
    lost.at(13_000).calls(1, BEN, "GET", "/v1/me", 200, json!({})).holds();
}

#[test]
fn each_command_is_in_the_audit_log_which_is_one_chain() {
    let mut missing = suspended();
    missing.at(10_900).closed(BENS, Some(4403)).holds();
    missing.log.audit.clear();
    missing.breaks("audit", "asked for it 1 times");
    let mut twice = suspended();
    twice.at(10_900).closed(BENS, Some(4403)).audits(AuditAction::Suspended).breaks("audit", "2 entries");
    let mut changed = suspended();
    changed.at(10_900).closed(BENS, Some(4403));
    changed.at(11_000).operates("DELETE", "sign-ins", Some(200)).holds();
    changed.log.audit[0].fields.details = Some("changed".to_owned());
    changed.breaks("audit", "entry 1");
    let mut beheaded = suspended();
    beheaded.at(10_900).closed(BENS, Some(4403)).at(11_000).operates("DELETE", "sign-ins", Some(200));
    beheaded.log.audit.remove(0);
    assert!(!beheaded.broken().is_empty());
}
