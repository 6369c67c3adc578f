//! Every store call goes through here: this module sets its deadline, measures it, and classifies its
//! failure.
//!
//! [`Guarded`] wraps a backend. All code outside `store` calls it and sets no timeout of its own. A caller
//! with less time uses [`super::within`].
//!
//! - *Deadline*: `store.timeout_ms`, or the time that the caller has left. The backend ends its work at the
//!   deadline. A backend that does not is abandoned [`GRACE`] later.
//! - *Meaning*: a read changes nothing, so its failure is definite. For a write the backend decides, because
//!   only the backend knows whether it had sent a commit. A write that was abandoned without an answer is
//!   indefinite.
//! - *Measured*: every operation, including failed ones; failures are counted as definite or indefinite. At
//!   most one line a second is logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metrics::Counter;
use uuid::Uuid;

use super::{
    Accounts, AppendError, Appended, Audit, Backlog, BanView, Change, Changed, ChannelOrder, ChannelPlace,
    Consent, Consumers, ConversationView, Conversations, Created, Credentials, Cursor, FamilyRotation, Head,
    Heads, HistoryPage, HistoryQuery, Holder, InvitationView, JobKind, Jobs, Lease, ListedRevocation, Log,
    MemberView, MovedReceipt, NewConversation, NewFamily, NewMessage, NewUser, NewUserOutcome, OpenChannel,
    Outcome, Page, Preview, RangeEvents, RangeQuery, Revocation, RevocationCursor, Running, SharedStore,
    SignInView, StoreError, SuspendedUser, Tail, Worked, deadline,
};
use crate::domain::audit::{AuditEntry, Audited};
use crate::domain::permissions::Block;
use crate::domain::{
    AccountState, AddressPrefix, Committed, Conversation, ConversationId, FamilyId, Member, Position,
    Privacy, PrivacyChange, Receipt, SecondFactor, Seq, Suspension, Timestamp, User, UserId, Username,
};
use crate::environment::SharedEnvironment;
use crate::telemetry::Latency;
use crate::telemetry::meters::StoreMeters;

/// The time that a write gets after its deadline, so that its failure is the backend's own answer.
const GRACE: Duration = Duration::from_millis(500);
/// The least time between two log lines about failures, in milliseconds.
const LOG_EVERY_MS: u64 = 1_000;

/// A store whose calls have a deadline and are measured.
pub struct Guarded {
    store: SharedStore,
    timeout: Duration,
    environment: SharedEnvironment,
    latencies: Latencies,
    definite: Counter,
    indefinite: Counter,
    unlogged: AtomicU64,
    log_again_ms: AtomicU64,
}

/// Whether a failed operation may have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

struct Operation<'a> {
    name: &'static str,
    kind: Kind,
    latency: &'a Latency,
}

impl Guarded {
    /// Guards `store`: a call takes `timeout` at most.
    pub fn shared(
        store: SharedStore,
        timeout: Duration,
        environment: SharedEnvironment,
        meters: &StoreMeters,
    ) -> SharedStore {
        Arc::new(Self {
            store,
            timeout,
            environment,
            latencies: Latencies::new(meters),
            definite: meters.errors.of("true").clone(),
            indefinite: meters.errors.of("false").clone(),
            unlogged: AtomicU64::new(0),
            log_again_ms: AtomicU64::new(0),
        })
    }

    async fn call<T>(
        &self,
        operation: Operation<'_>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began_us = self.environment.monotonic_us();
        let deadline = deadline::earliest(self.timeout);
        let left_alone = match operation.kind {
            Kind::Read => deadline,
            Kind::Write => deadline + GRACE,
        };
        let answer = tokio::time::timeout_at(left_alone, deadline::by(deadline, call)).await;
        operation.latency.record_since_us(began_us, self.environment.monotonic_us());
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(&operation, error)),
            Err(_) => Err(self.failed(&operation, StoreError::indefinite("no answer in time"))),
        }
    }

    fn failed(&self, operation: &Operation<'_>, error: StoreError) -> StoreError {
        let error = match (operation.kind, error) {
            (Kind::Read, StoreError::Unavailable { detail, .. }) => StoreError::definite(detail),
            (_, error) => error,
        };
        rare!(ReadFailed, operation.kind == Kind::Read);
        rare!(WriteFailed, operation.kind == Kind::Write && error.is_definite());
        rare!(WriteWithUnknownResult, !error.is_definite());
        let counter = if error.is_definite() { &self.definite } else { &self.indefinite };
        counter.increment(1);
        let now_ms = self.environment.monotonic_ms();
        let due_ms = self.log_again_ms.load(Ordering::Relaxed);
        let next_ms = now_ms + LOG_EVERY_MS;
        let mine = now_ms >= due_ms
            && self
                .log_again_ms
                .compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            let others = self.unlogged.swap(0, Ordering::Relaxed);
            tracing::warn!(operation = operation.name, %error, others, "a store call failed");
        } else {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        }
        error
    }
}

/// Every operation, as a read or as a write, given to the macro `$then`.
macro_rules! operations {
    ($then:ident) => {
        $then! {
            Log {
                Write append(batch: &[NewMessage], now: Timestamp) -> Result<Vec<Result<Appended, AppendError>>, StoreError>;
                Write change(actor: UserId, conversation: ConversationId, change: &Change, now: Timestamp) -> Outcome<Changed>;
                Write move_receipts(receipts: &[Receipt], now: Timestamp) -> Result<Vec<MovedReceipt>, StoreError>;
                Read range(user: UserId, query: RangeQuery) -> Outcome<RangeEvents>;
                Read history(user: UserId, query: HistoryQuery) -> Outcome<HistoryPage>;
                Read heads(user: UserId, since: Option<Cursor>) -> Result<Heads, StoreError>;
                Read heads_of(user: UserId, conversations: &[ConversationId]) -> Result<Vec<Head>, StoreError>;
                Read stretch(conversation: ConversationId, after: Seq, limit: usize) -> Result<Vec<Committed>, StoreError>;
                Read tail(after: Position, limit: usize) -> Result<Tail, StoreError>;
                Read ahead(after: Position, limit: usize) -> Result<Tail, StoreError>;
                Read running() -> Result<Running, StoreError>;
                Read end() -> Result<Cursor, StoreError>;
                Read ping() -> Result<(), StoreError>;
            }
            Conversations {
                Write create(new: &NewConversation, now: Timestamp) -> Outcome<Created>;
                Read conversation(user: UserId, id: ConversationId) -> Result<Option<ConversationView>, StoreError>;
                Read open_conversation(id: ConversationId) -> Result<Option<Conversation>, StoreError>;
                Read open_channels(user: UserId, order: &ChannelOrder, after: Option<&ChannelPlace>, limit: usize)
                    -> Result<Page<OpenChannel, ChannelPlace>, StoreError>;
                Read preview(user: UserId, id: ConversationId, limit: usize) -> Result<Option<Preview>, StoreError>;
                Read conversations(user: UserId, after: Option<ConversationId>, limit: usize)
                    -> Result<Page<ConversationView, ConversationId>, StoreError>;
                Read members(user: UserId, conversation: ConversationId, after: Option<UserId>, limit: usize)
                    -> Outcome<Page<MemberView, UserId>>;
                Read bans(user: UserId, conversation: ConversationId, after: Option<UserId>, limit: usize, now: Timestamp)
                    -> Outcome<Page<BanView, UserId>>;
                Read member(conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError>;
                Read audience(conversation: ConversationId) -> Result<Arc<[UserId]>, StoreError>;
                Read acquaintances(user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError>;
            }
            Accounts {
                Write create_user(new: &NewUser) -> Result<NewUserOutcome, StoreError>;
                Read user(id: UserId) -> Result<Option<User>, StoreError>;
                Read account_state(id: UserId) -> Result<AccountState, StoreError>;
                Read user_named(username: &Username) -> Result<Option<User>, StoreError>;
                Read first_user() -> Result<Option<User>, StoreError>;
                Read users(ids: &[UserId]) -> Result<Vec<User>, StoreError>;
                Read users_by_name(words: &[String], limit: usize) -> Result<Vec<User>, StoreError>;
                Read users_by_prefix(prefix: &str, limit: usize) -> Result<Vec<User>, StoreError>;
                Read credentials(username: &Username) -> Result<Option<Credentials>, StoreError>;
                Read password_hash(id: UserId) -> Result<Option<String>, StoreError>;
                Write rename(id: UserId, display_name: &str) -> Outcome<User>;
                Write set_password(id: UserId, password_hash: &str) -> Outcome<()>;
                Write set_one_time_password(user: UserId, password_hash: &str, lasts: Duration) -> Outcome<()>;
                Write take_one_time_password(user: UserId) -> Result<bool, StoreError>;
                Write replace_password_hash(id: UserId, stored: &str, replacement: &str) -> Result<bool, StoreError>;
                Read second_factor(user: UserId) -> Result<Option<SecondFactor>, StoreError>;
                Write begin_second_factor(user: UserId, secret: &str) -> Outcome<()>;
                Write take_code(user: UserId, secret: &str, step: u64) -> Result<bool, StoreError>;
                Write end_second_factor(user: UserId) -> Result<bool, StoreError>;
                Write claim(id: UserId, username: &Username, password_hash: &str) -> Outcome<User>;
                Write add_family(new: &NewFamily, now: Timestamp) -> Result<Vec<Revocation>, StoreError>;
                Write rotate_family(
                    presented: &[u8; 32], replacement: &[u8; 32], expires_at: Timestamp, now: Timestamp, repeat_within: Duration,
                    network: &AddressPrefix
                )
                    -> Result<FamilyRotation, StoreError>;
                Write revoke(user: UserId, family: Option<FamilyId>, now: Timestamp) -> Result<Vec<Revocation>, StoreError>;
                Write revoke_others(user: UserId, keep: Option<FamilyId>, now: Timestamp)
                    -> Result<Vec<Revocation>, StoreError>;
                Read is_known_device(user: UserId, family: FamilyId, now: Timestamp) -> Result<bool, StoreError>;
                Read sign_ins(user: UserId, now: Timestamp) -> Result<Vec<SignInView>, StoreError>;
                Write end_sign_in(user: UserId, family: FamilyId, now: Timestamp) -> Outcome<Vec<Revocation>>;
                Read revocations(cursor: RevocationCursor) -> Result<(Vec<ListedRevocation>, RevocationCursor), StoreError>;
                Write forget_revocations(before: Timestamp) -> Result<(), StoreError>;
                Read blocks(user: UserId) -> Result<Vec<UserId>, StoreError>;
                Read blocked_with(user: UserId, limit: usize) -> Result<Vec<(UserId, Block)>, StoreError>;
                Write set_block(user: UserId, other: UserId, blocked: bool) -> Outcome<()>;
                Write suspend(user: UserId, suspension: &Suspension, removes_content: bool, now: Timestamp) -> Outcome<Revocation>;
                Write lift_suspension(user: UserId, now: Timestamp) -> Outcome<Revocation>;
                Read suspensions(after: Option<UserId>, limit: usize) -> Result<Page<SuspendedUser, UserId>, StoreError>;
                Write erase(user: UserId, now: Timestamp) -> Outcome<Revocation>;
                Read export(user: UserId, after: Option<String>, limit: usize)
                    -> Result<(Vec<String>, Option<String>), StoreError>;
            }
            Consent {
                Read privacy(user: UserId) -> Result<Privacy, StoreError>;
                Write set_privacy(user: UserId, change: PrivacyChange) -> Outcome<Privacy>;
                Read contacts(user: UserId) -> Result<Vec<UserId>, StoreError>;
                Read find_contacts(user: UserId, words: &[String], limit: usize) -> Result<Vec<User>, StoreError>;
                Write set_contact(user: UserId, other: UserId, on: bool) -> Outcome<()>;
                Read invitations(user: UserId, now: Timestamp) -> Result<Vec<InvitationView>, StoreError>;
                Write decline(user: UserId, conversation: ConversationId, now: Timestamp) -> Outcome<()>;
            }
            Audit {
                Write add_audit(entries: &[AuditEntry]) -> Result<(), StoreError>;
                Read audit(after: u64, limit: usize) -> Result<Vec<Audited>, StoreError>;
                Read audit_end() -> Result<u64, StoreError>;
                Write forget_audit(before: Timestamp) -> Result<u64, StoreError>;
            }
            Consumers {
                Write lease(name: &str, holder: &Holder, lease_ms: u64, now: Timestamp) -> Result<Lease, StoreError>;
                Write advance(name: &str, holder: Uuid, cursor: Cursor) -> Result<bool, StoreError>;
                Write release(name: &str, holder: Uuid) -> Result<(), StoreError>;
            }
            Jobs {
                Write work(kind: JobKind, now: Timestamp) -> Result<Worked, StoreError>;
                Write expire_guests(before: Timestamp, now: Timestamp) -> Result<(), StoreError>;
                Read backlog(kind: JobKind) -> Result<Backlog, StoreError>;
                Write scrub() -> Result<bool, StoreError>;
            }
        }
    };
}

/// Implements the traits: each operation calls the backend's operation of the same name.
macro_rules! guard {
    ($($trait:ident { $($kind:ident $operation:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+ })+) => {
        $(#[async_trait]
        impl $trait for Guarded {
            $(async fn $operation(&self, $($argument: $type),*) -> $answer {
                let latency = &self.latencies.$operation;
                let operation = Operation { name: stringify!($operation), kind: Kind::$kind, latency };
                self.call(operation, self.store.$operation($($argument),*)).await
            })+
        })+

        struct Latencies {
            $($($operation: Latency,)+)+
        }

        impl Latencies {
            fn new(meters: &StoreMeters) -> Self {
                Self { $($($operation: meters.latency.of(stringify!($operation)).clone(),)+)+ }
            }
        }

        #[cfg(test)]
        const OPERATIONS: &[&str] = &[$($(stringify!($operation),)+)+];
    };
}

operations!(guard);

#[cfg(test)]
mod tests;
