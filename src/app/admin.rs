//! `tidings admin`: an operator's commands to a running process, through its internal address.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use thiserror::Error;

use super::call::{Answer, CallError, call};
use crate::api::admin::audit::AuditLine;
use crate::config::Settings;
use crate::domain::audit::{Audited, verify};

/// Between two looks while the audit log is followed.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Entries in one answer.
const PAGE: u64 = 500;

/// Why a command was not carried out; the text says what to do.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The server was not asked, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is not what this release expects.
    #[error(
        "the server answered with something else than expected: {0}; use the tidings of the same release"
    )]
    Unexpected(String),
    /// The audit log was changed.
    #[error(
        "the audit log is broken at entry {0}: it was changed, moved or put in, or an entry before it was removed; compare it with a copy"
    )]
    Broken(u64),
}

/// Makes an operator's calls to the process that the settings name.
pub struct AdminClient<'s> {
    settings: &'s Settings,
    name: String,
}

/// Whether a suspended account's content stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspendedContent {
    /// It stays.
    Keep,
    /// Messages and reactions are removed.
    Remove,
}

impl<'s> AdminClient<'s> {
    /// `name`: what the audit log calls the operator.
    pub const fn new(settings: &'s Settings, name: String) -> Self {
        Self { settings, name }
    }

    async fn ask(&self, method: Method, path: &str, query: &[(&str, String)]) -> Result<Answer, AdminError> {
        Ok(call(self.settings, method, path, query, Some(&self.name)).await?)
    }

    async fn json(&self, method: Method, path: &str, query: &[(&str, String)]) -> Result<Value, AdminError> {
        let answer = self.ask(method, path, query).await?;
        serde_json::from_str(&answer.text).map_err(|_| AdminError::Unexpected(answer.text))
    }

    /// Users by words in their names, or by id.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn find(&self, text: &str) -> Result<Value, AdminError> {
        self.json(Method::GET, "/admin/users", &[("q", text.to_owned())]).await
    }

    /// One user, by id or username.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn show(&self, user: &str) -> Result<Value, AdminError> {
        self.json(Method::GET, &user_path(user, ""), &[]).await
    }

    /// Suspends an account, for good without a duration.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn suspend(
        &self,
        user: &str,
        duration: Option<Duration>,
        reason: Option<String>,
        content: SuspendedContent,
    ) -> Result<Value, AdminError> {
        let mut query = Vec::new();
        query.extend(duration.map(|duration| ("duration_s", duration.as_secs().to_string())));
        query.extend(reason.map(|reason| ("reason", reason)));
        if content == SuspendedContent::Remove {
            query.push(("content", "remove".to_owned()));
        }
        self.json(Method::PUT, &user_path(user, "/suspension"), &query).await
    }

    /// Ends a suspension.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn lift(&self, user: &str) -> Result<Value, AdminError> {
        self.json(Method::DELETE, &user_path(user, "/suspension"), &[]).await
    }

    /// Suspended accounts, a page at a time, all pages.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn suspensions(&self) -> Result<Vec<Value>, AdminError> {
        let mut users = Vec::new();
        let mut query = Vec::new();
        loop {
            let page = self.json(Method::GET, "/admin/suspensions", &query).await?;
            users.extend(page["users"].as_array().cloned().unwrap_or_default());
            let Some(next) = page["next_cursor"].as_str() else { return Ok(users) };
            query = vec![("cursor", next.to_owned())];
        }
    }

    /// Ends all sign-ins of an account.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn sign_out(&self, user: &str) -> Result<(), AdminError> {
        self.ask(Method::DELETE, &user_path(user, "/sign-ins"), &[]).await.map(|_| ())
    }

    /// Sets a password that signs in once, within a day, and returns it.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn one_time_password(&self, user: &str) -> Result<String, AdminError> {
        let answer = self.json(Method::PUT, &user_path(user, "/one-time-password"), &[]).await?;
        let password = answer["password"].as_str().map(str::to_owned);
        password.ok_or_else(|| AdminError::Unexpected("no password".to_owned()))
    }

    /// Ends the second factor of an account.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn end_second_factor(&self, user: &str) -> Result<(), AdminError> {
        self.ask(Method::DELETE, &user_path(user, "/second-factor"), &[]).await.map(|_| ())
    }

    /// Erases an account.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn erase(&self, user: &str) -> Result<(), AdminError> {
        self.ask(Method::DELETE, &user_path(user, ""), &[]).await.map(|_| ())
    }

    /// Everything kept about an account, as JSON lines, given to `each` part by part.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn export(&self, user: &str, mut each: impl FnMut(&str)) -> Result<(), AdminError> {
        let mut query = Vec::new();
        loop {
            let part = self.ask(Method::GET, &user_path(user, "/export"), &query).await?;
            each(&part.text);
            let Some(next) = part.next else { return Ok(()) };
            query = vec![("after", next)];
        }
    }

    /// The last `last` entries of the audit log, given to `each` one by one; with `follow` then those that
    /// are added, for ever.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn audit(&self, last: u64, follow: bool, mut each: impl FnMut(&str)) -> Result<(), AdminError> {
        let mut query = vec![("last", last.to_string()), ("limit", PAGE.to_string())];
        loop {
            let lines = self.ask(Method::GET, "/admin/audit", &query).await?.text;
            let mut after = None;
            for line in lines.lines() {
                after = Some(line_of(line)?.id);
                each(line);
            }
            match after {
                // The end may move while the first page is asked for.
                Some(after) => query = next_query(after),
                None if follow => tokio::time::sleep(FOLLOW_EVERY).await,
                None => return Ok(()),
            }
        }
    }

    /// Checks the whole chain of the audit log, and returns how many entries it has.
    ///
    /// # Errors
    /// [`AdminError::Broken`] with the number of the first wrong entry.
    pub async fn verify(&self) -> Result<u64, AdminError> {
        let (mut before, mut count): (Option<Audited>, u64) = (None, 0);
        let mut query = vec![("after", "0".to_owned()), ("limit", PAGE.to_string())];
        loop {
            let lines = self.ask(Method::GET, "/admin/audit", &query).await?.text;
            let mut stretch = Vec::new();
            for line in lines.lines() {
                let id = line_of(line)?.id;
                stretch.push(line_of(line)?.entry().ok_or(AdminError::Broken(id))?);
            }
            verify(before.as_ref(), &stretch).map_err(AdminError::Broken)?;
            count += stretch.len() as u64;
            let Some(last) = stretch.pop() else { return Ok(count) };
            query = next_query(last.id);
            before = Some(last);
        }
    }
}

fn next_query(after: u64) -> Vec<(&'static str, String)> {
    vec![("after", after.to_string()), ("limit", PAGE.to_string()), ("quiet", "true".to_owned())]
}

fn line_of(line: &str) -> Result<AuditLine, AdminError> {
    serde_json::from_str(line).map_err(|_| AdminError::Unexpected(line.to_owned()))
}

fn user_path(user: &str, rest: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(user.as_bytes()).collect();
    format!("/admin/users/{encoded}{rest}")
}

/// Accounts as a table for people.
pub fn table(users: &[Value]) -> String {
    let mut text = String::new();
    for user in users {
        let word = |name: &str| user[name].as_str().unwrap_or_default();
        let kind = match (user["erased"].as_bool(), user["guest"].as_bool()) {
            (Some(true), _) => "erased",
            (_, Some(true)) => "guest",
            _ => "account",
        };
        let _ = write!(text, "{}  {kind:<7}  {}", word("id"), word("display_name"));
        if !word("username").is_empty() {
            let _ = write!(text, " (@{})", word("username"));
        }
        if !word("suspended_until").is_empty() {
            let _ = write!(text, "  suspended until {}", word("suspended_until"));
            if !word("reason").is_empty() {
                let _ = write!(text, ": {}", word("reason"));
            }
        }
        text.push('\n');
    }
    if text.is_empty() { "nobody\n".to_owned() } else { text }
}

/// A duration as people write it: a number and `s`, `m`, `h`, `d` or `w`.
///
/// # Errors
/// The text says what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?}: write a number and a unit, such as 90s, 30m, 12h, 7d or 4w");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "d", "7", "-1d", "0h", "1.5h", "99999999999999999999w", "7ä"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn accounts_are_shown_with_what_keeps_them_out() {
        let user = json!({"id": "u1", "display_name": "Ada", "username": "ada", "guest": false, "erased": false,
            "suspended_until": "2027-01-01T00:00:00.000Z", "reason": "spam"});
        assert_eq!(
            table(&[user]),
            "u1  account  Ada (@ada)  suspended until 2027-01-01T00:00:00.000Z: spam\n"
        );
        assert_eq!(table(&[]), "nobody\n");
    }
}
