//! Commands of the operator, in some seeds: people are kept out and let in again, also while something else
//! goes wrong.

use crate::dice::Dice;
use crate::plan::{Act, Command, Fault, Hangup, Operation, Plan, Step};

/// Seeds with an operator, in a thousand.
const OPERATED: u64 = 250;
/// Suspensions that nobody ends, in a thousand.
const FOR_GOOD: u64 = 150;

/// Adds the commands to some seeds.
pub fn add(dice: &mut Dice, plan: &mut Plan) {
    if !dice.chance(OPERATED) {
        return;
    }
    for _ in 0..dice.between(1, 3) {
        let person = usize::try_from(dice.below(plan.people as u64)).unwrap_or(0);
        let at_ms = dice.between(5_000, plan.active_ms.saturating_sub(4_000));
        let seconds = *dice.pick(&[0, 0, 0, 1, 4, 12]);
        let mut operated = Operated { dice, plan, person, at_ms };
        operated.commands(0, Command::Suspend { person, seconds });
        operated.meanwhile();
        if seconds == 0 && !operated.dice.chance(FOR_GOOD) {
            let after_ms = operated.dice.between(300, 14_000);
            operated.commands(after_ms, Command::Lift { person });
        }
    }
    if dice.chance(200) {
        let person = usize::try_from(dice.below(plan.people as u64)).unwrap_or(0);
        let at_ms = dice.between(5_000, plan.active_ms);
        plan.steps.push(Step { at_ms, act: Act::Operator(Command::EndSignIns { person }) });
    }
    plan.steps.sort_by_key(|step| step.at_ms);
}

struct Operated<'p> {
    dice: &'p mut Dice,
    plan: &'p mut Plan,
    person: usize,
    at_ms: u64,
}

impl Operated<'_> {
    fn step(&mut self, at_ms: u64, act: Act) {
        self.plan.steps.push(Step { at_ms, act });
    }

    fn commands(&mut self, after_ms: u64, command: Command) {
        self.step(self.at_ms + after_ms, Act::Operator(command));
    }

    /// A fault of the time in which people act.
    fn fault(&mut self, at_ms: u64, fault: Fault) {
        if at_ms < self.plan.active_ms {
            self.step(at_ms, Act::Fault(fault));
        }
    }

    /// What happens at the same time.
    fn meanwhile(&mut self) {
        let at_ms = self.at_ms;
        let process = usize::try_from(self.dice.below(self.plan.processes.len() as u64)).unwrap_or(0);
        let ms = self.dice.between(500, 4_000);
        match self.dice.below(8) {
            // Nobody hears of it by the bus.
            0 => self.fault(at_ms.saturating_sub(200), Fault::BusFrozen { ms }),
            1 => self.fault(at_ms.saturating_sub(200), Fault::BusAway { ms }),
            // A process that begins anew must know it.
            2 => {
                let kill = Fault::Kill { process, down_ms: self.dice.between(100, 1_500), vanish: false };
                let after_ms = self.dice.below(2_000);
                self.fault(at_ms + after_ms, kill);
            }
            3 => self.fault(at_ms.saturating_sub(100), Fault::Pause { process, ms }),
            4 => {
                let after_ms = self.dice.below(3_000);
                self.fault(at_ms + after_ms, Fault::FailOver { lost: 0 });
            }
            5 => self.comes_back_meanwhile(),
            _ => {}
        }
    }

    /// A device of the person comes back while the log is slow.
    fn comes_back_meanwhile(&mut self) {
        let delay_ms = self.dice.between(100, 700);
        self.fault(self.at_ms.saturating_sub(300), Fault::LogSlow { delay_ms, ms: 2_500 });
        let devices =
            (0..self.plan.devices.len()).filter(|one| self.plan.devices[*one].person == self.person);
        for device in devices.collect::<Vec<_>>() {
            let at_ms = (self.at_ms + self.dice.below(900)).saturating_sub(500);
            let operation = Operation::Disconnect { how: Hangup::Reset };
            self.step(at_ms, Act::Device { device, operation });
            let at_ms = at_ms + self.dice.between(20, 400);
            self.step(at_ms, Act::Device { device, operation: Operation::Reconnect });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    #[test]
    fn people_are_kept_out_in_some_seeds_and_let_in_again_in_most() {
        let (mut suspended, mut lifted, mut ended) = (0, 0, 0);
        for plan in (0..400).map(generate::plan) {
            for step in &plan.steps {
                match step.act {
                    Act::Operator(Command::Suspend { .. }) => suspended += 1,
                    Act::Operator(Command::Lift { .. }) => lifted += 1,
                    Act::Operator(Command::EndSignIns { .. }) => ended += 1,
                    Act::Device { .. } | Act::Fault(_) => {}
                }
            }
        }
        assert!((100..400).contains(&suspended), "{suspended}");
        assert!(lifted > suspended / 3 && lifted < suspended, "{lifted} of {suspended}");
        assert!(ended > 5, "{ended}");
    }
}
