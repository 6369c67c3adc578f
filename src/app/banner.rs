//! What an operator reads first: where everything is, and which limits are in force.

use std::net::SocketAddr;

use super::Addresses;
use super::options::database_file;
use crate::config::{Settings, StoreBackend};
use crate::telemetry::exporter::file_limit;

/// A few lines for standard output, printed once the addresses are bound.
pub fn banner(settings: &Settings, addresses: &Addresses) -> String {
    let address = addresses.public;
    let shown = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    let data = match settings.store.backend {
        StoreBackend::Sqlite => format!("{} (SQLite)", database_file(settings).display()),
        StoreBackend::Postgres => "Postgres".to_owned(),
    };
    let limits = &settings.limits;
    let files = file_limit().map_or_else(|| "unknown".to_owned(), |files| files.to_string());
    let mut lines = vec![
        format!("Tidings {} listens on {address}", env!("CARGO_PKG_VERSION")),
        format!("  web client   http://{shown}/"),
        format!("  WebSocket    ws://{shown}/v1/ws"),
        format!("  REST         http://{shown}/v1   (http://{shown}/openapi.json)"),
        format!("  data         {data}"),
        format!("  internal     {}   (metrics, readiness; tidings inspect)", addresses.internal),
        format!(
            "  limits       body {} B, frame {} B, group {} members, {} sends/s per user (burst {}), outbox {} B, {} connections, {files} files, {} workers",
            limits.body_bytes,
            limits.frame_bytes,
            limits.group_members,
            limits.sends_per_second,
            limits.send_burst,
            settings.gateway.outbox_bytes,
            settings.server.max_connections,
            settings.server.worker_threads(),
        ),
    ];
    let wanted = settings.server.max_connections as u64 + 256;
    if file_limit().is_some_and(|files| files < wanted) {
        lines.push(format!(
            "  warning      {files} open files are fewer than server.max_connections needs ({wanted}): raise the limit (ulimit -n) or lower the setting"
        ));
    }
    lines.extend(settings.warnings().into_iter().map(|warning| format!("  warning      {warning}")));
    lines.join("\n")
}
