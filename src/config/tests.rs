use std::collections::BTreeSet;
use std::io::Write as _;

use super::schema::{self, DEFAULT_TOML};
use super::units::{Unit, nearest};
use super::*;

fn load(file: Option<&str>, env: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let written = file.map(|text| {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    });
    let path = written.as_ref().map(|file| file.path().to_owned());
    Settings::load(LoadOptions { file: path, environment: owned(env), overrides: owned(set) })
}

fn mistakes(file: Option<&str>, env: &[(&str, &str)], set: &[(&str, &str)]) -> String {
    load(file, env, set).expect_err("must be refused").to_string()
}

#[test]
fn the_defaults_hold_and_fill_every_field() {
    let settings = load(None, &[], &[]).unwrap();
    assert_eq!(settings.limits.to_domain(), crate::domain::Limits::default());
    assert_eq!(settings.warnings(), Vec::<String>::new());
    assert!(settings.server.has_role(Role::Relay));
    assert!(settings.auth.external().is_none());
    assert_eq!(Settings::for_tests().server.listen.port(), 0);
}

#[test]
fn every_default_key_has_its_explanation_above_it() {
    let lines: Vec<&str> = DEFAULT_TOML.lines().collect();
    let mut keys = 0;
    for (index, line) in lines.iter().enumerate() {
        if line.contains(" = ") && !line.starts_with('#') {
            keys += 1;
            // A comment may speak of several keys that follow it directly.
            let above =
                lines[..index].iter().rev().find(|line| !line.contains(" = ") || line.starts_with('#'));
            assert!(above.is_some_and(|line| line.starts_with('#')), "{line} has no explanation");
        }
    }
    assert_eq!(keys, schema::keys().len());
    let names: BTreeSet<&str> = schema::keys().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names.len(), keys, "no key is named twice");
}

#[test]
fn a_later_layer_wins_and_the_dump_says_which() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nworkers = 3\n[store.sqlite]\nreaders = 9\n";
    let settings = load(
        Some(file),
        &[
            ("TIDINGS__SERVER__LISTEN", "127.0.0.1:2"),
            ("TIDINGS__GATEWAY__HEARTBEAT_MS", "9000"),
            ("PATH", "/bin"),
        ],
        &[("gateway.heartbeat_ms", "8000")],
    )
    .unwrap();
    assert_eq!(settings.server.listen.port(), 2);
    assert_eq!(settings.server.workers, 3);
    assert_eq!(settings.gateway.heartbeat_ms, 8_000);
    let dump = settings.dump(false);
    assert!(
        dump.contains("listen = \"127.0.0.1:2\"  # environment variable TIDINGS__SERVER__LISTEN"),
        "{dump}"
    );
    assert!(dump.contains("readers = 9  # file "), "{dump}");
    assert!(dump.contains("heartbeat_ms = 8000  # command line"), "{dump}");
    assert!(dump.contains("backlog = 4096  # default"), "{dump}");
}

#[test]
fn a_dump_without_secrets_is_a_file_that_loads_to_the_same() {
    let settings = load(
        None,
        &[("TIDINGS__SERVER__ROLES", "all"), ("TIDINGS__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1")],
        &[],
    );
    let dump = settings.unwrap().dump(false);
    let again = load(Some(&dump), &[], &[]).unwrap().dump(false);
    let values = |text: &str| {
        text.lines().map(|line| line.split("  #").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&dump), values(&again));
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place_and_remedy() {
    let text = mistakes(
        Some(
            "[gateway]\nhartbeat_ms = 1000\noutbox_bytes = \"64 KiB\"\n[server]\nworkers = 1.5\nmetrics = true\n",
        ),
        &[("TIDINGS__SERVER__SHUTDOWN_MS", "5s"), ("TIDINGS__STORE__BACKEND", "postgre")],
        &[("telemetry.metrics", "yes"), ("limits.body_bytes", "")],
    );
    for wanted in [
        "8 mistakes",
        "did you mean gateway.heartbeat_ms?",
        "\"64 KiB\" is not a whole number of bytes: write 65536",
        "server.workers (file ",
        "did you mean telemetry.metrics?",
        "server.shutdown_ms (environment variable TIDINGS__SERVER__SHUTDOWN_MS): \"5s\" is not a whole number of milliseconds: write 5000",
        "store.backend (environment variable TIDINGS__STORE__BACKEND): \"postgre\" is none of \"sqlite\", \"postgres\"; did you mean \"postgres\"?",
        "telemetry.metrics (command line): \"yes\" is no switch: write true or false",
        "limits.body_bytes (command line): \"\" is not a whole number of bytes: write e.g. 65536",
    ] {
        assert!(text.contains(wanted), "{wanted}\nis missing in\n{text}");
    }
}

#[test]
fn words_numbers_and_addresses_that_do_not_parse_are_placed() {
    let text = mistakes(
        None,
        &[],
        &[("server.listen", "localhost"), ("gateway.malformed_per_minute", "5000000000")],
    );
    assert!(text.contains("server.listen (command line): "), "{text}");
    assert!(text.contains("gateway.malformed_per_minute (command line): "), "{text}");
    let text = mistakes(None, &[("TIDINGS__SERVER__ROLES", "gateway,apy")], &[]);
    assert!(
        text.contains("server.roles[1] (environment variable TIDINGS__SERVER__ROLES): \"apy\" is none of"),
        "{text}"
    );
}

#[test]
fn rules_within_and_between_sections_are_held() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("limits.body_bytes", "65536")], "limits.frame_bytes"),
        (&[("gateway.outbox_bytes", "70000"), ("gateway.lag_resume_bytes", "0")], "gateway.outbox_bytes"),
        (&[("gateway.inbox_bytes", "70000")], "gateway.inbox_bytes"),
        (&[("gateway.write_deadline_ms", "60000")], "gateway.write_deadline_ms"),
        (&[("gateway.allowed_origins", "game.example.org")], "gateway.allowed_origins"),
        (&[("gateway.allowed_origins", "https://game.example.org/play")], "gateway.allowed_origins"),
        (&[("gateway.allowed_origins", "https://*.example.org")], "gateway.allowed_origins"),
        (&[("gateway.hello_burst_per_ip", "1")], "gateway.hello_burst_per_ip"),
        (&[("gateway.anti_entropy_ms", "10")], "gateway.anti_entropy_ms"),
        (&[("server.shutdown_ms", "3000")], "server.shutdown_ms"),
        (&[("server.roles", "gateway")], "store.backend"),
        (&[("server.roles", "")], "server.roles"),
        (&[("server.public_url", "chat.example.org")], "server.public_url"),
        (&[("store.backend", "postgres"), ("auth.key_files", "a.pem")], "store.postgres.url"),
        (
            &[("store.backend", "postgres"), ("store.postgres.url", "postgres://localhost/d")],
            "auth.key_files",
        ),
        (
            &[("store.backend", "postgres"), ("store.postgres.acquire_timeout_ms", "3000")],
            "store.postgres.acquire_timeout_ms",
        ),
        (&[("auth.key_files", "a,b,c")], "auth.key_files"),
        (&[("auth.refresh_token_s", "900")], "auth.refresh_token_s"),
        (&[("auth.external.issuer", "x"), ("auth.external.audience", "y")], "auth.external.jwks_url"),
        (&[("bus.backend", "redis")], "bus.redis.url"),
        (&[("bus.redis.sentinels", "redis://s")], "bus.redis.sentinel_master"),
        (&[("bus.redis.sentinels", "s:26379")], "bus.redis.sentinels"),
        (
            &[
                ("bus.redis.cluster", "true"),
                ("bus.redis.sentinels", "redis://s"),
                ("bus.redis.sentinel_master", "m"),
            ],
            "bus.redis.cluster",
        ),
        (&[("bus.redis.prefix", "{eu}")], "bus.redis.prefix"),
        (&[("bus.backend", "redis"), ("bus.redis.url", "redis://h")], "bus.redis.url"),
        (
            &[
                ("bus.backend", "redis"),
                ("bus.redis.url", "redis://localhost"),
                ("bus.redis.sentinels", "rediss://s"),
                ("bus.redis.sentinel_master", "m"),
            ],
            "bus.redis.url",
        ),
        (
            &[
                ("bus.backend", "redis"),
                ("bus.redis.url", "redis://localhost"),
                ("bus.redis.ca_file", "ca.pem"),
            ],
            "bus.redis.ca_file",
        ),
        (
            &[("store.backend", "postgres"), ("store.postgres.url", "postgres://h/d?sslmode=prefer")],
            "store.postgres.url",
        ),
        (
            &[
                ("store.backend", "postgres"),
                ("store.postgres.url", "postgres://localhost/d"),
                ("store.postgres.read_urls", "postgres://localhost/d,postgres://h/d"),
            ],
            "store.postgres.read_urls",
        ),
        (
            &[
                ("auth.external.issuer", "x"),
                ("auth.external.audience", "y"),
                ("auth.external.jwks_url", "http://login.example/jwks"),
            ],
            "auth.external.jwks_url",
        ),
        (&[("bus.redis.ping_ms", "2000")], "bus.redis.ping_ms"),
        (&[("writer.queue_messages", "10")], "writer.queue_messages"),
        (&[("telemetry.log_filter", "=loud=")], "telemetry.log_filter"),
    ];
    for (set, key) in cases {
        let text = mistakes(None, &[], set);
        assert!(text.contains(&format!("  {key} (")), "{set:?} must be refused at {key}, but:\n{text}");
    }
}

#[test]
fn a_process_with_some_roles_needs_postgres_and_redis() {
    let shared = [
        ("server.roles", "gateway,api"),
        ("store.backend", "postgres"),
        ("store.postgres.url", "postgres://tidings:hunter2@db/tidings?sslmode=verify-full"),
        ("auth.key_files", "key.pem"),
    ];
    let text = mistakes(None, &[], &shared);
    assert!(text.contains("bus.backend (default): \"local\" does not leave the process"), "{text}");
    let mut all = shared.to_vec();
    all.extend([("bus.backend", "redis"), ("bus.redis.url", "rediss://:hunter2@redis")]);
    let settings = load(None, &[], &all).unwrap();
    assert!(settings.server.has_role(Role::Api) && !settings.server.has_role(Role::Relay));
}

#[test]
fn secrets_are_never_shown() {
    let set =
        [("store.postgres.url", "postgres://hunter2"), ("store.postgres.read_urls", "postgres://hunter2")];
    let settings = load(None, &[("TIDINGS__BUS__REDIS__URL", "redis://hunter2")], &set).unwrap();
    let shown = format!("{}{settings:?}", settings.dump(false));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(settings.dump(false).matches("(hidden)").count(), 3);

    for broken in ["[bus.redis]\nurl = \"redis://hunter2\n", "[bus.redis]\nurl = [\"redis://hunter2\"]\n"] {
        let text = mistakes(Some(broken), &[], &[]);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("(file ") || text.contains("line 2"), "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let options = LoadOptions { file: Some("no/such.toml".into()), environment: [], overrides: Vec::new() };
    let text = Settings::load(options).unwrap_err().to_string();
    assert!(text.contains("file no/such.toml: cannot be read"), "{text}");
}

#[test]
fn what_is_risky_is_warned_of() {
    let set = [
        ("server.listen", "0.0.0.0:80"),
        ("store.sqlite.synchronous", "normal"),
        ("auth.sign_ins_per_minute", "0"),
        ("auth.sign_ins_per_account_per_minute", "0"),
        ("gateway.allowed_origins", "*"),
        ("gateway.hello_timeout_ms", "3000"),
        ("server.request_timeout_ms", "3000"),
        ("server.internal_listen", "0.0.0.0:81"),
        ("server.internal_token_file", "token"),
    ];
    let warnings = load(None, &[], &set).unwrap().warnings().join("\n");
    for key in [
        "synchronous",
        "sign_ins_per_minute",
        "allowed_origins",
        "internal_listen",
        "hello_timeout_ms",
        "request_timeout_ms",
    ] {
        assert!(warnings.contains(key), "{key} in {warnings}");
    }
}

#[test]
fn an_address_may_be_short() {
    for (written, meant) in [
        ("18301", "127.0.0.1:18301"),
        ("localhost:18301", "127.0.0.1:18301"),
        (":18301", "0.0.0.0:18301"),
        ("[::]:80", "[::]:80"),
    ] {
        let settings = load(None, &[], &[("server.listen", written)]).unwrap();
        assert_eq!(settings.server.listen.to_string(), meant, "{written}");
    }
}

#[test]
fn networks_contain_their_addresses_only() {
    let network: Network = "10.1.0.0/16".parse().unwrap();
    assert!(network.contains("10.1.2.3".parse().unwrap()));
    assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
    assert!(!network.contains("10.2.0.1".parse().unwrap()));
    assert!("::1".parse::<Network>().unwrap().contains("::1".parse().unwrap()));
    assert!("::/0".parse::<Network>().unwrap().contains("2001:db8::1".parse().unwrap()));
    for wrong in ["10.0.0.0/33", "host", "10.0.0.0/x"] {
        wrong.parse::<Network>().unwrap_err();
    }
}

#[test]
fn units_and_near_misses() {
    assert_eq!(Unit::of_key("a.b_ms"), Unit::Milliseconds);
    assert!(Unit::Seconds.remedy("15m").ends_with("write 900"));
    assert!(Unit::Milliseconds.remedy("10 apples").ends_with("write e.g. 5000"));
    assert!(Unit::Bytes.remedy("1_024").ends_with("write 1024"));
    assert_eq!(nearest("sqlit", ["sqlite", "postgres"]), Some("sqlite"));
    assert_eq!(nearest("mongodb", ["sqlite", "postgres"]), None);
}

/// Loads the example of this name; also answers its warnings as one text.
fn example(name: &str, environment: &[(&str, &str)]) -> (Settings, String) {
    let file = format!("{}/config/examples/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = LoadOptions { file: Some(file.into()), environment, overrides: Vec::new() };
    let settings = Settings::load(options).unwrap();
    let warnings = settings.warnings().join("\n");
    (settings, warnings)
}

#[test]
fn the_examples_for_one_process_load_without_a_warning() {
    for name in ["laptop", "one-server"] {
        let (settings, warnings) = example(name, &[]);
        assert_eq!(settings.store.backend, StoreBackend::Sqlite, "{name}");
        assert_eq!(warnings, "", "{name}");
    }
}

#[test]
fn the_example_of_a_fleet_loads_with_its_urls_from_the_environment() {
    let (settings, warnings) = example(
        "fleet",
        &[
            (
                "TIDINGS__STORE__POSTGRES__URL",
                "postgres://tidings:secret@db/tidings?sslmode=verify-full&sslrootcert=ca.pem",
            ),
            ("TIDINGS__BUS__REDIS__URL", "rediss://:secret@redis"),
            ("TIDINGS__SERVER__ROLES", "gateway"),
        ],
    );
    assert_eq!(settings.store.backend, StoreBackend::Postgres);
    assert_eq!(warnings.lines().count(), 1, "only the internal address on every interface: {warnings}");
}

#[test]
fn every_example_is_loaded_here() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples");
    let mut found: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    let loaded = ["fleet.toml", "laptop.toml", "one-server.toml"];
    let of_others = ["haproxy.cfg", "nginx.conf"];
    assert_eq!(
        found,
        [&loaded[..1], &of_others[..1], &loaded[1..2], &of_others[1..], &loaded[2..]].concat(),
        "load a new example in a test above"
    );
}
