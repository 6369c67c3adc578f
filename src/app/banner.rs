//! The first lines for an operator: the roles of this process, its addresses, and its limits.

use std::net::SocketAddr;

use super::Announcement;
use super::options::database_file;
use crate::config::{Role, Settings, StoreBackend};
use crate::telemetry::build::VERSION_AND_COMMIT;

/// A few lines for standard output, printed once the addresses are bound.
pub fn banner(Announcement { settings, public, internal, files, wanted }: &Announcement<'_>) -> String {
    let shown = if public.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], public.port()))
    } else {
        *public
    };
    let data = match settings.store.backend {
        StoreBackend::Sqlite => format!("{} (SQLite)", database_file(settings).display()),
        StoreBackend::Postgres => "Postgres".to_owned(),
    };
    let mut lines = vec![format!("Tidings {VERSION_AND_COMMIT} listens on {public}")];
    lines.extend(served(settings, shown));
    lines.push(format!("  data         {data}"));
    lines.push(format!("  internal     {internal}   (metrics, readiness; tidings inspect)"));
    lines.push(limits(settings, files.allowed));
    let warnings = files.shortage(*wanted).into_iter().chain(settings.warnings());
    lines.extend(warnings.map(|warning| format!("  warning      {warning}")));
    lines.join("\n")
}

/// One line for each role, and what every process answers.
fn served(settings: &Settings, shown: SocketAddr) -> Vec<String> {
    let (server, embedded) = (&settings.server, settings.store.backend == StoreBackend::Sqlite);
    let mut lines = Vec::new();
    if server.has_role(Role::Api) {
        lines.push(format!("  api          web client http://{shown}/, REST http://{shown}/v1   (http://{shown}/openapi.json)"));
    }
    if server.has_role(Role::Gateway) {
        lines.push(format!("  gateway      WebSocket ws://{shown}/v1/ws"));
    }
    if server.has_role(Role::Relay) && !embedded {
        lines.push(
            "  relay        publishes what nobody has published, and finishes erasures; serves no client"
                .to_owned(),
        );
    }
    lines.push(format!("  health       http://{shown}/healthz, http://{shown}/readyz"));
    lines
}

fn limits(settings: &Settings, files: Option<u64>) -> String {
    let limits = &settings.limits;
    let files = files.map_or_else(|| "any number of".to_owned(), |files| files.to_string());
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
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadOptions;

    fn lines_of(roles: &str) -> String {
        let overrides = [
            ("server.roles", roles),
            ("store.backend", "postgres"),
            ("store.postgres.url", "postgres://localhost/tidings"),
            ("auth.key_files", "key.pem"),
            ("bus.backend", "redis"),
            ("bus.redis.url", "redis://localhost"),
        ];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let settings =
            Settings::load(LoadOptions { file: None, environment: [], overrides }).expect("they hold");
        served(&settings, SocketAddr::from(([127, 0, 0, 1], 80))).join("\n")
    }

    #[test]
    fn each_role_says_what_it_serves_and_nothing_else() {
        for (roles, serves) in [
            ("gateway", ["ws://"].as_slice()),
            ("api", &["/v1", "web client"]),
            ("relay", &["serves no client"]),
        ] {
            let lines = lines_of(roles);
            assert_eq!(lines.lines().count(), 2, "{lines}");
            assert!(lines.contains("  health       http://127.0.0.1:80/healthz"), "{lines}");
            assert!(serves.iter().all(|text| lines.contains(text)), "{roles}: {lines}");
            let others = ["ws://", "web client", "openapi", "serves no client"];
            let mut others = others
                .iter()
                .filter(|text| !serves.contains(text) && (roles != "api" || **text != "openapi"));
            assert!(!others.any(|text| lines.contains(text)), "{roles}: {lines}");
        }
        assert_eq!(lines_of("all").lines().count(), 4);
    }
}
