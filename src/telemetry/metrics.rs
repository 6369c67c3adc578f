//! The catalogue: the one place where a metric's name is written (`tests/tidy.rs` checks that).
//!
//! A label's values are fixed here and few. Nothing is labelled by user, conversation, address or id.

use metrics::Unit::{self, Bytes, Count, Seconds};

use super::definition::{
    CounterBy, CounterDef, GaugeBy, GaugeDef, HistogramDef, InfoDef, Kind, LatencyBy, LatencyDef, Metric,
};
use crate::domain::queued::QueuedKind;
use crate::protocol::{ClientFrame, Close, ErrorCode};

/// For waits that a person notices: dense between 1 ms and 1 s, where the promises are (50 ms in a region,
/// 1 s across regions).
const WAIT_S: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0];
/// For one call on a dependency: from a cached read to the default timeout of 3 s.
const CALL_S: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0];
/// For a password's hash and the wait before it.
const HASH_S: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4];
/// For sizes of batches and answers, in powers of two up to the largest batch and beyond.
const COUNTS: &[f64] =
    &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0];

const HELLO_RESULTS: &[&str] =
    &["welcome", "unauthenticated", "not_a_hello", "timeout", "unavailable", "gone"];
const UPGRADE_REFUSALS: &[&str] =
    &["bad_request", "subprotocol", "origin", "rate_limited", "overloaded", "draining"];
const FULL: &[&str] = &["address", "node"];
const SHED_REASONS: &[&str] = &[
    "writer_queue",
    "writer_wait",
    "breaker",
    "hellos",
    "inbox",
    "receipts",
    "presence",
    "typing",
    "bus",
    "anti_entropy",
];
/// What may be given up of what is queued.
const GIVEN: &[&str] = &["live", "pages", "exports"];
const RATES: &[&str] = &["send", "request", "hello", "export"];
const RESUMES: &[&str] = &["fresh", "cursor", "epoch_changed"];
const GAP_SIGNS: &[&str] = &["live", "overflow", "digest", "anti_entropy"];
const DEFINITE: &[&str] = &["true", "false"];
const OPERATIONS: &[&str] = &[
    "append",
    "change",
    "move_receipts",
    "range",
    "history",
    "heads",
    "heads_of",
    "stretch",
    "tail",
    "end",
    "running",
    "ahead",
    "ping",
    "create",
    "conversation",
    "open_conversation",
    "open_channels",
    "preview",
    "conversations",
    "members",
    "member",
    "audience",
    "bans",
    "acquaintances",
    "create_user",
    "user",
    "account_state",
    "user_named",
    "first_user",
    "users",
    "users_by_name",
    "users_by_prefix",
    "credentials",
    "password_hash",
    "rename",
    "set_password",
    "set_one_time_password",
    "take_one_time_password",
    "replace_password_hash",
    "second_factor",
    "begin_second_factor",
    "take_code",
    "end_second_factor",
    "claim",
    "add_family",
    "rotate_family",
    "revoke",
    "revoke_others",
    "is_known_device",
    "sign_ins",
    "end_sign_in",
    "revocations",
    "forget_revocations",
    "blocks",
    "blocked_with",
    "set_block",
    "privacy",
    "set_privacy",
    "contacts",
    "find_contacts",
    "expire_guests",
    "set_contact",
    "invitations",
    "decline",
    "suspend",
    "lift_suspension",
    "suspensions",
    "add_audit",
    "audit",
    "audit_end",
    "forget_audit",
    "erase",
    "export",
    "lease",
    "advance",
    "release",
    "work",
    "backlog",
    "scrub",
];
const REPLICA_READS: &[&str] = &["served", "behind", "failed"];
const BUS_DROPS: &[&str] = &[
    "queue_full",
    "failed",
    "unreadable",
    "unknown_version",
    "unsigned",
    "unknown_key",
    "forged",
    "another_log",
];
const SIGN_INS: &[&str] =
    &["ok", "wrong", "code_needed", "suspended", "rate_limited", "overloaded", "unavailable"];
const SIGN_UPS: &[&str] = &["account", "guest", "external", "refused"];
const REFRESHES: &[&str] = &["ok", "reused", "suspended", "unknown"];
const AUDIT_RESULTS: &[&str] = &["stored", "lost"];
const INVITATIONS_AS: &[&str] = &["made", "declined"];
const RECEIPT_KINDS: &[&str] = &["read", "delivered"];
const PRESENCES: &[&str] = &["online", "away", "offline"];
const STATUS_CLASSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx"];
const LOG_LOSSES: &[&str] = &["queue_full", "too_many"];
const WORKS: &[&str] = &["session", "request", "connection"];

/// Writes the constants and the list of all of them from one table.
macro_rules! catalogue {
    ($($id:ident: $def:ident = $name:literal, $unit:ident, $(by $label:literal in $values:expr,)? $(buckets $buckets:ident,)? $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $id: $def = $def(Metric {
                name: $name,
                kind: kind!($def),
                unit: $unit,
                label: first!($(Some(($label, $values)),)? None),
                buckets: first!($($buckets,)? &[]),
                help: $help,
            });
        )+

        /// Every metric there is.
        pub const ALL: &[Metric] = &[$($id.0),+];
    };
}

macro_rules! kind {
    (CounterDef) => {
        Kind::Counter
    };
    (CounterBy) => {
        Kind::Counter
    };
    (GaugeDef) => {
        Kind::Gauge
    };
    (GaugeBy) => {
        Kind::Gauge
    };
    (InfoDef) => {
        Kind::Gauge
    };
    ($histogram:ident) => {
        Kind::Histogram
    };
}

macro_rules! first {
    ($first:expr $(, $rest:expr)*) => {
        $first
    };
}

catalogue! {
    CONNECTIONS: GaugeDef = "tidings_connections", Count, "WebSocket connections that are open.";
    HELLOS: CounterBy = "tidings_hellos_total", Count, by "result" in HELLO_RESULTS, "Upgraded connections by how their hello ended.";
    HELLO_LATENCY: LatencyDef = "tidings_hello_latency_seconds", Seconds, buckets WAIT_S, "From the upgrade to the welcome.";
    UPGRADES_REFUSED: CounterBy = "tidings_upgrades_refused_total", Count, by "reason" in UPGRADE_REFUSALS, "Upgrades answered with an HTTP error.";
    TURNED_AWAY: CounterBy = "tidings_connections_turned_away_total", Count, by "full" in FULL, "Connections and requests for which there was no place: of their address, or on the node.";
    CLOSES: CounterBy = "tidings_closes_total", Count, by "code" in Close::COUNTED, "Ended connections by close code; 1006 is an end without a close frame.";
    FRAMES_IN: CounterBy = "tidings_frames_in_total", Count, by "type" in ClientFrame::NAMES, "Frames received from clients.";
    FRAMES_OUT: CounterDef = "tidings_frames_out_total", Count, "Frames written to clients.";
    WRITES: CounterDef = "tidings_socket_writes_total", Count, "System calls that wrote to clients; the number of frames per write shows how many are combined.";
    BYTES_IN: CounterDef = "tidings_bytes_in_total", Bytes, "Bytes received from clients.";
    BYTES_OUT: CounterDef = "tidings_bytes_out_total", Bytes, "Bytes written to clients.";
    SENDS: CounterDef = "tidings_sends_total", Count, "Sends received, over WebSocket and REST, including repeated ones.";
    ACKS: CounterDef = "tidings_acks_total", Count, "Sends that were acknowledged as new.";
    DUPLICATES: CounterDef = "tidings_duplicate_sends_total", Count, "Sends that were acknowledged as duplicates.";
    SEND_REFUSALS: CounterBy = "tidings_send_refusals_total", Count, by "code" in ErrorCode::NAMES, "Sends that were answered with an error.";
    ERRORS: CounterBy = "tidings_errors_total", Count, by "code" in ErrorCode::NAMES, "Requests of any kind that were answered with an error.";
    ACK_LATENCY: LatencyDef = "tidings_ack_latency_seconds", Seconds, buckets WAIT_S, "From a send's arrival to its ack.";
    DELIVERIES: CounterDef = "tidings_deliveries_total", Count, "Events queued for a connection as live push.";
    DELIVERY_LATENCY: LatencyDef = "tidings_delivery_latency_seconds", Seconds, buckets WAIT_S, "From an event's acceptance to its first write on a worker: one measurement per event and worker, not per recipient.";
    QUEUED_BYTES: GaugeBy = "tidings_queued_bytes", Bytes, by "kind" in QueuedKind::NAMES, "Encoded bytes that wait for clients whose sockets are full, over all connections.";
    QUEUED_LIMIT: GaugeDef = "tidings_queued_bytes_limit", Bytes, "How many bytes may wait for all clients together (server.queued_bytes); 0: any number.";
    GAVE_WAY: CounterBy = "tidings_gave_way_total", Count, by "kind" in GIVEN, "Connections that gave up what waited for them because too much waited for all clients: live push was paused, or an answer to a REST call or an export ended.";
    UNREAD_ANSWERS: CounterDef = "tidings_unread_answers_total", Count, "HTTP connections that ended because their clients read nothing of an answer for gateway.write_deadline_ms.";
    EXPORTS: GaugeDef = "tidings_exports", Count, "Exports in progress.";
    LAGGING: GaugeDef = "tidings_lagging_connections", Count, "Connections whose live push is paused because they read too slowly.";
    LAGS: CounterDef = "tidings_lags_total", Count, "How often live push to a connection was paused.";
    SHEDS: CounterBy = "tidings_sheds_total", Count, by "reason" in SHED_REASONS, "Work refused or dropped because a queue was full.";
    RATE_LIMITED: CounterBy = "tidings_rate_limited_total", Count, by "what" in RATES, "Requests refused because a rate was exceeded.";
    INBOX_BATCHES: CounterDef = "tidings_inbox_batches_total", Count, "Batches of deliveries given to worker threads.";
    TRACKED: GaugeDef = "tidings_tracked_conversations", Count, "Conversations whose order this node tracks.";
    INBOX_OVERFLOWS: CounterDef = "tidings_inbox_overflows_total", Count, "How often a worker's inbox was full, so that its sessions read the log instead.";
    RESUMES_SEEN: CounterBy = "tidings_resumes_total", Count, by "kind" in RESUMES, "Welcomes by the cursor of the client: none, a cursor, a cursor of another epoch.";
    RESUME_HEADS: HistogramDef = "tidings_resume_heads", Count, buckets COUNTS, "Heads in a welcome and the frames after it.";
    COMPARISONS: CounterDef = "tidings_comparisons_total", Count, "Connections for which the log was compared with what they were sent.";
    SYNC_EVENTS: HistogramDef = "tidings_sync_events", Count, buckets COUNTS, "Events in one answer to sync.";
    SYNC_LATENCY: LatencyDef = "tidings_sync_latency_seconds", Seconds, buckets WAIT_S, "From a sync's arrival to its synced.";
    GAPS_DETECTED: CounterBy = "tidings_gaps_detected_total", Count, by "sign" in GAP_SIGNS, "Holes in the events that reached this node, by how they were found.";
    GAPS_HEALED: CounterDef = "tidings_gaps_healed_total", Count, "Holes filled from the log.";
    GAPS_GIVEN_UP: CounterDef = "tidings_gaps_given_up_total", Count, "Holes that could not be filled, so that the conversation's readers compared heads.";
    WRITER_QUEUE: GaugeDef = "tidings_writer_queue_messages", Count, "Messages waiting for a batch.";
    WRITER_IN_FLIGHT: GaugeDef = "tidings_writer_batches_in_flight", Count, "Batches in progress in the store.";
    WRITER_ALLOWED: GaugeDef = "tidings_writer_batches_allowed", Count, "Batches that may be in flight at once, derived from how long commits take.";
    WRITER_BREAKER: GaugeDef = "tidings_writer_breaker_open", Count, "1 while the database counts as unavailable and sends are refused without a call to it.";
    WRITER_BATCH: HistogramDef = "tidings_writer_batch_messages", Count, buckets COUNTS, "Messages in one batch; its count is the number of batches.";
    STORE_LATENCY: LatencyBy = "tidings_store_latency_seconds", Seconds, by "operation" in OPERATIONS, buckets CALL_S, "Duration of store operations, including failed ones.";
    STORE_ERRORS: CounterBy = "tidings_store_errors_total", Count, by "definite" in DEFINITE, "Store operations that failed; false: the operation may have taken effect.";
    STORE_WRITES_WAITING: GaugeDef = "tidings_store_writes_waiting", Count, "Store operations that wait to write: for the thread that writes (embedded), for a connection (Postgres).";
    STORE_READS_WAITING: GaugeDef = "tidings_store_reads_waiting", Count, "Store operations that wait to read: for a thread (embedded), for a connection to the primary or a replica (Postgres).";
    STORE_WRITING: GaugeDef = "tidings_store_write_connections_in_use", Count, "Connections to Postgres that are writing.";
    STORE_READING: GaugeDef = "tidings_store_read_connections_in_use", Count, "Connections to the Postgres primary that are reading.";
    STORE_TAILING: GaugeDef = "tidings_store_tail_connections_in_use", Count, "Connections to Postgres that are reading the tail of the log.";
    STORE_REPLICA_READING: GaugeDef = "tidings_store_replica_connections_in_use", Count, "Connections to Postgres replicas that are reading.";
    STORE_REPLICAS: GaugeDef = "tidings_store_replicas_in_rotation", Count, "Postgres replicas in use; the others were behind or failed.";
    STORE_REPLICA_READS: CounterBy = "tidings_store_replica_reads_total", Count, by "result" in REPLICA_READS, "Reads tried on a replica; behind: it had not yet received the data that the caller must see.";
    STORE_UNDONE: CounterDef = "tidings_store_undone_total", Count, "Batches that Postgres rolled back because of another transaction, and that were repeated.";
    BUS_UP: GaugeDef = "tidings_bus_up", Count, "1 while the bus carries messages, 0 while the log is read instead.";
    BUS_RECONNECTS: CounterDef = "tidings_bus_reconnects_total", Count, "Connections made to the bus after the first.";
    BUS_PUBLISHED: CounterDef = "tidings_bus_published_total", Count, "Envelopes given to the bus.";
    BUS_RECEIVED: CounterDef = "tidings_bus_received_total", Count, "Envelopes received from the bus.";
    BUS_PUBLISHED_BYTES: CounterDef = "tidings_bus_published_bytes_total", Bytes, "Bytes of the envelopes given to the bus.";
    BUS_RECEIVED_BYTES: CounterDef = "tidings_bus_received_bytes_total", Bytes, "Bytes received from the bus, copies and this node's own included.";
    BUS_GAPS: CounterDef = "tidings_bus_gaps_total", Count, "How often envelopes may have been lost on the bus, so that sessions compared with the log.";
    BUS_OUTGOING_BYTES: GaugeDef = "tidings_bus_outgoing_bytes", Bytes, "Bytes waiting to be published.";
    BUS_DUPLICATES: CounterDef = "tidings_bus_duplicates_total", Count, "Events received that this node had already.";
    BUS_DROPPED: CounterBy = "tidings_bus_dropped_total", Count, by "reason" in BUS_DROPS, "Envelopes dropped; their events are read from the log.";
    BUS_QUEUE_BYTES: GaugeDef = "tidings_bus_queue_bytes", Bytes, "Bytes received from the bus and not yet given to the workers.";
    BUS_TAILING: GaugeDef = "tidings_bus_tailing", Count, "1 while this node reads the log because the bus or the relay is unavailable or lost something.";
    BUS_TAILED: CounterDef = "tidings_bus_tailed_total", Count, "Events read from the log for that reason, for all users together.";
    LOG_HELD_BACK: GaugeDef = "tidings_log_held_back_seconds", Seconds, "Age of the oldest transaction that has written in any database of the server and has not ended. The end of the log has not moved for that time.";
    BUS_SUBSCRIPTIONS: GaugeDef = "tidings_bus_subscriptions", Count, "Topics this node is subscribed to.";

    RELAY_LEADS: GaugeDef = "tidings_relay_leads", Count, "1 while this process is the active relay, 0 while it is the standby.";
    RELAY_LAG: GaugeDef = "tidings_relay_lag_seconds", Seconds, "Age of the oldest event of the relay's last read.";
    RELAY_PUBLISHED: CounterDef = "tidings_relay_published_total", Count, "Events published by the relay because no node had published them.";
    RELAY_ANNOUNCEMENTS: GaugeDef = "tidings_relay_announcements", Count, "Events that nodes announced as published, and that the relay has not read yet.";
    RELAY_DIGESTS: CounterDef = "tidings_relay_digests_total", Count, "Digests sent: lists of conversations that moved.";
    PURGED: CounterDef = "tidings_purged_events_total", Count, "Events of deleted conversations whose content was removed by this process.";
    PURGE_LEFT: GaugeDef = "tidings_purge_events_left", Count, "Events whose content is still to be removed, in the deleted conversation that is being purged.";
    JOBS_PENDING: GaugeDef = "tidings_jobs_pending", Count, "Work that continues after its operation was answered (erasing accounts, purging deleted conversations) and is not finished.";
    JOBS_LAG: GaugeDef = "tidings_jobs_lag_seconds", Seconds, "Age of the oldest unfinished work of that kind.";
    JOBS_STEPS: CounterDef = "tidings_jobs_steps_total", Count, "Bounded steps of that work that this process has finished.";
    SIGN_INS_SEEN: CounterBy = "tidings_sign_ins_total", Count, by "result" in SIGN_INS, "Attempts to sign in with a password.";
    SIGN_UPS_SEEN: CounterBy = "tidings_sign_ups_total", Count, by "kind" in SIGN_UPS, "Accounts made, and attempts refused.";
    REFRESHES_SEEN: CounterBy = "tidings_token_refreshes_total", Count, by "result" in REFRESHES, "Uses of refresh tokens; a reused one revokes its family.";
    REVOCATIONS: CounterDef = "tidings_revocations_total", Count, "Revocations this node has applied.";
    AUDIT_ENTRIES: CounterBy = "tidings_audit_entries_total", Count, by "result" in AUDIT_RESULTS, "Entries of the audit log; a lost one did not fit into the queue.";
    AUDIT_WAITING: GaugeDef = "tidings_audit_waiting", Count, "Entries of the audit log that wait to be stored.";
    ARGON2_QUEUE: GaugeDef = "tidings_argon2_queue", Count, "Sign-ins waiting for their hash.";
    ARGON2_LATENCY: LatencyDef = "tidings_argon2_latency_seconds", Seconds, buckets HASH_S, "Duration of a password's hash, including the wait.";
    INVITATIONS: CounterBy = "tidings_invitations_total", Count, by "what" in INVITATIONS_AS, "Invitations to groups and channels that wait for their users' consent, and those that were declined.";
    RECEIPTS: CounterBy = "tidings_receipts_total", Count, by "kind" in RECEIPT_KINDS, "Read and delivered positions received.";
    RECEIPTS_QUEUED: GaugeDef = "tidings_receipts_queue", Count, "Positions waiting to be stored.";
    RECEIPTS_STORED: CounterDef = "tidings_receipts_stored_total", Count, "Positions that moved forward in the store.";
    WATCHES: GaugeDef = "tidings_presence_watches", Count, "Pairs of a connection and a user it watches.";
    PRESENCE_CHANGES: CounterBy = "tidings_presence_changes_total", Count, by "state" in PRESENCES, "Changes of users' presence that were sent to watchers.";
    TYPING: CounterDef = "tidings_typing_total", Count, "Typing signals passed on.";
    HTTP_REQUESTS: CounterBy = "tidings_http_requests_total", Count, by "status" in STATUS_CLASSES, "HTTP requests answered, including upgrades.";
    HTTP_LATENCY: LatencyDef = "tidings_http_latency_seconds", Seconds, buckets WAIT_S, "Duration of HTTP requests, without upgrades.";
    PANICS: CounterBy = "tidings_panics_total", Count, by "work" in WORKS, "Panics that ended one client's work: its WebSocket session, its request, or its connection before either began.";
    LOG_LINES_LOST: CounterBy = "tidings_log_lines_lost_total", Count, by "reason" in LOG_LOSSES, "Lines that did not reach the log: it was not read fast enough, or one place in the code logged too many lines in a second.";
    BUILD_INFO: InfoDef = "tidings_build_info", Count, "Always 1; its labels `version` and `commit` name the build.";
    PROCESS_MEMORY: GaugeDef = "process_resident_memory_bytes", Bytes, "Resident memory.";
    PROCESS_FDS: GaugeDef = "process_open_fds", Count, "Open file descriptors.";
    PROCESS_MAX_FDS: GaugeDef = "process_max_fds", Count, "Open file descriptors the process may have.";
    PROCESS_CPU: GaugeDef = "process_cpu_seconds_total", Seconds, "CPU time, user and system. A gauge because counters here are whole numbers; it only goes up.";
    PROCESS_UPTIME: GaugeDef = "process_uptime_seconds", Seconds, "Time since the start.";
}

/// Gives the meaning of each metric to the installed recorder; called by [`super::Exporter::install`].
pub(super) fn describe_all() {
    for Metric { name, kind, unit, help, .. } in ALL.iter().copied() {
        describe(name, kind, unit, help);
    }
}

fn describe(name: &'static str, kind: Kind, unit: Unit, help: &'static str) {
    match kind {
        Kind::Counter => metrics::describe_counter!(name, unit, help),
        Kind::Gauge => metrics::describe_gauge!(name, unit, help),
        Kind::Histogram => metrics::describe_histogram!(name, unit, help),
    }
}
