//! The audit log, as JSON lines.

use actix_web::HttpResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::Operator;
use crate::api::Problem;
use crate::api::extract::Query;
use crate::domain::Timestamp;
use crate::domain::audit::{AuditAction, AuditFields, Audited};
use crate::protocol::whole;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 500;

/// An entry as it is shown: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its number.
    pub id: u64,
    /// When it happened, for people.
    pub at: String,
    /// The same in milliseconds since 1970, as it is hashed.
    pub at_ms: i64,
    /// Who acted: `operator:NAME`, `user:ID`, `anonymous` or `server`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// The user to whom it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The conversation in which it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The address it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What else belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The hash of the entry before it, in base64url.
    pub previous: String,
    /// The hash of this entry.
    pub hash: String,
}

impl From<Audited> for AuditLine {
    fn from(entry: Audited) -> Self {
        let Audited { id, fields, previous, hash } = entry;
        let AuditFields { at, actor, action, subject, conversation, address, details } = fields;
        let (previous, hash) = (URL_SAFE_NO_PAD.encode(previous), URL_SAFE_NO_PAD.encode(hash));
        let (at, at_ms) = (at.to_string(), at.as_unix_ms());
        Self { id, at, at_ms, actor, action, subject, conversation, address, details, previous, hash }
    }
}

impl AuditLine {
    /// The entry that the line shows; `None` when a hash is none.
    pub fn entry(self) -> Option<Audited> {
        let hash = |text: &str| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok();
        let (previous, own) = (hash(&self.previous)?, hash(&self.hash)?);
        let Self { id, at_ms, actor, action, subject, conversation, address, details, .. } = self;
        let at = Timestamp::from_unix_ms(at_ms);
        let fields = AuditFields { at, actor, action, subject, conversation, address, details };
        Some(Audited { id, fields, previous, hash: own })
    }
}

/// Entries in their order. Query: `after` (a number; 0 without it), or `last` (so many from the end), and
/// `limit`. Without `quiet=true`, which who follows the log sends after the first call, the read itself is an
/// entry too.
pub async fn read(operator: Operator, query: Query) -> Result<HttpResponse, Problem> {
    let number = |name: &'static str| match query.text(name) {
        None => Ok(None),
        Some(text) => whole::from_text(text)
            .map(Some)
            .ok_or_else(|| Problem::invalid(format!("{name}: a number from 0"))),
    };
    let (after, last) = (number("after")?, number("last")?);
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    if !query.flag("quiet")? {
        operator.record(operator.entry(AuditAction::AuditRead)).await?;
    }
    let node = &operator.parts.node;
    let after = match (after, last) {
        (Some(after), _) => after,
        (None, Some(last)) => node.read(node.store().audit_end()).await?.saturating_sub(last),
        (None, None) => 0,
    };
    let entries = node.read(node.store().audit(after, limit)).await?;
    let lines = entries.into_iter().map(|entry| serde_json::to_string(&AuditLine::from(entry)));
    let text = lines.collect::<Result<Vec<_>, _>>().map_err(|_| Problem::internal())?;
    let text: String = text.into_iter().map(|line| line + "\n").collect();
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").body(text))
}
