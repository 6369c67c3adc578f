//! P7: once a block was answered, neither of the two is sent the other's typing, receipts and presence, until
//! it is lifted.
//!
//! A process that missed the signal of a block reads the blocks again within five minutes
//! (docs/SEMANTICS.md), which is longer than a run, so a block that was set while the bus or the log did not
//! work is left out.

use super::Run;
use super::transcript::Request;

/// How long after the answer signals may still come.
const WITHIN_MS: u64 = 1_000;

/// A block, from its answer to the moment at which it was asked to end.
struct Block {
    by: String,
    of: String,
    answered: usize,
    lifted: usize,
}

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for block in blocks(run) {
        let set_ms = run.transcript.at_ms(block.answered);
        let soon_ms = set_ms + WITHIN_MS + run.troubles.weather_at(set_ms);
        let missed = run.may_lose()
            || run.troubles.is_bad(set_ms, soon_ms)
            || run.troubles.bus_is_bad(set_ms, soon_ms);
        if missed {
            continue;
        }
        for (number, socket) in &run.transcript.sockets {
            let other = match socket.user.as_deref() {
                Some(user) if user == block.by => &block.of,
                Some(user) if user == block.of => &block.by,
                _ => continue,
            };
            let due_ms = run.troubles.reached_by(set_ms, soon_ms - set_ms, socket.process, socket.device);
            let told = socket.frames.iter().find(|(entry, was_sent)| {
                !was_sent
                    && *entry > block.answered
                    && *entry < block.lifted
                    && run.transcript.at_ms(*entry) > due_ms
                    && run.transcript.frame(*entry).is_some_and(|frame| is_told(frame, other))
            });
            if let Some((entry, _)) = told {
                let text = format!(
                    "connection {number} of device {} was told of {other}, although {} had blocked {}",
                    socket.device, block.by, block.of
                );
                wrong.push((text, vec![block.answered, *entry]));
            }
        }
    }
    for (text, entries) in wrong {
        run.broken("P7", text, entries, None);
    }
}

/// Whether a frame shows what a user does. The end of typing and `offline` show nothing.
fn is_told(frame: &serde_json::Value, user: &str) -> bool {
    let of_user = frame["user"] == user;
    match frame["type"].as_str().unwrap_or_default() {
        "typing" => of_user && frame["on"] == true,
        "receipt" => of_user,
        "presence" => of_user && frame["state"] != "offline",
        _ => false,
    }
}

fn blocks(run: &Run<'_>) -> Vec<Block> {
    let about = |request: &Request<'_>, method: &str| {
        let (path, _) = request.call(method)?;
        match path.as_slice() {
            ["v1", "blocks", of] => Some(((*of).to_owned(), request.user.clone()?)),
            _ => None,
        }
    };
    let requests = &run.transcript.requests;
    let set = requests.iter().filter(|request| request.is_done()).filter_map(|request| {
        let (of, by) = about(request, "PUT")?;
        let answered = request.answered?;
        let mut lifts = requests.iter().filter(|lift| {
            // A lift that was not answered yet may come into force at any time.
            about(lift, "DELETE").is_some_and(|pair| pair == (of.clone(), by.clone()))
                && lift.answered.is_none_or(|at| at > request.sent)
        });
        let lifted = lifts.next().map_or(usize::MAX, |lift| lift.sent);
        Some(Block { by, of, answered, lifted })
    });
    set.collect()
}
