//! What holds over the whole table. A cell that is an exception is named here with its reason.

use super::cast::Caller;
use super::{CALLS, Row, Table};

/// Fails with every cell that breaks a rule.
pub fn check(table: &Table) {
    let mut broken = Vec::new();
    for ((name, kind), row) in table {
        let mut rule = |rule: &str, holds: bool| {
            if !holds {
                broken.push(format!("{rule}: {name} | {kind} | {row:?}"));
            }
        };
        let is_frame = name.starts_with("frame ");
        let is_public = CALLS.iter().any(|call| call.is_public && call.name() == *name);
        if is_public {
            rule(
                "a public call is the same for everybody",
                row.values().all(|answer| answer == &row[&Caller::Stranger]),
            );
            continue;
        }
        rule("a dead token opens nothing", dead_tokens_open_nothing(row, is_frame));
        rule(
            "a suspended account is told so",
            row[&Caller::Suspended] == if is_frame { "closed_4403" } else { "403:suspended" },
        );
        if matches!(kind.as_str(), "direct" | "group" | "invite channel") {
            rule("who is no member learns nothing, not even that it exists", hidden(row, is_frame, name));
        }
        rule("a higher role may no less", roles_rise(row, name));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn is_good(answer: &str) -> bool {
    answer.starts_with('2') || matches!(answer, "ack" | "ok" | "synced" | "pong" | "silence")
}

fn dead_tokens_open_nothing(row: &Row, is_frame: bool) -> bool {
    row.iter().filter(|(caller, _)| caller.is_dead()).all(|(_, answer)| {
        let refused = if is_frame { answer.starts_with("closed_44") } else { answer.starts_with("401:") };
        refused || answer == "403:suspended"
    })
}

/// What an outsider may be answered with in a conversation that is not theirs to see, apart from "not found".
const NOT_HIDDEN: &[(&str, &str)] = &[
    (
        "DELETE /v1/conversations/{conversation}/members/{user} (oneself)",
        "leaving again is answered as before",
    ),
    ("(one's own)", "who has left may take back what they said"),
    ("frame read", "the position of who is no member moves nowhere, and the answer is the same for any id"),
    ("frame delivered", "the same"),
    ("frame typing", "it has no answer"),
    ("frame send (to a user)", "it names a user and no conversation"),
];

fn hidden(row: &Row, is_frame: bool, name: &str) -> bool {
    let mut outsiders = [Caller::Guest, Caller::Banned].into_iter().filter_map(|caller| row.get(&caller));
    let hidden = if is_frame { "not_found" } else { "404:not_found" };
    NOT_HIDDEN.iter().any(|(part, _)| name.contains(part)) || outsiders.all(|answer| answer == hidden)
}

/// Exceptions: an owner cannot give themselves what they have, and what is said of oneself has no rank.
fn roles_rise(row: &Row, name: &str) -> bool {
    if name.contains("oneself") {
        return true;
    }
    let good = |caller: Caller| row.get(&caller).is_none_or(|answer| is_good(answer));
    let rises = |low: Caller, high: Caller| !row.contains_key(&low) || !good(low) || good(high);
    rises(Caller::Member, Caller::Admin) && rises(Caller::Admin, Caller::Owner)
}
