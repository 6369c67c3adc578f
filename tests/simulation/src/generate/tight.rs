//! Seeds in which there is little room: bounds of the product are a few instead of thousands, settings are as
//! small as they may be, and the log or the subscriptions are slow.

use tidings::bounds::Bound;

use super::sizes::Choice;
use crate::dice::Dice;
use crate::plan::{Act, Operation, Plan};

/// Seeds with lower bounds, in a thousand.
const WITH_BOUNDS: u64 = 300;
/// Each bound in them.
const EACH_BOUND: u64 = 250;
/// Seeds with small settings, in a thousand.
const WITH_SETTINGS: u64 = 300;
/// Each choice in them.
const EACH_CHOICE: u64 = 220;

/// The bounds, each with some values.
const BOUNDS: &[(Bound, &[u64])] = &[
    (Bound::AnnouncedEvents, &[2, 8]),
    (Bound::CatchUpsAtOnce, &[1]),
    (Bound::DepthOfAHole, &[1, 16]),
    (Bound::EventsBehindAHole, &[1, 3]),
    (Bound::EventsOfAFollowerRead, &[2, 8]),
    (Bound::EventsOfARelayRead, &[2, 8]),
    (Bound::EventsOfARepairRead, &[2, 8]),
    (Bound::EventsPerBusMessage, &[1, 2]),
    (Bound::EventsWhileHeadsAreRead, &[2, 6]),
    (Bound::FirstDepthOfAHole, &[1, 2]),
    (Bound::HeadsPerFrame, &[1, 2]),
    (Bound::HolesPerDigest, &[0, 1]),
    (Bound::InboxBytes, &[400, 2_000]),
    (Bound::NamesPerDigest, &[1, 4]),
    (Bound::PendingEventsOfTheRelay, &[16, 64]),
    (Bound::RepairsAtOnce, &[1]),
    (Bound::RepairsWaiting, &[1]),
    (Bound::StaleEventMs, &[300, 2_000]),
    (Bound::SyncBytes, &[1, 2_000]),
    (Bound::SyncFrameBytes, &[1, 1_000]),
    (Bound::TrackedConversations, &[1, 3]),
    (Bound::UsersOfAHole, &[0, 2]),
];

/// Settings, each with alternatives.
const CHOICES: &[&[Choice]] = &[
    &[&[
        ("limits.body_bytes", "1000"),
        ("limits.data_bytes", "1000"),
        ("limits.frame_bytes", "4096"),
        ("gateway.outbox_bytes", "8192"),
        ("gateway.lag_resume_bytes", "2048"),
        ("gateway.inbox_bytes", "65536"),
    ]],
    &[&[
        ("limits.frame_bytes", "32768"),
        ("gateway.inbox_bytes", "65536"),
        ("gateway.outbox_bytes", "65536"),
        ("gateway.lag_resume_bytes", "16384"),
    ]],
    &[
        &[("writer.batch_messages", "1"), ("writer.queue_messages", "1")],
        &[("writer.batch_messages", "2"), ("writer.queue_messages", "2")],
    ],
    &[&[("receipts.queue_receipts", "1"), ("receipts.flush_ms", "1000")]],
    &[&[
        ("store.postgres.write_connections", "1"),
        ("store.postgres.read_connections", "1"),
        ("store.postgres.acquire_timeout_ms", "300"),
    ]],
    &[&[("gateway.anti_entropy_ms", "1000")], &[("gateway.anti_entropy_ms", "3000")]],
    &[&[("bus.queue_bytes", "65536"), ("bus.redis.outgoing_messages", "16")]],
    &[&[("presence.offline_after_ms", "0")]],
    &[&[("limits.sends_per_second", "1000"), ("limits.send_burst", "1000")]],
];

/// Makes some seeds tight.
pub fn tighten(dice: &mut Dice, plan: &mut Plan) {
    if dice.chance(WITH_BOUNDS) {
        for (bound, values) in BOUNDS {
            if dice.chance(EACH_BOUND) {
                plan.bounds.push((bound.name().to_owned(), *dice.pick(values)));
            }
        }
    }
    if dice.chance(WITH_SETTINGS) {
        for alternatives in CHOICES {
            if dice.chance(EACH_CHOICE) {
                for (key, value) in *dice.pick(alternatives) {
                    plan.settings.retain(|(other, _)| other != key);
                    plan.settings.push(((*key).to_owned(), (*value).to_owned()));
                }
            }
        }
    }
    if dice.chance(60) {
        plan.weather.log_delay_ms = dice.between(120, 600);
    }
    if dice.chance(60) {
        plan.weather.subscribe_delay_ms = dice.between(500, 2_500);
    }
}

/// Devices send no body that is larger than the limit: they know it from the welcome.
pub fn keep_bodies_small(plan: &mut Plan) {
    let limit = plan.settings.iter().find(|(key, _)| key == "limits.body_bytes");
    let Some(most) = limit.and_then(|(_, value)| value.parse::<usize>().ok()) else { return };
    for step in &mut plan.steps {
        if let Act::Device { operation: Operation::Send { bytes, .. }, .. } = &mut step.act {
            // A character of two bytes may go beyond by one.
            *bytes = (*bytes).min(most - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_of_the_product_is_lowered_in_some_seeds() {
        let lowered: Vec<Bound> = BOUNDS.iter().map(|(bound, _)| *bound).collect();
        assert_eq!(lowered, Bound::ALL);
    }
}
