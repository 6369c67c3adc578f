//! Which test shows that a setting does what `config/default.toml` says. What `tests/it/settings.rs` sets by
//! its whole name is shown there. Any other key needs a row; a row fails whose test does not exist or does
//! not set the key.

use super::{none, root};

/// Key, file, test, and what that file sets the key by: the setting itself, or the option that
/// `src/app/options.rs` makes of it (its own test shows that every setting reaches its option).
const SHOWN_BY: &[(&str, &str, &str, &str)] = &[
    ("server.listen", SETTINGS, "an_address_in_use_is_named", "server.listen"),
    (
        "server.internal_listen",
        "tests/it/internal.rs",
        "over_tcp_everything_but_health_needs_the_token",
        "SERVER__INTERNAL_LISTEN",
    ),
    (
        "server.internal_token_file",
        "tests/it/internal.rs",
        "over_tcp_everything_but_health_needs_the_token",
        "SERVER__INTERNAL_TOKEN_FILE",
    ),
    ("server.trusted_proxies", DOORS, "one_address_connects_only_so_often", "SERVER__TRUSTED_PROXIES"),
    ("server.proxy_header", DOORS, NAMED, "SERVER__PROXY_HEADER"),
    ("server.proxy_hops", DOORS, NAMED, "SERVER__PROXY_HOPS"),
    (
        "server.loopback_exempt",
        DOORS,
        "this_machine_has_the_limits_unless_it_is_exempt",
        "SERVER__LOOPBACK_EXEMPT",
    ),
    (
        "server.connections_per_ip",
        "tests/it/crowded.rs",
        "one_address_takes_its_places_and_only_health_checks_and_those_who_are_signed_in_get_more",
        "SERVER__CONNECTIONS_PER_IP",
    ),
    ("privacy.messages", CONSENT, CHOSEN, "PRIVACY__MESSAGES"),
    ("privacy.groups", CONSENT, CHOSEN, "PRIVACY__GROUPS"),
    ("privacy.presence", CONSENT, CHOSEN, "PRIVACY__PRESENCE"),
    ("privacy.stranger_messages", CONSENT, MARKED, "PRIVACY__STRANGER_MESSAGES"),
    ("privacy.invitation_days", CONSENT, INVITED, "PRIVACY__INVITATION_DAYS"),
    ("privacy.pending_invitations", CONSENT, INVITED, "PRIVACY__PENDING_INVITATIONS"),
    (
        "auth.guest_days",
        "tests/it/erasing.rs",
        "a_guest_who_was_not_there_for_long_is_erased",
        "AUTH__GUEST_DAYS",
    ),
    ("server.queued_bytes", QUEUED, TWENTY, "SERVER__QUEUED_BYTES"),
    ("limits.exports_per_user", QUEUED, "a_user_has_so_many_exports_at_once", "LIMITS__EXPORTS_PER_USER"),
    ("server.name", NEWCOMERS, "the_server_tells_its_rules", "SERVER__NAME"),
    ("server.directory", NEWCOMERS, "a_closed_directory_answers_whole_usernames_only", "SERVER__DIRECTORY"),
    (
        "server.shutdown_ms",
        "tests/it/stopping.rs",
        "one_of_several_hands_its_clients_over_within_the_window",
        "SERVER__SHUTDOWN_MS",
    ),
    (
        "gateway.outbox_bytes",
        "tests/it/lagging.rs",
        "a_slow_reader_is_told_and_pulls_what_it_missed",
        "GATEWAY__OUTBOX_BYTES",
    ),
    ("gateway.inbox_bytes", "src/actors/inbox.rs", "a_full_inbox_keeps_revocations", "Inbox::new("),
    (
        "gateway.in_flight_requests",
        "src/gateway/session/state_tests.rs",
        "requests_under_way_are_bounded_and_reading_goes_on_when_one_is_answered",
        "in_flight_requests",
    ),
    (
        "gateway.anti_entropy_ms",
        "tests/it/beside.rs",
        "a_message_that_nobody_noticed_losing_is_found",
        "GATEWAY__ANTI_ENTROPY_MS",
    ),
    ("gateway.hellos_in_flight", DOORS, "only_so_many_hellos_are_under_way", "GATEWAY__HELLOS_IN_FLIGHT"),
    (
        "gateway.hellos_per_ip_per_second",
        DOORS,
        "one_address_connects_only_so_often",
        "HELLOS_PER_IP_PER_SECOND",
    ),
    ("gateway.hello_burst_per_ip", DOORS, "one_address_connects_only_so_often", "HELLO_BURST_PER_IP"),
    (
        "auth.refresh_token_s",
        "tests/api/tokens.rs",
        "a_refresh_token_expires",
        "options.auth.refresh_token_s =",
    ),
    (
        "auth.key_files",
        "tests/api/tokens.rs",
        "the_keys_change_without_signing_anybody_out",
        "KeySource::Files",
    ),
    (
        "auth.argon2_parallel",
        "src/identity/passwords/tests.rs",
        "a_full_queue_and_a_long_wait_are_overload",
        "cheap(1, 1)",
    ),
    (
        "auth.argon2_queue",
        "src/identity/passwords/tests.rs",
        "a_full_queue_and_a_long_wait_are_overload",
        "cheap(1, 1)",
    ),
    ("conversations.default", NEWCOMERS, ONE_LOBBY, "CONVERSATIONS__DEFAULT"),
    (
        "conversations.default_owner",
        NEWCOMERS,
        "the_default_channel_waits_for_the_owner_that_was_named",
        "CONVERSATIONS__DEFAULT_OWNER",
    ),
    ("auth.sign_ins_per_minute", SIGNING, GUESSING, "sign_ins_per_minute"),
    ("auth.sign_ins_per_account_per_minute", SIGNING, GUESSING, "sign_ins_per_account_per_minute"),
    ("auth.sign_ins_per_ip_per_minute", SIGNING, GUESSING, "sign_ins_per_ip_per_minute"),
    ("auth.sign_ups_per_ip_per_minute", SIGNING, GUESSING, "sign_ups_per_ip_per_minute"),
    (
        "auth.refreshes_per_ip_per_minute",
        SIGNING,
        "a_proxy_may_add_a_port_and_whom_it_does_not_name_is_limited_too",
        "refreshes_per_ip_per_minute: 1",
    ),
    ("auth.external.issuer", EXTERNAL, PINNED, "issuer"),
    ("auth.external.audience", EXTERNAL, PINNED, "audience"),
    ("auth.external.algorithms", EXTERNAL, PINNED, "algorithms"),
    ("auth.external.jwks_url", DOORS, "only_so_many_hellos_are_under_way", "EXTERNAL__JWKS_URL"),
    (
        "auth.external.key_file",
        EXTERNAL,
        "a_token_of_the_issuer_is_a_user_from_first_sight_on",
        "external.key_file =",
    ),
    (
        "auth.external.jwks_refresh_s",
        "src/identity/jwks.rs",
        "keys_are_refreshed_and_outlive_an_issuer_that_is_away_for_a_day",
        "refresh",
    ),
    ("auth.external.max_age_s", EXTERNAL, PINNED, "max_age"),
    ("auth.external.user_claim", EXTERNAL, PINNED, "user_claim"),
    ("auth.external.name_claim", EXTERNAL, PINNED, "name_claim"),
    (
        "store.backend",
        "tests/contract/postgres/schema.rs",
        "the_command_line_migrates_and_a_server_does_not",
        "store.backend",
    ),
    ("store.data_dir", SETTINGS, "passwords_are_hashed_as_was_set", "server.data()"),
    (
        "store.timeout_ms",
        "tests/contract/sqlite.rs",
        "a_locked_file_is_a_definite_no_within_the_timeout_and_heals",
        "timeout_ms: 400",
    ),
    (
        "store.postgres.url",
        "tests/contract/postgres/pooler.rs",
        "everything_works_without_keeping_anything_on_a_connection",
        "postgres.url = ",
    ),
    (
        "store.postgres.read_urls",
        "tests/contract/postgres/replicas.rs",
        "a_replica_that_has_it_answers_and_returns_after_it_lagged",
        "postgres.read_urls = ",
    ),
    (
        "store.postgres.tail_url",
        "tests/contract/postgres/replicas.rs",
        "the_tail_can_be_followed_at_a_replica_and_skips_nothing_there",
        "postgres.tail_url = ",
    ),
    ("store.postgres.write_connections", FAULTS, NO_CONNECTION, "write_connections = 1"),
    ("store.postgres.acquire_timeout_ms", FAULTS, NO_CONNECTION, "with_patience(&harness, 30_000, 100)"),
    (
        "store.postgres.prepared",
        "tests/contract/postgres/pooler.rs",
        "everything_works_without_keeping_anything_on_a_connection",
        "prepared = false",
    ),
    ("writer.shards", "src/actors/writer/gate.rs", "a_batch_waits_for_its_place", "gate(1)"),
    (
        "writer.batch_messages",
        "src/actors/writer/state.rs",
        "gathers_while_a_batch_is_in_flight",
        "WriterState::new(",
    ),
    (
        "writer.queue_messages",
        "src/actors/writer/state.rs",
        "a_full_queue_gives_the_job_back",
        "WriterState::new(",
    ),
    (
        "writer.target_commit_ms",
        "src/actors/writer/limit.rs",
        "slows_down_before_the_database_hurts_and_recovers",
        "AdaptiveLimit::new(",
    ),
    ("bus.backend", "tests/bus/served.rs", SERVED, "bus.backend"),
    ("bus.redis.url", "tests/bus/served.rs", SERVED, "bus.redis.url"),
    ("store.postgres.plain_text", PLAIN, PLAIN_TEXT, "store.postgres.plain_text"),
    ("bus.redis.plain_text", PLAIN, PLAIN_TEXT, "bus.redis.plain_text"),
    ("auth.external.plain_text", PLAIN, PLAIN_TEXT, "auth.external.plain_text"),
    (
        "bus.redis.ca_file",
        "tests/bus/tls.rs",
        "redis_is_believed_only_with_a_certificate_for_its_name_from_the_ca_that_was_named",
        "bus.redis.ca_file=",
    ),
    ("bus.mac", BUS_KEYS, "unsigned_messages_are_taken_as_was_set", "bus.mac"),
    ("bus.mac_key_files", BUS_KEYS, "keys_come_from_the_files_that_were_set", "bus.mac_key_files"),
    (
        "bus.queue_bytes",
        "src/bus/redis/incoming.rs",
        "what_does_not_fit_becomes_a_gap_behind_what_did",
        "IncomingQueue::",
    ),
    (
        "bus.redis.sentinels",
        "tests/bus/sentinel.rs",
        "a_primary_that_dies_is_replaced_by_whom_the_sentinels_name",
        "sentinels",
    ),
    (
        "bus.redis.sentinel_master",
        "tests/bus/sentinel.rs",
        "a_primary_that_dies_is_replaced_by_whom_the_sentinels_name",
        "master",
    ),
    ("bus.redis.cluster", "tests/bus/cluster.rs", "topics_are_spread_over_the_primaries", "cluster_options"),
    ("bus.redis.prefix", "src/bus/redis/channels.rs", "every_topic_has_a_channel_of_its_own", "eu:"),
    (
        "bus.redis.outgoing_bytes",
        "src/bus/redis/outgoing.rs",
        "bytes_are_bounded_whatever_the_sizes",
        "Outgoing::",
    ),
    (
        "bus.redis.outgoing_messages",
        "tests/bus/faults.rs",
        "a_full_queue_drops_the_oldest_and_keeps_nobody_waiting",
        "outgoing_messages = 100",
    ),
    (
        "presence.offline_after_ms",
        "src/actors/presence/state.rs",
        "a_reconnect_within_the_grace_time_is_not_seen",
        "ConnectedDevices::new(",
    ),
    (
        "presence.typing_timeout_ms",
        "tests/it/signals.rs",
        "typing_ends_after_its_time",
        "PRESENCE__TYPING_TIMEOUT_MS",
    ),
    (
        "server.backlog",
        BACKGROUND,
        "as_many_connections_wait_for_a_server_that_stands_still_as_was_set",
        "SERVER__BACKLOG",
    ),
    (
        "auth.revocation_poll_ms",
        BACKGROUND,
        "revocations_are_read_as_often_as_was_set",
        "AUTH__REVOCATION_POLL_MS",
    ),
    (
        "store.sqlite.synchronous",
        "src/store/sqlite/open.rs",
        "a_commit_waits_for_the_disk_as_was_set",
        "Synchronous::Normal",
    ),
    ("bus.redis.timeout_ms", BUS_FAULTS, FROZEN, "timeout_ms = LONG_MS"),
    ("bus.redis.ping_ms", BUS_FAULTS, FROZEN, "ping_ms = LONG_MS"),
    (
        "presence.lease_ms",
        "tests/bus/presence_registry.rs",
        "a_dead_node_counts_for_as_long_as_its_lease",
        "bus.presence_registry(Duration::from_secs(600))",
    ),
    ("receipts.flush_ms", BACKGROUND, "receipts_are_told_as_often_as_was_set", "RECEIPTS__FLUSH_MS"),
    ("store.sqlite.readers", BACKGROUND, "as_many_threads_read_the_file_as_was_set", "SQLITE__READERS"),
    (
        "store.postgres.read_connections",
        FAULTS,
        BESIDE,
        "options.postgres.read_connections, options.postgres.tail_connections) = (2, 3)",
    ),
    (
        "store.postgres.tail_connections",
        FAULTS,
        BESIDE,
        "options.postgres.read_connections, options.postgres.tail_connections) = (2, 3)",
    ),
    (
        "audit.retention_days",
        "src/audit/tests.rs",
        "entries_go_after_the_retention_that_was_set",
        "log.forget(2 * DAY)",
    ),
    (
        "receipts.queue_receipts",
        "src/actors/receipts/state.rs",
        "at_its_bound_it_still_moves_what_it_holds",
        "ReceiptsState::new(",
    ),
];

/// Keys whose effect no test shows yet, each with the reason. That they are read is shown in
/// `src/app/options.rs`.
const UNSHOWN: &[(&str, &str)] =
    &[("gateway.lag_resume_bytes", "when a lagging reader goes on shows from outside only as a moment")];

const PLAIN: &str = "src/config/links.rs";
const PLAIN_TEXT: &str = "plain_text_to_another_host_needs_a_setting_and_is_warned_of";
const SETTINGS: &str = "tests/it/settings.rs";
const ONE_LOBBY: &str = "a_new_server_has_one_open_channel_that_its_first_account_owns";
const MARKED: &str = "a_request_is_marked_until_it_is_answered_or_accepted";
const QUEUED: &str = "tests/it/queued.rs";
const TWENTY: &str = "twenty_hostile_guests_stay_within_the_budget_and_others_are_served";
const CONSENT: &str = "tests/it/consent.rs";
const CHOSEN: &str = "the_installation_chooses_for_those_who_have_not";
const INVITED: &str = "an_open_client_is_told_of_an_invitation_and_of_the_join_that_follows";
const NEWCOMERS: &str = "tests/it/newcomers.rs";
const BACKGROUND: &str = "tests/it/background.rs";
const BUS_FAULTS: &str = "tests/bus/faults.rs";
const FROZEN: &str = "a_frozen_server_is_given_up_on_after_the_times_that_were_set";
const BUS_KEYS: &str = "src/app/bus_keys.rs";
const NAMED: &str = "the_client_is_whom_the_last_listed_proxy_names";
const DOORS: &str = "tests/it/doors.rs";
const SIGNING: &str = "tests/api/signing.rs";
const EXTERNAL: &str = "tests/api/external.rs";
const FAULTS: &str = "tests/contract/postgres/faults.rs";
const GUESSING: &str = "guessing_is_slowed_per_account_and_per_forwarded_address";
const PINNED: &str = "what_the_operator_pinned_is_held_against_every_token";
const NO_CONNECTION: &str = "who_gets_no_connection_in_time_hears_a_definite_no";
const BESIDE: &str = "as_many_read_and_follow_side_by_side_as_there_are_connections";
const SERVED: &str = "a_server_is_ready_without_its_bus_and_says_since_when";

/// The keys of `config/default.toml`.
fn keys() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("config/default.toml")).unwrap();
    let mut section = "";
    let mut keys = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push(format!("{section}.{name}"));
        }
    }
    assert!(keys.len() > 80, "the file was not understood: {keys:?}");
    keys
}

#[test]
fn every_setting_has_a_test_in_which_changing_it_changes_something() {
    let mut broken = Vec::new();
    let keys = keys();
    let settings = std::fs::read_to_string(root().join(SETTINGS)).unwrap();
    for key in &keys {
        let rows = SHOWN_BY.iter().filter(|(known, ..)| known == key).count();
        let excuses = UNSHOWN.iter().filter(|(known, _)| known == key).count();
        let is_set = settings.contains(&format!("\"{key}\""));
        match rows + excuses {
            0 if is_set => {}
            0 => broken
                .push(format!("{key}: set it in {SETTINGS}, or name its test in tests/tidy/settings.rs")),
            1 => {}
            _ => broken.push(format!("{key}: is named {} times", rows + excuses)),
        }
    }
    for (key, file, test, set_by) in SHOWN_BY {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        if !text.contains(&format!("fn {test}(")) {
            broken.push(format!("{key}: {file} has no test {test}"));
        } else if !text.contains(set_by) {
            broken.push(format!("{key}: {file} does not hold {set_by:?}"));
        }
    }
    let named = SHOWN_BY.iter().map(|(key, ..)| *key).chain(UNSHOWN.iter().map(|(key, _)| *key));
    for key in named.filter(|key| !keys.iter().any(|known| known == key)) {
        broken.push(format!("{key}: there is no such key any more"));
    }
    none(
        &broken,
        "every key of config/default.toml is set in tests/it/settings.rs or named in tests/tidy/settings.rs with its test",
    );
}
