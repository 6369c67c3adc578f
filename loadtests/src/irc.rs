//! Real chat logs: `[HH:MM] <nick> text` and `[HH:MM]  * nick does something`. All other lines (joins,
//! leaves, renames, notices) are skipped.

const MINUTE_US: u64 = 60_000_000;
/// Half a day: logs are written by 12-hour and by 24-hour clocks, and both come round.
const ROUND_MIN: u64 = 720;
/// A clock that steps back by less than this was merely set right.
const JITTER_MIN: u64 = 30;

/// One thing somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utterance {
    /// Who.
    pub nick: String,
    /// What; an action keeps its `* nick`.
    pub text: String,
    /// When, in microseconds since the log's first minute. Lines of one minute are spread evenly over it.
    pub at_us: u64,
}

/// Reads a log. Never fails: what is not a line said is no part of the replay.
pub fn parse(log: &str) -> Vec<Utterance> {
    let mut said: Vec<(u64, String, String)> = Vec::new();
    let (mut minute, mut last_shown) = (0, None);
    for line in log.lines() {
        let Some((shown, nick, text)) = line_said(line) else { continue };
        if let Some(last) = last_shown {
            minute += step(last, shown);
        }
        last_shown = Some(shown);
        said.push((minute, nick, text));
    }
    spread(&said)
}

fn step(last: u64, shown: u64) -> u64 {
    if shown >= last {
        shown - last
    } else if last - shown <= JITTER_MIN {
        0
    } else {
        (shown + 2 * ROUND_MIN - last) % ROUND_MIN
    }
}

fn spread(said: &[(u64, String, String)]) -> Vec<Utterance> {
    said.chunk_by(|a, b| a.0 == b.0)
        .flat_map(|minute| {
            let each_us = MINUTE_US / minute.len() as u64;
            minute.iter().zip(0..).map(move |((at, nick, text), n)| Utterance {
                nick: nick.clone(),
                text: text.clone(),
                at_us: at * MINUTE_US + n * each_us,
            })
        })
        .collect()
}

fn line_said(line: &str) -> Option<(u64, String, String)> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (hours, minutes) = time.split_once(':')?;
    let minute = hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?;
    let rest = rest.trim_start();
    let (nick, text) = if let Some(action) = rest.strip_prefix("* ") {
        (action.split_whitespace().next()?, rest)
    } else {
        rest.strip_prefix('<')?.split_once('>')?
    };
    // NUL cannot be stored as text anywhere, and an empty line is no message.
    let text = text.trim().replace('\0', "");
    (!text.is_empty() && !nick.is_empty()).then(|| (minute, nick.to_owned(), text))
}

/// Cuts `text` to at most `most_bytes` at a character's boundary.
pub fn cut(text: &str, most_bytes: usize) -> &str {
    let mut end = text.len().min(most_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "[12:58] <ann> hello
=== bob [~bob@host.example]  has joined #ubuntu
[12:58] <bob> what about  <ann> ?
[12:59]  * ann waves
[01:00] <bob>
[01:00] -notice:#ubuntu- not a line
[01:00] <bob> bye
[00:59] <ann> late";

    #[test]
    fn reads_lines_and_actions_at_their_time() {
        let said = parse(LOG);
        let short: Vec<_> = said
            .iter()
            .map(|line| (line.nick.as_str(), line.text.as_str(), line.at_us / 1_000_000))
            .collect();
        assert_eq!(
            short,
            [
                ("ann", "hello", 0),
                ("bob", "what about  <ann> ?", 30),
                ("ann", "* ann waves", 60),
                ("bob", "bye", 120),
                ("ann", "late", 150),
            ]
        );
    }

    #[test]
    fn midnight_comes_round() {
        let said = parse("[23:59] <a> x\n[00:01] <a> y");
        assert_eq!(said[1].at_us, 2 * MINUTE_US);
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("añb", 2), "a");
        assert_eq!(cut("añb", 3), "añ");
        assert_eq!(cut("ab", 9), "ab");
    }
}
