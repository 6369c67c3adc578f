//! Code updates every metric of the catalogue. A metric without such code, or a label value that no code
//! uses, would stay at zero and hide a failure from operators.

use tidings::telemetry::metrics::ALL;

use super::{none, root, server_code};

/// Handles that are passed on rather than used where they are named, each with who moves it.
const HANDED_ON: &[(&str, &str)] = &[
    ("tidings_acks_total", "actors/writer: chosen between acks and duplicates"),
    ("tidings_store_write_connections_in_use", "store/postgres: the pool that writes"),
    ("tidings_store_read_connections_in_use", "store/postgres: the pool that reads"),
    ("tidings_store_replica_connections_in_use", "store/postgres: the pools of the replicas"),
    ("tidings_store_writes_waiting", "store/sqlite, store/postgres: the pool that writes"),
    ("tidings_store_reads_waiting", "store/sqlite, store/postgres: the pools that read"),
];

/// Labels whose values are written elsewhere than where they are counted, each with what holds the two
/// together.
const DERIVED_LABELS: &[(&str, &str)] = &[
    ("tidings_closes_total", "the codes of protocol::close, what clients send, and 1006"),
    ("tidings_send_refusals_total", "protocol::ErrorCode::NAMES"),
    ("tidings_errors_total", "protocol::ErrorCode::NAMES"),
    ("tidings_store_latency_seconds", "a test in src/store/guarded compares them with the operations"),
];

/// The field of `src/telemetry/meters.rs` that holds a metric's handle, by the name of the metric.
fn fields() -> Vec<(String, String)> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (catalogue, meters) = (read("src/telemetry/metrics.rs"), read("src/telemetry/meters.rs"));
    let mut fields = Vec::new();
    for line in catalogue.lines() {
        let Some((id, rest)) = line.trim().split_once(": ") else { continue };
        let Some(name) =
            rest.split('"').nth(1).filter(|_| rest.contains("Def = \"") || rest.contains("By = \""))
        else {
            continue;
        };
        let declares = |line: &&str| line.trim_end_matches(',').ends_with(&format!(" = {id}"));
        if let Some((field, _)) = meters.lines().find(declares).and_then(|line| line.trim().split_once(':')) {
            fields.push((name.to_owned(), field.to_owned()));
        }
    }
    fields
}

/// Whether `text` calls what moves a handle on the field of this name.
fn moves(text: &str, field: &str) -> bool {
    const CALLS: &[&str] = &[".increment(", ".decrement(", ".set(", ".record", ".of("];
    text.match_indices(&format!(".{field}")).any(|(at, found)| {
        let rest = text[at + found.len()..].trim_start();
        CALLS.iter().any(|call| rest.starts_with(call))
    })
}

#[test]
fn every_series_is_moved_by_some_code() {
    let code: Vec<_> =
        server_code().into_iter().filter(|source| !source.path.starts_with("src/telemetry/")).collect();
    let fields = fields();
    let mut broken = Vec::new();
    for metric in
        ALL.iter().filter(|metric| !metric.name.starts_with("process_") && !metric.name.ends_with("_info"))
    {
        let name = metric.name;
        let Some((_, field)) = fields.iter().find(|(known, _)| known == name) else {
            broken.push(format!("{name}: no group of src/telemetry/meters.rs holds it"));
            continue;
        };
        let handed_on = HANDED_ON.iter().any(|(known, _)| *known == name);
        if !handed_on && !code.iter().any(|source| moves(&source.text, field)) {
            broken.push(format!("{name}: nothing moves it; remove it or measure it"));
        }
        if DERIVED_LABELS.iter().any(|(known, _)| *known == name) {
            continue;
        }
        for value in metric.label.map(|(_, values)| values).unwrap_or_default() {
            let quoted = format!("\"{value}\"");
            if !code.iter().any(|source| source.text.contains(&quoted)) {
                broken.push(format!("{name}: no code gives its label the value {value}"));
            }
        }
    }
    none(&broken, "a series that nothing moves is a statement that is not true");
}
