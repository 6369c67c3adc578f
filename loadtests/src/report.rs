//! The result of a run: a table for people, JSON for machines, a picture of the latencies, and the exit code.

use std::{fmt::Write, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{latency::Latency, ledger::Ledger, picture};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Every promise held and every threshold was kept.
    Clean = 0,
    /// A threshold was broken.
    Threshold = 1,
    /// Wrong usage.
    Usage = 2,
    /// The run could not be set up, or the tool itself failed.
    Setup = 3,
    /// The ledger is not clean.
    Ledger = 4,
    /// Interrupted.
    Interrupted = 130,
}

/// Where results go and what they are held to; the same for every subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct Output {
    /// Also write the result as JSON to this file
    #[arg(long, value_name = "FILE", global = true)]
    pub json: Option<std::path::PathBuf>,
    /// Also draw the latencies as an SVG picture into this file
    #[arg(long, value_name = "FILE", global = true)]
    pub svg: Option<std::path::PathBuf>,
    /// Exit with 1 when the 99th percentile of the last latency in the table is above this many milliseconds
    #[arg(long, value_name = "MS", global = true)]
    pub max_p99_ms: Option<f64>,
}

/// One run's result.
#[derive(Debug)]
pub struct Report {
    command: &'static str,
    rows: Vec<(String, Value)>,
    table: Option<Table>,
    failed: bool,
    latencies: Vec<Latency>,
    ledger: Option<Ledger>,
}

impl Report {
    /// An empty result of `command`.
    pub fn new(command: &'static str) -> Self {
        Self { command, rows: Vec::new(), table: None, failed: false, latencies: Vec::new(), ledger: None }
    }

    /// Adds one figure.
    pub fn row(&mut self, name: &str, value: impl Serialize) {
        self.rows.push((name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null)));
    }

    /// Adds a table. `rows` are its cells, `values` the same as JSON.
    pub fn table(
        &mut self,
        columns: &'static [&'static str],
        rows: Vec<Vec<String>>,
        values: &impl Serialize,
    ) -> Result<()> {
        self.table = Some(Table { columns, rows, values: serde_json::to_value(values)? });
        Ok(())
    }

    /// A threshold of the command itself was broken.
    pub fn failed(&mut self, failed: bool) {
        self.failed = failed;
    }

    /// Adds a distribution; the last one added is the one `--max-p99-ms` judges.
    pub fn latency(&mut self, latency: Latency) {
        self.latencies.push(latency);
    }

    /// Adds the verdict.
    pub fn ledger(&mut self, ledger: Ledger) {
        self.ledger = Some(ledger);
    }

    /// Prints the table, writes the files, and says how the process ends. Fails when a file cannot be
    /// written.
    pub fn publish(&self, output: &Output) -> Result<Exit> {
        print!("{}", self.text());
        if let Some(path) = &output.json {
            let text = serde_json::to_string_pretty(&self.json())?;
            std::fs::write(path, text + "\n").with_context(|| path.display().to_string())?;
        }
        if let Some(path) = &output.svg {
            self.draw(path)?;
        }
        Ok(self.exit(output.max_p99_ms))
    }

    fn exit(&self, max_p99_ms: Option<f64>) -> Exit {
        let slow = |most: f64| self.latencies.last().is_none_or(|latency| latency.summary().p99_ms > most);
        if self.ledger.as_ref().is_some_and(|ledger| !ledger.clean()) {
            Exit::Ledger
        } else if self.failed || max_p99_ms.is_some_and(slow) {
            Exit::Threshold
        } else {
            Exit::Clean
        }
    }

    fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.rows.iter().map(|(name, value)| (name.replace([' ', '/'], "_"), value.clone())).collect();
        let latencies: Vec<_> = self.latencies.iter().map(Latency::summary).collect();
        json!({
            "command": self.command,
            "figures": figures,
            "table": self.table.as_ref().map(|table| &table.values),
            "latencies": latencies,
            "clean": self.ledger.as_ref().map(Ledger::clean),
            "ledger": self.ledger,
        })
    }

    fn draw(&self, path: &Path) -> Result<()> {
        let title = format!("loadtests {}: latency by percentile", self.command);
        let svg = picture::draw(&title, &self.latencies)?;
        std::fs::write(path, svg).with_context(|| path.display().to_string())
    }

    fn text(&self) -> String {
        let mut out = format!("{}\n", self.command);
        for (name, value) in &self.rows {
            line(&mut out, name, &shown(value));
        }
        if let Some(table) = &self.table {
            table.write(&mut out);
        }
        if !self.latencies.is_empty() {
            let _ = writeln!(
                out,
                "  {:<28}{:>11}{:>11}{:>11}{:>11}{:>11}",
                "latency ms", "p50", "p99", "p99.9", "max", "count"
            );
        }
        for latency in &self.latencies {
            let s = latency.summary();
            let _ = writeln!(
                out,
                "  {:<28}{:>11.2}{:>11.2}{:>11.2}{:>11.2}{:>11}",
                s.name, s.p50_ms, s.p99_ms, s.p999_ms, s.max_ms, s.count
            );
        }
        if let Some(ledger) = &self.ledger {
            verdict(&mut out, ledger);
        }
        out
    }
}

/// Rows of the same figures.
#[derive(Debug)]
struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
    values: Value,
}

impl Table {
    fn write(&self, out: &mut String) {
        let names = self.columns.iter().map(|name| (*name).to_owned()).collect();
        for row in std::iter::once(&names).chain(&self.rows) {
            let _ = write!(out, " ");
            for (at, cell) in row.iter().enumerate() {
                // Words to the left, figures to the right.
                let _ = match at {
                    0 => write!(out, " {cell:<22}"),
                    _ if at + 1 == row.len() => write!(out, "  {cell}"),
                    _ => write!(out, "{cell:>10}"),
                };
            }
            let _ = writeln!(out);
        }
    }
}

fn verdict(out: &mut String, ledger: &Ledger) {
    let seen = [
        ("sent", ledger.sent),
        ("acked", ledger.acked),
        ("repeated", ledger.repeated),
        ("delivered", ledger.delivered),
        ("of these by sync", ledger.synced),
    ];
    for (name, count) in seen.into_iter().chain(ledger.anomalies()) {
        line(out, name, &count.to_string());
    }
    for finding in &ledger.findings {
        let _ = writeln!(out, "  ! {} {:?}: {}", finding.promise, finding.anomaly, finding.text);
    }
    line(out, "ledger", if ledger.clean() { "clean" } else { "NOT CLEAN" });
}

fn line(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "  {name:<28}{value:>11}");
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            format!("{:.2}", number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ledger: Option<Ledger>, us: u64) -> Report {
        let mut report = Report::new("test");
        let mut latency = Latency::new("ack").unwrap();
        latency.record(us);
        report.row("things/s", 2.5);
        report.latency(latency);
        report.ledger = ledger;
        report
    }

    #[test]
    fn the_exit_code_names_the_worst() {
        let clean = Ledger { acked: 1, delivered: 1, ..Ledger::default() };
        let red = Ledger { lost: 1, ..clean.clone() };
        assert_eq!(report(Some(clean.clone()), 5_000).exit(Some(10.0)), Exit::Clean);
        assert_eq!(report(Some(clean), 50_000).exit(Some(10.0)), Exit::Threshold);
        assert_eq!(report(Some(red), 50_000).exit(Some(10.0)), Exit::Ledger);
        assert_eq!(report(None, 50_000).exit(None), Exit::Clean);
    }

    #[test]
    fn table_json_and_picture_show_the_figures() {
        let mut report = report(Some(Ledger::default()), 5_000);
        report
            .table(&["who", "how many", ""], vec![vec!["ada".into(), "7".into(), "held".into()]], &[7])
            .unwrap();
        assert!(report.text().contains("things/s") && report.text().contains("2.50"));
        assert!(report.text().contains("  ada                            7  held\n"), "{}", report.text());
        assert_eq!(report.json()["table"][0], 7);
        assert_eq!(report.json()["figures"]["things_s"], 2.5);
        assert_eq!(report.json()["latencies"][0]["count"], 1);
        let svg = picture::draw("a title", &report.latencies).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("a title") && svg.contains("ack"));
    }
}
