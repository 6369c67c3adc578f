//! The handles that code measures with: look-ups happen here, once, and never per message.
//!
//! Make one [`Meters`] for each worker thread or actor with [`Meters::new`], after
//! [`super::Exporter::install`]; handles made before it measure nothing. A handle is an atomic that all
//! makers share.

use metrics::{Counter, Gauge, Histogram};

use super::definition::{By, Latency};
use super::metrics as catalogue;

/// Declares a group of handles, each a field made from its entry in the catalogue.
macro_rules! group {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $handle:ty = $def:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $(#[doc = concat!("See [`", "catalogue::", stringify!($def), "`].")] pub $field: $handle,)+
        }

        impl $name {
            /// Registers the handles with the installed recorder.
            pub fn new() -> Self {
                Self { $($field: catalogue::$def.handle(),)+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

group! {
    /// Connections: their beginning, their end, their frames.
    ConnectionMeters {
        open: Gauge = CONNECTIONS,
        hellos: By<Counter> = HELLOS,
        hello_latency: Latency = HELLO_LATENCY,
        upgrades_refused: By<Counter> = UPGRADES_REFUSED,
        turned_away: By<Counter> = TURNED_AWAY,
        closes: By<Counter> = CLOSES,
        frames_in: By<Counter> = FRAMES_IN,
        frames_out: Counter = FRAMES_OUT,
        writes: Counter = WRITES,
        bytes_in: Counter = BYTES_IN,
        bytes_out: Counter = BYTES_OUT,
        errors: By<Counter> = ERRORS,
    }
}

group! {
    /// Sends, from arrival to ack.
    SendMeters {
        sends: Counter = SENDS,
        acks: Counter = ACKS,
        duplicates: Counter = DUPLICATES,
        refusals: By<Counter> = SEND_REFUSALS,
        ack_latency: Latency = ACK_LATENCY,
    }
}

group! {
    /// Live push, from a worker's inbox to its sockets.
    DeliveryMeters {
        deliveries: Counter = DELIVERIES,
        latency: Latency = DELIVERY_LATENCY,
        lagging: Gauge = LAGGING,
        lags: Counter = LAGS,
        inbox_batches: Counter = INBOX_BATCHES,
        inbox_overflows: Counter = INBOX_OVERFLOWS,
        tracked: Gauge = TRACKED,
    }
}

group! {
    /// What is queued towards clients.
    QueuedMeters {
        bytes: By<Gauge> = QUEUED_BYTES,
        limit: Gauge = QUEUED_LIMIT,
        gave_way: By<Counter> = GAVE_WAY,
        unread_answers: Counter = UNREAD_ANSWERS,
        exports: Gauge = EXPORTS,
    }
}

group! {
    /// Catching up: resume, sync, holes.
    ResumeMeters {
        resumes: By<Counter> = RESUMES_SEEN,
        heads: Histogram = RESUME_HEADS,
        comparisons: Counter = COMPARISONS,
        sync_events: Histogram = SYNC_EVENTS,
        sync_latency: Latency = SYNC_LATENCY,
        gaps_detected: By<Counter> = GAPS_DETECTED,
        gaps_healed: Counter = GAPS_HEALED,
        gaps_given_up: Counter = GAPS_GIVEN_UP,
    }
}

group! {
    /// Load that was turned away.
    LoadMeters {
        sheds: By<Counter> = SHEDS,
        rate_limited: By<Counter> = RATE_LIMITED,
    }
}

group! {
    /// The writer's batches.
    WriterMeters {
        queue: Gauge = WRITER_QUEUE,
        in_flight: Gauge = WRITER_IN_FLIGHT,
        allowed: Gauge = WRITER_ALLOWED,
        breaker_open: Gauge = WRITER_BREAKER,
        batch: Histogram = WRITER_BATCH,
    }
}

group! {
    /// Calls on the store.
    StoreMeters {
        latency: By<Latency> = STORE_LATENCY,
        errors: By<Counter> = STORE_ERRORS,
    }
}

group! {
    /// Operations that wait for a thread or a connection of the database.
    StoreQueueMeters {
        waiting_writes: Gauge = STORE_WRITES_WAITING,
        waiting_reads: Gauge = STORE_READS_WAITING,
    }
}

group! {
    /// Connections to Postgres and its replicas.
    PostgresMeters {
        writing: Gauge = STORE_WRITING,
        reading: Gauge = STORE_READING,
        tailing: Gauge = STORE_TAILING,
        replica_reading: Gauge = STORE_REPLICA_READING,
        replicas: Gauge = STORE_REPLICAS,
        replica_reads: By<Counter> = STORE_REPLICA_READS,
        undone: Counter = STORE_UNDONE,
    }
}

group! {
    /// The bus between processes.
    BusMeters {
        up: Gauge = BUS_UP,
        reconnects: Counter = BUS_RECONNECTS,
        published: Counter = BUS_PUBLISHED,
        received: Counter = BUS_RECEIVED,
        duplicates: Counter = BUS_DUPLICATES,
        published_bytes: Counter = BUS_PUBLISHED_BYTES,
        received_bytes: Counter = BUS_RECEIVED_BYTES,
        gaps: Counter = BUS_GAPS,
        outgoing_bytes: Gauge = BUS_OUTGOING_BYTES,
        dropped: By<Counter> = BUS_DROPPED,
        queue_bytes: Gauge = BUS_QUEUE_BYTES,
        subscriptions: Gauge = BUS_SUBSCRIPTIONS,
        tailing: Gauge = BUS_TAILING,
        tailed: Counter = BUS_TAILED,
        held_back: Gauge = LOG_HELD_BACK,
    }
}

group! {
    /// The relay.
    RelayMeters {
        leads: Gauge = RELAY_LEADS,
        lag: Gauge = RELAY_LAG,
        published: Counter = RELAY_PUBLISHED,
        announcements: Gauge = RELAY_ANNOUNCEMENTS,
        digests: Counter = RELAY_DIGESTS,
    }
}

group! {
    /// Removing what was said in deleted conversations.
    PurgeMeters {
        done: Counter = PURGED,
        left: Gauge = PURGE_LEFT,
    }
}

group! {
    /// Work that goes on after its operation was answered.
    JobMeters {
        pending: Gauge = JOBS_PENDING,
        lag: Gauge = JOBS_LAG,
        steps: Counter = JOBS_STEPS,
    }
}

group! {
    /// Signing in and out.
    IdentityMeters {
        sign_ins: By<Counter> = SIGN_INS_SEEN,
        sign_ups: By<Counter> = SIGN_UPS_SEEN,
        refreshes: By<Counter> = REFRESHES_SEEN,
        revocations: Counter = REVOCATIONS,
        argon2_queue: Gauge = ARGON2_QUEUE,
        argon2_latency: Latency = ARGON2_LATENCY,
    }
}

group! {
    /// The audit log.
    AuditMeters {
        entries: By<Counter> = AUDIT_ENTRIES,
        waiting: Gauge = AUDIT_WAITING,
    }
}

group! {
    /// Read positions, presence, typing.
    SocialMeters {
        receipts: By<Counter> = RECEIPTS,
        receipts_queued: Gauge = RECEIPTS_QUEUED,
        receipts_stored: Counter = RECEIPTS_STORED,
        watches: Gauge = WATCHES,
        presence_changes: By<Counter> = PRESENCE_CHANGES,
        typing: Counter = TYPING,
        invitations: By<Counter> = INVITATIONS,
    }
}

group! {
    /// HTTP requests.
    HttpMeters {
        requests: By<Counter> = HTTP_REQUESTS,
        latency: Latency = HTTP_LATENCY,
    }
}

group! {
    /// Faults of the server itself, and lines that it could not log.
    FaultMeters {
        panics: By<Counter> = PANICS,
        log_lines_lost: By<Counter> = LOG_LINES_LOST,
    }
}

/// All groups at once.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    /// Connections: their beginning, their end, their frames.
    pub connections: ConnectionMeters,
    /// Sends, from arrival to ack.
    pub sends: SendMeters,
    /// Live push.
    pub delivery: DeliveryMeters,
    /// What is queued towards clients.
    pub queued: QueuedMeters,
    /// Catching up.
    pub resume: ResumeMeters,
    /// Load that was turned away.
    pub load: LoadMeters,
    /// The writer's batches.
    pub writer: WriterMeters,
    /// Calls on the store.
    pub store: StoreMeters,
    /// Operations that wait for the database.
    pub store_queues: StoreQueueMeters,
    /// Connections to Postgres and its replicas.
    pub postgres: PostgresMeters,
    /// The bus between processes.
    pub bus: BusMeters,
    /// The relay.
    pub relay: RelayMeters,
    /// Removing what was said in deleted conversations.
    pub purge: PurgeMeters,
    /// Work that goes on after its operation was answered.
    pub jobs: JobMeters,
    /// Signing in and out.
    pub identity: IdentityMeters,
    /// The audit log.
    pub audit: AuditMeters,
    /// Read positions, presence, typing.
    pub social: SocialMeters,
    /// HTTP requests.
    pub http: HttpMeters,
    /// Faults of the server.
    pub faults: FaultMeters,
}

impl Meters {
    /// Registers every handle with the installed recorder.
    pub fn new() -> Self {
        Self::default()
    }
}
