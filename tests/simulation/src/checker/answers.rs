//! P11: every request is answered, by an answer that the contract knows, and says whether a failure is
//! definite. Every close has a code of the catalogue.
//!
//! A request stays without an answer only if its connection ended, or if the device did not read.

use super::Run;
use super::transcript::Asked;
use crate::history::{What, Who};
use crate::plan::Behaviour;

const CODES: &[&str] = &[
    "bad_frame",
    "unknown_type",
    "too_large",
    "unauthenticated",
    "forbidden",
    "not_found",
    "not_member",
    "blocked",
    "muted",
    "banned",
    "invalid",
    "conflict",
    "rate_limited",
    "overloaded",
    "unavailable",
    "suspended",
];
const CLOSES: &[u16] = &[1000, 1002, 1003, 1007, 1009, 1011, 1012, 1013, 4400, 4401, 4403, 4408, 4429];
/// The closes that a correct client must not get.
const UNDESERVED: &[u16] = &[1002, 1003, 1007, 1009, 4400];

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for (at, entry) in run.transcript.entries.iter().enumerate() {
        let Who::Device(device) = entry.who else { continue };
        let correct = run.plan.devices.get(device).is_some_and(|one| one.behaviour != Behaviour::Hostile);
        match &entry.what {
            What::Received { frame, .. } if frame["type"] == "error" => {
                let known = frame["code"].as_str().is_some_and(|code| CODES.contains(&code));
                if !known || !frame["definite"].is_boolean() || !frame["retryable"].is_boolean() {
                    wrong.push((
                        format!(
                            "device {device} was answered with an error that is in no catalogue: {frame}"
                        ),
                        at,
                    ));
                }
                let slow =
                    ["rate_limited", "overloaded", "suspended"].iter().any(|code| frame["code"] == *code);
                if slow && !frame["retry_after_ms"].is_u64() {
                    wrong.push((format!("device {device} was told to wait, and not how long: {frame}"), at));
                }
            }
            What::Closed { code: Some(code), .. }
                if ![1005, 1006].contains(code)
                    && (!CLOSES.contains(code) || (correct && UNDESERVED.contains(code))) =>
            {
                wrong.push((format!("the connection of device {device} was closed with {code}"), at));
            }
            What::Answered { status: Some(status), body, .. } => {
                let problem =
                    *status >= 400 && !body["code"].as_str().is_some_and(|code| CODES.contains(&code));
                if problem || *status == 500 {
                    wrong.push((format!("device {device} was answered {status} with {body}"), at));
                }
            }
            What::Noted { text } if text.starts_with("unanswered") => {
                wrong.push((format!("device {device}: {text}"), at));
            }
            _ => {}
        }
    }
    for (text, entry) in wrong {
        run.broken("P11", text, vec![entry], None);
    }
    stuck(run);
}

/// A request on a connection that stayed open for long after it, without an answer.
fn stuck(run: &mut Run<'_>) {
    const PATIENCE_MS: u64 = 15_000;
    let end_ms = run.plan.active_ms + run.plan.calm_ms;
    let mut wrong = Vec::new();
    for request in &run.transcript.requests {
        let Asked::Frame(socket, frame) = request.asked else { continue };
        let wants = !frame["id"].is_null() && request.answered.is_none();
        let hostile =
            run.plan.devices.get(request.device).is_none_or(|one| one.behaviour == Behaviour::Hostile);
        if !wants || hostile || frame["type"] == "hello" {
            continue;
        }
        let open = run.transcript.sockets.get(&socket);
        let Some(open) = open else { continue };
        let until_ms = open.closed.map_or(end_ms, |(at, _)| run.transcript.at_ms(at));
        // The device received a frame long after its request, so it reads and the connection works.
        let sent_ms = run.transcript.at_ms(request.sent);
        let heard = open
            .frames
            .iter()
            .rev()
            .find(|(_, was_sent)| !was_sent)
            .map_or(0, |(at, _)| run.transcript.at_ms(*at));
        // What it heard may have waited for it while it did not read.
        let read = !run.troubles.sockets_are_bad(sent_ms, heard, open.process, open.device);
        if read && until_ms > sent_ms + PATIENCE_MS && heard > sent_ms + PATIENCE_MS {
            let text = format!(
                "device {} has no answer to {frame}, although its connection worked for {} s more",
                request.device,
                (heard - sent_ms) / 1_000
            );
            wrong.push((text, request.sent));
        }
    }
    for (text, entry) in wrong {
        run.broken("P11", text, vec![entry], None);
    }
}
