//! The mistakes found while reading and checking settings.

use std::fmt;

use crate::domain::SHOWN_NAME_CHARS;

/// One mistake: which key, where its value came from, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    key: String,
    origin: Option<String>,
    text: String,
}

/// Collects mistakes while the settings are read and checked.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    warnings: Vec<String>,
}

impl Problems {
    /// Notes a mistake. `key` may be empty when a whole source cannot be read.
    pub(super) fn add(&mut self, key: &str, origin: Option<String>, text: String) {
        self.list.push(Problem { key: key.to_owned(), origin, text });
    }

    /// Notes mistakes under `section`; [`Problems::locate`] fills in where the values came from.
    pub(super) fn of<'a>(&'a mut self, section: &'a str) -> SectionProblems<'a> {
        SectionProblems { section, problems: self }
    }

    /// Notes what is legal and yet probably not meant.
    pub(super) fn warn(&mut self, warnings: Vec<String>) {
        self.warnings.extend(warnings);
    }

    /// Returns the noted warnings and removes them.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Completes the places of mistakes that were noted by key only.
    pub(super) fn locate(&mut self, origin_of: impl Fn(&str) -> Option<String>) {
        for problem in &mut self.list {
            if problem.origin.is_none() {
                problem.origin = origin_of(&problem.key);
            }
        }
    }

    pub(super) fn into_errors(self) -> ConfigErrors {
        ConfigErrors { list: self.list }
    }
}

/// Notes mistakes of one section, by the names of its keys.
pub(super) struct SectionProblems<'a> {
    section: &'a str,
    problems: &'a mut Problems,
}

impl SectionProblems<'_> {
    /// Notes `text` about `key` when `wrong`.
    pub(super) fn when(&mut self, wrong: bool, key: &str, text: impl Into<String>) {
        if wrong {
            self.problems.add(&format!("{}.{key}", self.section), None, text.into());
        }
    }

    /// Notes a value outside of `least..=most`.
    pub(super) fn range<N>(&mut self, key: &str, value: N, least: N, most: N)
    where
        N: Copy + PartialOrd + fmt::Display,
    {
        let wrong = value < least || value > most;
        self.when(wrong, key, format!("{value} is out of range: write a number from {least} to {most}"));
    }

    /// Notes a text that people cannot be shown as a name.
    pub(super) fn shown_name(&mut self, key: &str, value: &str) {
        let chars = value.trim().chars().count();
        let wrong = chars == 0 || chars > SHOWN_NAME_CHARS || value.chars().any(char::is_control);
        let text = format!("write 1 to {SHOWN_NAME_CHARS} characters without control characters");
        self.when(wrong, key, text);
    }

    /// Notes an empty text.
    pub(super) fn not_empty(&mut self, key: &str, value: &str) {
        self.when(value.trim().is_empty(), key, "may not be empty");
    }
}

/// Why the settings cannot be used: one line for each mistake, for a person to read.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    list: Vec<Problem>,
}

impl ConfigErrors {
    /// How many mistakes were found.
    pub fn count(&self) -> usize {
        self.list.len()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.list.len() == 1 { "mistake" } else { "mistakes" };
        write!(f, "{} {plural} in the configuration:", self.list.len())?;
        for problem in &self.list {
            f.write_str("\n  ")?;
            match (problem.key.as_str(), &problem.origin) {
                ("", None) => {}
                ("", Some(origin)) => write!(f, "{origin}: ")?,
                (key, None) => write!(f, "{key}: ")?,
                (key, Some(origin)) => write!(f, "{key} ({origin}): ")?,
            }
            f.write_str(&problem.text)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigErrors {}
