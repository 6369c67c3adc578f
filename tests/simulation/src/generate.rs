//! A plan from a seed. Each seed is a swarm: it switches features, faults, sizes and rates on and off, so
//! that rare combinations occur.

mod aimed;
mod faults;
mod operations;
mod operators;
mod scenes;
mod sizes;
mod tight;

use crate::dice::Dice;
use crate::plan::{Behaviour, DevicePlan, Plan, ProcessPlan, Weather};

/// How long devices act in a generated plan, in milliseconds.
const ACTIVE_MS: u64 = 40_000;
/// How long a generated plan then goes on without faults, in milliseconds.
const CALM_MS: u64 = 20_000;

/// The plan of a seed: 60 seconds of a fleet.
pub fn plan(seed: u64) -> Plan {
    let mut dice = Dice::new(seed, "plan");
    let processes = processes(&mut dice);
    let people = usize::try_from(dice.between(2, 5)).unwrap_or(2);
    let devices = devices(&mut dice, people);
    let replicas = if dice.chance(500) { 0 } else { usize::try_from(dice.between(1, 2)).unwrap_or(1) };
    let mut plan = Plan {
        replicas,
        tail_from_replica: replicas > 0 && dice.chance(500),
        seed,
        active_ms: ACTIVE_MS,
        calm_ms: CALM_MS,
        settings: sizes::settings(&mut dice),
        bounds: Vec::new(),
        weather: weather(&mut dice),
        processes,
        people,
        devices,
        steps: Vec::new(),
    };
    let mut steps = operations::steps(&mut dice, &plan);
    steps.extend(faults::steps(&mut dice, &plan));
    steps.sort_by_key(|step| step.at_ms);
    plan.steps = steps;
    // Each has dice of its own, so that it changes nothing else of a seed.
    tight::tighten(&mut Dice::new(seed, "tight"), &mut plan);
    scenes::gather(&mut Dice::new(seed, "moments"), &mut plan);
    scenes::add(&mut Dice::new(seed, "scenes"), &mut plan);
    scenes::add_narrow(&mut Dice::new(seed, "narrow scenes"), &mut plan);
    // Last, because it takes out steps that would spoil it.
    aimed::add(&mut Dice::new(seed, "aimed"), &mut plan);
    tight::keep_bodies_small(&mut plan);
    operators::add(&mut Dice::new(seed, "operators"), &mut plan);
    plan
}

fn processes(dice: &mut Dice) -> Vec<ProcessPlan> {
    let count = dice.between(1, 4);
    let split = count >= 3 && dice.chance(400);
    let old_release = dice.chance(300);
    let skewed = dice.chance(300);
    (0..count)
        .map(|index| {
            let roles = match (split, index) {
                (true, 0) => "relay,api",
                (true, _) => "gateway",
                (false, _) => "gateway,api,relay",
            };
            ProcessPlan {
                roles: roles.to_owned(),
                workers: u8::try_from(dice.between(1, 2)).unwrap_or(1),
                clock_off_ms: if skewed { dice.between(0, 8_000) as i64 - 4_000 } else { 0 },
                envelope: if old_release && index % 2 == 0 { 1 } else { 2 },
            }
        })
        .collect()
}

fn devices(dice: &mut Dice, people: usize) -> Vec<DevicePlan> {
    let with_hostile = dice.chance(250);
    let with_rest = dice.chance(500);
    let with_lazy = dice.chance(400);
    let mut devices = Vec::new();
    for person in 0..people {
        let count = if dice.chance(400) { 2 } else { 1 };
        for nth in 0..count {
            let behaviour = match dice.below(10) {
                // The first person is always served well, so that every run has something to compare.
                _ if person < 2 && nth == 0 => Behaviour::Correct,
                0 if with_hostile => Behaviour::Hostile,
                1 | 2 if with_rest => Behaviour::Rest,
                3 if with_lazy => Behaviour::Lazy,
                _ => Behaviour::Correct,
            };
            devices.push(DevicePlan {
                person,
                behaviour,
                msgpack: dice.chance(400),
                begins_ms: dice.below(1_500),
            });
        }
    }
    devices
}

fn weather(dice: &mut Dice) -> Weather {
    let calm = dice.chance(250);
    let mut up_to = |chance, most| if !calm && dice.chance(chance) { dice.between(1, most) } else { 0 };
    Weather {
        bus_loss: up_to(400, 200),
        bus_delay_ms: 1 + up_to(500, 400),
        subscribe_delay_ms: up_to(500, 500),
        log_delay_ms: 1 + up_to(500, 120),
        log_failures: up_to(300, 60),
        log_lost_answers: up_to(300, 60),
        replica_lag_ms: up_to(400, 1_500),
        socket_delay_ms: 1 + up_to(500, 150),
        socket_bytes: usize::try_from(256 + up_to(500, 65_536)).unwrap_or(256).max(4_096),
        socket_piece_bytes: usize::try_from(1 + up_to(500, 2_048))
            .map_or(1_460, |bytes| if bytes == 1 { 1_460 } else { bytes }),
    }
}
