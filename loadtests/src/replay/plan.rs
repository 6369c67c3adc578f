//! Which lines are sent when and where. Pure.

use std::collections::HashMap;

use crate::irc::{self, Utterance};

/// Divides the log's pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast.
    Times(f64),
    /// As fast as the answers come.
    Max,
}

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.trim_end_matches('x').parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(format!("{text}: neither a speed like 200x nor max")),
        }
    }
}

/// A line of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which log, and so which channel.
    pub channel: usize,
    /// The text.
    pub text: String,
    /// When to say it, in microseconds since the replay began.
    pub at_us: u64,
}

/// Everything one nickname says, over all logs, in time order.
#[derive(Clone, Debug)]
pub struct Part {
    /// The nickname.
    pub nick: String,
    /// Its lines.
    pub lines: Vec<Planned>,
}

/// The parts of all nicknames in the logs, ordered by nickname. `speed` scales the time, lines longer than
/// `body_bytes` are cut at a character, and at most `most_lines` of each log are used.
pub fn parts(logs: &[Vec<Utterance>], speed: Speed, body_bytes: usize, most_lines: usize) -> Vec<Part> {
    let mut by_nick: HashMap<&str, Vec<Planned>> = HashMap::new();
    for (channel, log) in logs.iter().enumerate() {
        for said in log.iter().take(most_lines) {
            let at_us = match speed {
                Speed::Max => 0,
                Speed::Times(times) => (said.at_us as f64 / times) as u64,
            };
            let text = irc::cut(&said.text, body_bytes).to_owned();
            by_nick.entry(&said.nick).or_default().push(Planned { channel, text, at_us });
        }
    }
    let mut parts: Vec<Part> = by_nick
        .into_iter()
        .map(|(nick, mut lines)| {
            lines.sort_by_key(|line| line.at_us);
            Part { nick: nick.to_owned(), lines }
        })
        .collect();
    parts.sort_by(|a, b| a.nick.cmp(&b.nick));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nickname_speaks_in_every_log_at_its_pace() {
        let logs =
            [irc::parse("[10:00] <a> one\n[10:02] <b> two"), irc::parse("[08:00] <b> x\n[08:01] <a> é")];
        let parts = parts(&logs, Speed::Times(60.0), 1, 10);
        assert_eq!(parts.iter().map(|part| part.nick.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let a: Vec<_> =
            parts[0].lines.iter().map(|line| (line.channel, line.at_us, line.text.as_str())).collect();
        assert_eq!(a, [(0, 0, "o"), (1, 1_000_000, "")]);
        assert_eq!(parts[1].lines[1].at_us, 2_000_000);
    }

    #[test]
    fn speeds_are_read_as_people_write_them() {
        assert_eq!("200x".parse(), Ok(Speed::Times(200.0)));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert!("fast".parse::<Speed>().is_err() && "0x".parse::<Speed>().is_err());
    }
}
