//! The faults.

use crate::dice::Dice;
use crate::plan::{Act, Fault, Plan, Step};

/// The steps of all faults: none in a sixth of the seeds, a few kinds in the others.
pub fn steps(dice: &mut Dice, plan: &Plan) -> Vec<Step> {
    if dice.chance(160) {
        return Vec::new();
    }
    let mut kinds: Vec<u64> = (0..KINDS).filter(|_| dice.chance(200)).collect();
    if kinds.is_empty() {
        kinds.push(dice.below(KINDS));
    }
    let count = dice.between(1, 8);
    (0..count)
        .map(|_| {
            let at_ms = 3_000 + dice.below(plan.active_ms.saturating_sub(4_000));
            let kind = *dice.pick(&kinds);
            Step { at_ms, act: Act::Fault(fault(dice, plan, kind)) }
        })
        .collect()
}

const KINDS: u64 = 21;

fn fault(dice: &mut Dice, plan: &Plan, kind: u64) -> Fault {
    let process = usize::try_from(dice.below(plan.processes.len() as u64)).unwrap_or(0);
    let short_ms = dice.between(100, 3_000);
    let ms = dice.between(500, 12_000);
    match kind {
        0 => Fault::Kill { process, down_ms: ms, vanish: dice.chance(300) },
        1 => Fault::KillAfterCommit { process, down_ms: short_ms },
        2 => Fault::Pause { process, ms },
        3 => Fault::Drain { process, down_ms: short_ms },
        4 => Fault::ClockJump { process, by_ms: dice.between(0, 20_000) as i64 - 10_000 },
        5 => Fault::BusAway { ms },
        6 => Fault::BusFrozen { ms },
        7 => Fault::BusEmptied,
        8 => Fault::BusCut { process },
        9 => Fault::BusForged { kind: u8::try_from(dice.below(8)).unwrap_or(0) },
        10 => Fault::LogHangs { ms: short_ms },
        11 => Fault::LogAway { ms: short_ms },
        12 => Fault::LogHeldBack { ms },
        13 => Fault::LogLosesAnswers { process, commits: dice.between(1, 4) },
        14 => Fault::ReplicaFrozen { replica: usize::try_from(dice.below(2)).unwrap_or(0), ms },
        15 => Fault::FailOver { lost: dice.below(6) },
        16 => Fault::Restore { lost: dice.between(1, 30) },
        17 => Fault::SocketsReset { process },
        19 => Fault::BusDemoted { ms },
        18 => Fault::SocketsStall { process, ms },
        _ => Fault::Kill { process, down_ms: short_ms, vanish: false },
    }
}
