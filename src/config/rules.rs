//! The rules between sections, and warnings about values that are legal but probably not meant.

use super::links::Link;
use super::problems::Problems;
use super::{BusBackend, Role, Settings, StoreBackend, Synchronous};

/// OWASP's floor for Argon2id with two passes.
const ADVISED_MEMORY_KIB: u32 = 19_456;

/// Notes contradictions between sections, each under the key that is most likely the one to change.
pub(super) fn validate(settings: &Settings, problems: &mut Problems) {
    timing(settings, problems);
    sizes(settings, problems);
    topology(settings, problems);
}

fn timing(settings: &Settings, problems: &mut Problems) {
    let Settings { server, gateway, auth, store, .. } = settings;
    problems.of("server").when(
        server.shutdown_ms <= store.timeout_ms,
        "shutdown_ms",
        format!(
            "must be above store.timeout_ms ({}), so that accepted sends can be finished",
            store.timeout_ms
        ),
    );
    let mut gateway_problems = problems.of("gateway");
    gateway_problems.when(
        gateway.write_deadline_ms >= gateway.heartbeat_ms.saturating_mul(2),
        "write_deadline_ms",
        "must be below 2 × heartbeat_ms: by then the connection has been closed already",
    );
    gateway_problems.when(
        gateway.token_warning_ms >= auth.access_token_s.saturating_mul(1_000),
        "token_warning_ms",
        format!(
            "must be below auth.access_token_s ({} s), or every token is expiring from the start",
            auth.access_token_s
        ),
    );
}

fn sizes(settings: &Settings, problems: &mut Problems) {
    let Settings { gateway, limits, writer, .. } = settings;
    let mut gateway_problems = problems.of("gateway");
    let two_frames = limits.frame_bytes.saturating_mul(2);
    gateway_problems.when(
        gateway.outbox_bytes < two_frames,
        "outbox_bytes",
        format!("must be at least 2 × limits.frame_bytes: write {two_frames} or more"),
    );
    gateway_problems.when(
        gateway.inbox_bytes < gateway.outbox_bytes,
        "inbox_bytes",
        format!("must be at least gateway.outbox_bytes ({})", gateway.outbox_bytes),
    );
    let mut writer_problems = problems.of("writer");
    writer_problems.when(
        writer.batch_messages.saturating_mul(limits.frame_bytes) > 1 << 30,
        "batch_messages",
        "times limits.frame_bytes makes more than 1 GiB in one statement: lower one of them",
    );
}

fn topology(settings: &Settings, problems: &mut Problems) {
    let Settings { server, auth, store, bus, .. } = settings;
    let alone = server.roles.contains(&Role::All);
    let sqlite = store.backend == StoreBackend::Sqlite;
    problems.of("auth").when(
        !sqlite && auth.key_files.is_empty(),
        "key_files",
        "is needed with store.backend = \"postgres\", since all processes must sign alike: make one with `openssl genpkey \
         -algorithm ed25519 -out key.pem`",
    );
    problems.of("store").when(
        sqlite && !alone,
        "backend",
        "\"sqlite\" is one process's own: with a part of the roles write \"postgres\"",
    );
    problems.of("bus").when(
        !sqlite && !alone && bus.backend == BusBackend::Local,
        "backend",
        "\"local\" does not leave the process: with a part of the roles write \"redis\"",
    );
}

/// One sentence for each setting that is legal and yet probably not meant.
pub(super) fn warnings(settings: &Settings) -> Vec<String> {
    let Settings { server, gateway, auth, store, writer, bus, .. } = settings;
    let sqlite = store.backend == StoreBackend::Sqlite;
    let public = !server.listen.ip().is_loopback();
    let databases = if sqlite { Vec::new() } else { store.postgres.links() };
    let bus_links = if bus.backend == BusBackend::Redis { bus.redis.links() } else { Vec::new() };
    let are = |links: &[(&str, Link)], kind| links.iter().any(|(_, link)| *link == kind);
    let cases = [
        (
            server.request_timeout_ms <= store.timeout_ms,
            "server.request_timeout_ms is not above store.timeout_ms: clients may never learn what the store answered",
        ),
        (
            gateway.hello_timeout_ms <= store.timeout_ms,
            "gateway.hello_timeout_ms is not above store.timeout_ms: a slow store closes connections instead of answering them",
        ),
        (
            sqlite && store.sqlite.synchronous == Synchronous::Normal,
            "store.sqlite.synchronous = \"normal\": a power cut can take the last acknowledged messages with it",
        ),
        (
            sqlite && writer.shards > 1,
            "writer.shards above 1 gains nothing with SQLite, which has one writer",
        ),
        (
            sqlite && bus.backend == BusBackend::Redis,
            "bus.backend = \"redis\" with SQLite, which is one process's own: the bus has nobody to carry to",
        ),
        (
            !sqlite && bus.backend == BusBackend::Local,
            "bus.backend = \"local\" with Postgres: a second process would see this one's events late, from the log",
        ),
        (
            auth.argon2_memory_kib < ADVISED_MEMORY_KIB || auth.argon2_iterations < 2,
            "auth.argon2_memory_kib or argon2_iterations is below what is advised (19456 KiB, 2 passes): stolen hashes are \
             cheaper to guess",
        ),
        (
            public && auth.sign_ins_per_minute == 0 && auth.sign_ins_per_account_per_minute == 0,
            "auth.sign_ins_per_minute and sign_ins_per_account_per_minute = 0: passwords can be guessed as fast as they are hashed",
        ),
        (
            gateway.allowed_origins.iter().any(|origin| origin == "*"),
            "gateway.allowed_origins has \"*\": any web page may connect with a token it was given",
        ),
        (
            public && server.trusted_proxies.is_empty(),
            "server.listen is not loopback and server.trusted_proxies is empty: without a proxy that ends TLS tokens travel in \
             the clear, and behind one that is not named all clients count as one address",
        ),
        (
            server.internal_listen.is_some_and(|address| !address.ip().is_loopback()),
            "server.internal_listen is not loopback: keep that port inside your own network, its token travels in the clear",
        ),
        (
            server.loopback_exempt && (public || !server.public_url.is_empty()),
            "server.loopback_exempt = true: the clients of a proxy on this machine that is not in server.trusted_proxies have no \
             limits per address",
        ),
        (
            are(&databases, Link::PlainText),
            "store.postgres.plain_text = true: messages and password hashes travel in the clear to a database on another host",
        ),
        (
            are(&databases, Link::Unchecked),
            "a URL of store.postgres has an sslmode that does not check the host's name: write sslmode=verify-full",
        ),
        (
            are(&bus_links, Link::PlainText),
            "bus.redis.plain_text = true: messages and the password travel in the clear to Redis on another host",
        ),
        (
            auth.external().is_some_and(|external| external.is_plain_text()),
            "auth.external.plain_text = true: anybody who can change what travels from jwks_url can sign in as anyone",
        ),
        (
            gateway.hello_burst_per_ip > 0 && gateway.hellos_per_ip_per_second == 0,
            "gateway.hellos_per_ip_per_second = 0: one address may upgrade without limit",
        ),
    ];
    cases.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text.to_owned()).collect()
}
