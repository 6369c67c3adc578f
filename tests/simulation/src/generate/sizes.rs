//! Small limits, so that what is rare in production happens in a minute.

use crate::dice::Dice;

/// Settings that are chosen together, with values.
pub type Choice = &'static [(&'static str, &'static str)];

/// Choices, each with alternatives from small to ordinary.
const CHOICES: &[&[Choice]] = &[
    &[
        &[
            ("limits.frame_bytes", "32768"),
            ("gateway.inbox_bytes", "65536"),
            ("gateway.outbox_bytes", "65536"),
            ("gateway.lag_resume_bytes", "16384"),
        ],
        &[("gateway.inbox_bytes", "1048576")],
    ],
    &[&[("limits.history_page", "1")], &[("limits.history_page", "3")]],
    &[&[("limits.sync_events", "2")], &[("limits.sync_events", "10")]],
    &[&[("limits.group_members", "2")], &[("limits.group_members", "3")]],
    &[&[("limits.sends_per_second", "2"), ("limits.send_burst", "4")]],
    &[&[("limits.requests_per_second", "3"), ("limits.request_burst", "6")]],
    &[&[("limits.watch_users", "2")]],
    &[&[("writer.shards", "1")], &[("writer.shards", "4")]],
    &[
        &[("writer.batch_messages", "1"), ("writer.queue_messages", "8")],
        &[("writer.batch_messages", "8"), ("writer.queue_messages", "64")],
    ],
    &[
        &[("auth.access_token_s", "20"), ("gateway.token_warning_ms", "8000")],
        &[("auth.access_token_s", "40"), ("gateway.token_warning_ms", "15000")],
    ],
    &[&[("auth.revocation_poll_ms", "100")], &[("auth.revocation_poll_ms", "800")]],
    &[&[("presence.lease_ms", "3000")], &[("presence.lease_ms", "10000")]],
    &[&[("presence.offline_after_ms", "500")], &[("presence.offline_after_ms", "5000")]],
    &[&[("presence.typing_timeout_ms", "1000")]],
    &[&[("receipts.flush_ms", "50")], &[("receipts.flush_ms", "1000")]],
    &[&[("receipts.queue_receipts", "16")]],
    &[&[("store.timeout_ms", "1000"), ("store.postgres.acquire_timeout_ms", "500")]],
    &[&[("server.shutdown_ms", "4000")], &[("server.shutdown_ms", "8000")]],
    &[&[("gateway.hellos_in_flight", "1")]],
    &[&[("gateway.connections_per_user", "2")]],
    &[&[("gateway.heartbeat_ms", "5000"), ("gateway.write_deadline_ms", "8000")]],
    &[&[("gateway.in_flight_requests", "2")]],
];

/// The settings of a seed: each choice is made in half of the seeds.
pub fn settings(dice: &mut Dice) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for alternatives in CHOICES {
        if dice.chance(500) {
            settings.extend(
                dice.pick(alternatives).iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
            );
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use crate::{generate, settings};

    #[test]
    fn every_plan_can_start() {
        for seed in 0..600 {
            let plan = generate::plan(seed);
            let keys = [concat!(env!("CARGO_MANIFEST_DIR"), "/keys/signing.pem").into()];
            for process in &plan.processes {
                if let Err(wrong) = settings::settings(&plan, process, &keys) {
                    panic!("seed {seed}: {wrong}");
                }
            }
        }
    }
}
