//! Accounts: find, suspend, sign out, erase, export.

use std::ops::RangeInclusive;

use actix_web::HttpResponse;
use actix_web::http::header::HeaderName;
use serde::Serialize;

use super::Operator;
use crate::api::extract::{Query, Segments};
use crate::api::views::UserBody;
use crate::api::{Problem, cursor};
use crate::domain::audit::AuditAction;
use crate::domain::{AccountState, Suspension, Timestamp, User, UserId, Username, name_words};
use crate::protocol::{checks, whole};
use crate::store::SuspendedUser;

/// How long a suspension with an end lasts at least and at most, in seconds.
const SUSPENSION_S: RangeInclusive<u64> = 1..=315_360_000;
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;
/// Records in one answer of an export.
const EXPORT_STEP: usize = 500;
/// The header that says where the next part of an export begins.
const NEXT: HeaderName = HeaderName::from_static("x-next");

/// An account as operators see it.
#[derive(Serialize)]
struct Account {
    #[serde(flatten)]
    user: UserBody,
    erased: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended_at: Option<Timestamp>,
}

impl Account {
    fn new(
        user: User,
        erased: bool,
        suspension: Option<Suspension>,
        suspended_at: Option<Timestamp>,
    ) -> Self {
        let (suspended_until, reason) =
            suspension.map_or((None, None), |held| (Some(held.until), held.reason));
        Self { user: user.into(), erased, suspended_until, reason, suspended_at }
    }
}

#[derive(Serialize)]
struct Accounts {
    users: Vec<Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl Operator {
    /// The user that a path names by id or by username.
    async fn named(&self, path: &Segments) -> Result<User, Problem> {
        let (node, text) = (&self.parts.node, path.text("user")?);
        let found = match (text.parse::<UserId>(), Username::parse(text)) {
            (Ok(id), _) => node.read(node.store().user(id)).await?,
            (Err(_), Ok(username)) => node.read(node.store().user_named(&username)).await?,
            (Err(_), Err(_)) => None,
        };
        found.ok_or_else(Problem::not_found)
    }

    async fn account(&self, user: User) -> Result<Account, Problem> {
        let node = &self.parts.node;
        let state = node.read(node.store().account_state(user.id)).await?;
        let erased = !state.is_living();
        let suspension = match state {
            AccountState::Gone => None,
            AccountState::Living(suspension) => suspension,
        };
        Ok(Account::new(user, erased, suspension, None))
    }
}

/// Users by the beginnings of words in their names, or one by id or username.
pub async fn search(operator: Operator, query: Query) -> Result<HttpResponse, Problem> {
    let text = query.text("q").unwrap_or_default();
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let node = &operator.parts.node;
    operator.record(operator.entry(AuditAction::LookedUp).with(text)).await?;
    let found = match text.parse::<UserId>() {
        Ok(id) => node.read(node.store().user(id)).await?.into_iter().collect(),
        Err(_) => node.read(node.store().users_by_name(&name_words::of_text(text), limit)).await?,
    };
    let mut users = Vec::with_capacity(found.len());
    for user in found {
        users.push(operator.account(user).await?);
    }
    Ok(HttpResponse::Ok().json(Accounts { users, next_cursor: None }))
}

/// One account.
pub async fn show(operator: Operator, path: Segments) -> Result<HttpResponse, Problem> {
    let user = operator.named(&path).await?;
    operator.record(operator.entry(AuditAction::LookedUp).to(user.id)).await?;
    Ok(HttpResponse::Ok().json(operator.account(user).await?))
}

/// Suspends an account. Query: `duration_s` (without it there is no end), `reason`, `content=remove`.
pub async fn suspend(operator: Operator, path: Segments, query: Query) -> Result<HttpResponse, Problem> {
    let now = operator.parts.node.environment().now();
    let until = match query.text("duration_s").map(|text| whole::from_text(text).unwrap_or(0)) {
        None => Timestamp::LATEST,
        Some(duration_s) if SUSPENSION_S.contains(&duration_s) => {
            now.plus_ms(i64::try_from(duration_s * 1_000).unwrap_or(i64::MAX))
        }
        Some(_) => return Err(Problem::invalid("duration_s: must be from 1 to 315360000, ten years")),
    };
    let reason = query.text("reason").map(checks::reason).transpose()?.flatten();
    let removes_content = match query.text("content") {
        None | Some("keep") => false,
        Some("remove") => true,
        Some(_) => return Err(Problem::invalid("content: keep or remove")),
    };
    let user = operator.named(&path).await?;
    let content = if removes_content { "; content removed" } else { "" };
    let details = format!("until {until}; {}{content}", reason.as_deref().unwrap_or("no reason"));
    operator.record(operator.entry(AuditAction::Suspended).to(user.id).with(details)).await?;
    operator.parts.identity.suspend(user.id, &Suspension { until, reason }, removes_content).await?;
    if removes_content {
        operator.parts.node.backlogs().hint();
    }
    Ok(HttpResponse::Ok().json(operator.account(user).await?))
}

/// Lets an account in again.
pub async fn lift(operator: Operator, path: Segments) -> Result<HttpResponse, Problem> {
    let user = operator.named(&path).await?;
    operator.record(operator.entry(AuditAction::SuspensionLifted).to(user.id)).await?;
    operator.parts.identity.lift_suspension(user.id).await?;
    Ok(HttpResponse::Ok().json(operator.account(user).await?))
}

/// Suspended accounts by id, those whose time is over too.
pub async fn suspensions(operator: Operator, query: Query) -> Result<HttpResponse, Problem> {
    let (after, limit) = (cursor::decode(query.text("cursor"))?, query.limit(DEFAULT_LIMIT, MAX_LIMIT)?);
    let node = &operator.parts.node;
    operator.record(operator.entry(AuditAction::LookedUp).with("suspensions")).await?;
    let page = node.read(node.store().suspensions(after, limit)).await?;
    let account = |SuspendedUser { user, suspension, suspended_at }| {
        Account::new(user, false, Some(suspension), Some(suspended_at))
    };
    let next_cursor = page.next.as_ref().map(cursor::encode);
    Ok(HttpResponse::Ok()
        .json(Accounts { users: page.items.into_iter().map(account).collect(), next_cursor }))
}

/// Ends all sign-ins of an account.
pub async fn end_sign_ins(operator: Operator, path: Segments) -> Result<HttpResponse, Problem> {
    let user = operator.named(&path).await?;
    operator.record(operator.entry(AuditAction::SignInsEnded).to(user.id)).await?;
    operator.parts.identity.end_all(user.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Replaces the password by a random one that signs in once, within a day.
pub async fn set_one_time_password(operator: Operator, path: Segments) -> Result<HttpResponse, Problem> {
    let user = operator.named(&path).await?;
    operator.record(operator.entry(AuditAction::OneTimePassword).to(user.id)).await?;
    let password = operator.parts.identity.set_one_time_password(user.id).await?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "password": password })))
}

/// Ends the second factor of an account whose user has lost the app.
pub async fn end_second_factor(operator: Operator, path: Segments) -> Result<HttpResponse, Problem> {
    let user = operator.named(&path).await?;
    operator.record(operator.entry(AuditAction::SecondFactorEnded).to(user.id)).await?;
    operator.parts.identity.end_second_factor_unasked(user.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Erases an account, for good.
pub async fn erase(operator: Operator, path: Segments) -> Result<HttpResponse, Problem> {
    let user = operator.named(&path).await?;
    operator.record(operator.entry(AuditAction::Erased).to(user.id)).await?;
    operator.parts.identity.erase_unasked(operator.parts.node.erase(user.id)).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// A part of everything kept about an account, one JSON object per line. The header `x-next` says with which
/// `after` the next part is asked for; without it this is the last.
pub async fn export(operator: Operator, path: Segments, query: Query) -> Result<HttpResponse, Problem> {
    let (user, node) = (operator.named(&path).await?, &operator.parts.node);
    let after = query.text("after").map(str::to_owned);
    let part = if after.is_none() { "from the beginning" } else { "a further part" };
    operator.record(operator.entry(AuditAction::Exported).to(user.id).with(part)).await?;
    let exported = node.store().export(user.id, after, EXPORT_STEP);
    let (lines, next) = node.read(exported).await?;
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    let mut response = HttpResponse::Ok();
    response.content_type("application/x-ndjson");
    if let Some(next) = next {
        response.insert_header((NEXT, next));
    }
    Ok(response.body(text))
}
