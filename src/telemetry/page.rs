//! `docs/METRICS.md`, written from the catalogue.

use metrics::Unit;

use super::definition::{Kind, Metric};
use super::metrics::ALL;
use crate::protocol::ErrorCode;

const HEAD: &str = "\
# Metrics

`GET /metrics` on the internal address answers in Prometheus' text format ([OPERATIONS.md](OPERATIONS.md)). This page is generated from `src/telemetry/metrics.rs`; after a change run
`UPDATE_DOCS=1 cargo test --lib metrics_page`.

Labels have few, fixed values, all present from the start at zero; a value that is not listed counts as `other`. Nothing is
labelled by user, conversation or address. Durations are in seconds.

| metric | kind | unit | label | meaning |
|---|---|---|---|---|
";

fn metrics_page() -> String {
    let mut page = HEAD.to_owned();
    for metric in ALL {
        page.push_str(&row(metric));
    }
    page.push_str("\n## Buckets\n\n| histogram | upper bounds |\n|---|---|\n");
    for metric in ALL.iter().filter(|metric| metric.kind == Kind::Histogram) {
        let bounds: Vec<String> = metric.buckets.iter().map(f64::to_string).collect();
        page.push_str(&format!("| `{}` | {} |\n", metric.name, bounds.join(", ")));
    }
    page
}

fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let unit = match metric.unit {
        Unit::Seconds => "seconds",
        Unit::Bytes => "bytes",
        _ => "",
    };
    let label = metric.label.map(|(name, values)| {
        let values = match values {
            ErrorCode::NAMES => "a code of [PROTOCOL.md](PROTOCOL.md)".to_owned(),
            values => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
        };
        format!("`{name}`: {values}")
    });
    format!("| `{}` | {kind} | {unit} | {} | {} |\n", metric.name, label.unwrap_or_default(), metric.help)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for maintainers of the page, not a setting")]
fn the_metrics_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");
    let page = metrics_page();
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/METRICS.md is out of date: run UPDATE_DOCS=1 cargo test --lib metrics_page"
    );
}

#[test]
fn names_and_units_agree() {
    for metric in ALL {
        assert_eq!(metric.kind == Kind::Histogram, !metric.buckets.is_empty(), "{}", metric.name);
        assert!(metric.buckets.is_sorted(), "{}", metric.name);
        let bare = metric.name.trim_end_matches("_total");
        assert_eq!(bare.ends_with("_seconds"), metric.unit == Unit::Seconds, "{}", metric.name);
        assert!(metric.kind != Kind::Counter || metric.name.ends_with("_total"), "{}", metric.name);
        assert!(
            metric.name.starts_with("tidings_") || metric.name.starts_with("process_"),
            "{}",
            metric.name
        );
        assert_eq!(
            ALL.iter().filter(|other| other.name == metric.name).count(),
            1,
            "{} is named twice",
            metric.name
        );
    }
}
