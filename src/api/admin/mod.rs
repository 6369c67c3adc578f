//! Operators' calls, on the internal address: `tidings admin` makes them.
//!
//! Each call names its operator in the header `x-operator` and is written to the audit log before it acts. No
//! call has a body; what it needs is in its path and query.

pub mod audit;
mod users;

use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, Resource};

use super::Problem;
use super::resource::{at, delete, get, put};
use crate::actors::Node;
use crate::domain::audit::{AuditAction, AuditActor, AuditEntry};
use crate::identity::Identity;
use crate::protocol::Failure;

/// The header with the operator's name.
pub const OPERATOR_HEADER: &str = "x-operator";
/// The most characters of an operator's name.
const MOST_NAME_CHARS: usize = 64;

/// What operators' calls need; it exists once the process serves.
#[derive(Clone)]
pub struct Operators {
    /// The node.
    pub node: Node,
    /// Accounts and their sign-ins.
    pub identity: Identity,
}

/// Filled once the process serves.
pub type OperatorsSlot = Arc<OnceLock<Operators>>;

/// The paths of operators' calls.
pub fn resources() -> Vec<Resource> {
    vec![
        at("/admin/users", [get(users::search)]),
        at("/admin/users/{user}", [get(users::show), delete(users::erase)]),
        at("/admin/users/{user}/suspension", [put(users::suspend), delete(users::lift)]),
        at("/admin/users/{user}/sign-ins", [delete(users::end_sign_ins)]),
        at("/admin/users/{user}/one-time-password", [put(users::set_one_time_password)]),
        at("/admin/users/{user}/second-factor", [delete(users::end_second_factor)]),
        at("/admin/users/{user}/export", [get(users::export)]),
        at("/admin/suspensions", [get(users::suspensions)]),
        at("/admin/audit", [get(audit::read)]),
    ]
}

/// Who calls, and what the call may use.
pub struct Operator {
    name: String,
    parts: Operators,
}

impl Operator {
    /// An entry of the audit log for what this operator does now.
    fn entry(&self, action: AuditAction) -> AuditEntry {
        self.parts.identity.audit().entry(AuditActor::Operator(self.name.clone()), action)
    }

    /// Stores an entry before the call acts.
    async fn record(&self, entry: AuditEntry) -> Result<(), Problem> {
        Ok(self.parts.identity.audit().record(entry).await.map_err(Failure::from)?)
    }
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(of(request))
    }
}

fn of(request: &HttpRequest) -> Result<Operator, Problem> {
    let name =
        request.headers().get(OPERATOR_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fits =
        (1..=MOST_NAME_CHARS).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        return Err(Problem::invalid("x-operator: the operator's name, 1 to 64 visible ASCII characters"));
    }
    let slot = request.app_data::<Data<OperatorsSlot>>().ok_or_else(Problem::internal)?;
    let parts = slot.get().ok_or(Failure::Unavailable { definite: true })?;
    Ok(Operator { name: name.to_owned(), parts: parts.clone() })
}
