//! The findings of the checks, and their verdict.

use std::fmt;

/// The condition of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// As it should be.
    Good(String),
    /// A start works, and something is probably not meant.
    Warning(String),
    /// A start fails; the text says what to do.
    Failed(String),
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Its name.
    pub what: &'static str,
    /// Its condition.
    pub condition: Condition,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order of the look.
    pub findings: Vec<Finding>,
    /// A server works with these settings already.
    pub is_running: bool,
}

impl Report {
    pub(super) fn add(&mut self, what: &'static str, condition: Condition) {
        self.findings.push(Finding { what, condition });
    }

    /// Adds a failure, or that all is well.
    pub(super) fn tried(&mut self, what: &'static str, tried: Result<String, String>) {
        self.add(what, tried.map_or_else(Condition::Failed, Condition::Good));
    }

    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.count(|condition| matches!(condition, Condition::Failed(_))) == 0
    }

    fn count(&self, wanted: impl Fn(&Condition) -> bool) -> usize {
        self.findings.iter().filter(|finding| wanted(&finding.condition)).count()
    }

    fn verdict(&self) -> String {
        let failed = self.count(|condition| matches!(condition, Condition::Failed(_)));
        let warnings = match self.count(|condition| matches!(condition, Condition::Warning(_))) {
            0 => String::new(),
            1 => ", with one warning".to_owned(),
            count => format!(", with {count} warnings"),
        };
        match (self.is_running, failed) {
            (false, 0) => format!("a start would work{warnings}"),
            (false, _) => {
                format!("a start would fail: {failed} of {} checks failed{warnings}", self.findings.len())
            }
            (true, 0) => format!("the server is healthy{warnings}"),
            (true, _) => {
                format!(
                    "the server is not healthy: {failed} of {} checks failed{warnings}",
                    self.findings.len()
                )
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { what, condition } in &self.findings {
            let (word, text) = match condition {
                Condition::Good(text) => ("ok", text),
                Condition::Warning(text) => ("warn", text),
                Condition::Failed(text) => ("FAIL", text),
            };
            writeln!(f, "{word:<5} {what:<12} {text}")?;
        }
        writeln!(f, "{}", self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_verdict() {
        let mut report = Report::default();
        report.tried("address", Ok("is free".to_owned()));
        assert_eq!(report.to_string(), "ok    address      is free\na start would work\n");
        report.add("open files", Condition::Warning("few".to_owned()));
        assert!(report.is_good() && report.to_string().ends_with("\na start would work, with one warning\n"));
        report.tried("database", Err("is none".to_owned()));
        let text = report.to_string();
        assert!(
            !report.is_good()
                && text.ends_with("\na start would fail: 1 of 3 checks failed, with one warning\n")
        );
    }
}
