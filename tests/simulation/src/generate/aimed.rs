//! Sequences that are each aimed at one rule. Random steps seldom test it, because it takes several steps in
//! one order by the right people.

mod losses;

use tidings::bounds::Bound;

use crate::dice::Dice;
use crate::plan::{Act, Behaviour, Fault, Operation, Page, Place, Plan, Step};

/// Seeds with a sequence, in a thousand.
const AIMED: u64 = 600;
/// The conversation of a sequence. Those of other steps have lower numbers.
const SLOT: usize = 100;
const PLACE: Place = Place::Slot(SLOT);

/// Adds a sequence to some seeds.
pub fn add(dice: &mut Dice, plan: &mut Plan) {
    if !dice.chance(AIMED) {
        return;
    }
    let at_ms = dice.between(4_500, 22_000);
    let mut aimed = Aimed { last: plan.people - 1, plan, at_ms };
    match dice.below(17) {
        0 => aimed.muted_member_edits(),
        1 => aimed.watch_loses_its_reason(dice.chance(500)),
        2 => aimed.watches_at_once(),
        3 => aimed.edits_and_erases(),
        4 => aimed.goes_away_without_the_bus(dice.between(2_000, 6_000)),
        5 => aimed.above_the_rate(),
        6 => aimed.reads_while_removed(dice.between(60, 200)),
        7 => {
            let process = usize::try_from(dice.below(aimed.plan.processes.len() as u64)).unwrap_or(0);
            aimed.signs_out_behind_a_burst(process, dice.chance(600));
        }
        8 => aimed.signs_out_while_entering(dice),
        9 => aimed.reads_too_slowly(dice.chance(700), dice.chance(500)),
        10 => aimed.end_is_held_back(),
        11 => aimed.deletes_and_fails(dice),
        12 => aimed.switched_over_and_lost(),
        13 => aimed.asks_and_does_not_read(),
        14 => aimed.erasure_is_lost(dice),
        15 => aimed.inboxes_overflow_while_heads_are_read(),
        _ => aimed.misses_the_next_event(),
    }
    plan.steps.sort_by_key(|step| step.at_ms);
}

/// A sequence that is being written. Person 0 is in each of them.
struct Aimed<'p> {
    plan: &'p mut Plan,
    /// When it begins.
    at_ms: u64,
    /// The last person.
    last: usize,
}

impl Aimed<'_> {
    fn muted_member_edits(&mut self) {
        let (Some(owner), Some(member)) = (self.device(0), self.device(1)) else { return };
        let (on, back) = (PLACE, 0);
        self.together(owner, 1);
        self.acts(1_500, member, Operation::Send { to: on, bytes: 20 });
        self.acts(3_000, owner, Operation::Mute { on, person: 1, seconds: 30 });
        self.acts(5_000, member, Operation::Edit { on, back });
        self.acts(6_000, member, Operation::React { on, back, emoji: 0, add: true });
        self.acts(7_000, member, Operation::Send { to: on, bytes: 20 });
    }

    /// Somebody who shares one group with one other person, and nothing else with anybody.
    fn watch_loses_its_reason(&mut self, removed: bool) {
        let stranger = self.last;
        let (Some(watcher), Some(watched), 2..) = (self.device(0), self.device(stranger), stranger) else {
            return;
        };
        self.make_stranger(stranger);
        // The fewer faults were before, the more a signal proves.
        self.at_ms = self.at_ms.min(9_000);
        self.together(watcher, stranger);
        self.acts(1_500, watcher, Operation::Watch { person: stranger, on: true });
        let leaver = if removed { watcher } else { watched };
        self.acts(3_000, leaver, Operation::Leave { on: PLACE, person: stranger });
        for (after_ms, on) in [(6_000, true), (8_000, false), (11_000, true), (14_000, false)] {
            self.acts(after_ms, watched, Operation::Background { on });
        }
    }

    /// Somebody asks to watch more people than the limit, one by one, and waits for no answer.
    fn watches_at_once(&mut self) {
        let (Some(watcher), 3..) = (self.device(0), self.last) else { return };
        self.set("limits.watch_users", "2");
        self.plan.steps.retain(|step| {
            !matches!(step.act, Act::Device { device, operation: Operation::Watch { .. } } if device == watcher)
        });
        for person in 1..=3 {
            self.acts(0, watcher, Operation::Send { to: Place::With(person), bytes: 20 });
            self.acts(3_000, watcher, Operation::Watch { person, on: true });
        }
    }

    fn edits_and_erases(&mut self) {
        let (Some(writer), 2..) = (self.device(self.last), self.last) else { return };
        self.together(writer, 0);
        self.acts(1_500, writer, Operation::Send { to: PLACE, bytes: 20 });
        self.acts(3_000, writer, Operation::Edit { on: PLACE, back: 0 });
        self.acts(5_000, writer, Operation::Erase);
    }

    /// More messages at once than the rate allows, again and again.
    fn above_the_rate(&mut self) {
        let Some(sender) = self.device(0) else { return };
        self.set("limits.sends_per_second", "2");
        self.set("limits.send_burst", "4");
        for round in 0..3 {
            for _ in 0..6 {
                self.acts(round * 6_000, sender, Operation::Send { to: Place::With(1), bytes: 20 });
            }
        }
    }

    /// Somebody is removed and then spoken of while each read takes several slow statements.
    fn reads_while_removed(&mut self, delay_ms: u64) {
        let Some(owner) = self.device(0) else { return };
        let readers: Vec<usize> = self.devices(1).collect();
        self.unlimited();
        self.plan.replicas = self.plan.replicas.max(1);
        self.plan.weather.log_delay_ms = delay_ms;
        self.plan.weather.replica_lag_ms = 2 * delay_ms;
        self.together(owner, 1);
        self.acts(5_000, owner, Operation::Leave { on: PLACE, person: 1 });
        for nth in 0..40 {
            self.acts(5_000 + 20 * nth, owner, Operation::Send { to: PLACE, bytes: 20 });
            for reader in &readers {
                let page = if nth % 2 == 0 { Page::History } else { Page::Events };
                self.acts(4_500 + 40 * nth, *reader, Operation::Read { on: PLACE, page });
            }
        }
    }

    fn unlimited(&mut self) {
        for key in ["limits.sends_per_second", "limits.send_burst", "limits.requests_per_second"] {
            self.set(key, "1000");
        }
        self.set("limits.request_burst", "1000");
    }

    /// An inbox holds one small event.
    fn smallest_inbox(&mut self) {
        self.plan.bounds.retain(|(name, _)| name != Bound::InboxBytes.name());
        self.plan.bounds.push((Bound::InboxBytes.name().to_owned(), 400));
    }

    fn small_queues(&mut self) {
        self.set("limits.frame_bytes", "32768");
        self.set("gateway.inbox_bytes", "65536");
        self.set("gateway.outbox_bytes", "65536");
        self.set("gateway.lag_resume_bytes", "16384");
    }

    /// Two devices of one person.
    fn pair(&self) -> Option<(usize, usize, usize)> {
        (0..self.plan.people).find_map(|person| {
            let mut devices = self.devices(person);
            Some((devices.next()?, devices.next()?, person))
        })
    }

    fn fault(&mut self, after_ms: u64, fault: Fault) {
        self.plan.steps.push(Step { at_ms: self.at_ms + after_ms, act: Act::Fault(fault) });
    }

    fn acts(&mut self, after_ms: u64, device: usize, operation: Operation) {
        let at_ms = self.at_ms + after_ms;
        self.plan.steps.push(Step { at_ms, act: Act::Device { device, operation } });
    }

    /// A device makes a group with a person.
    fn together(&mut self, device: usize, person: usize) {
        self.meet(device, person, false);
    }

    /// A device makes a conversation with a person.
    fn meet(&mut self, device: usize, person: usize, channel: bool) {
        let members = vec![person];
        self.acts(
            0,
            device,
            Operation::Create { slot: SLOT, channel, members, open: false, all_history: true },
        );
    }

    fn set(&mut self, key: &str, value: &str) {
        self.plan.settings.retain(|(other, _)| other != key);
        self.plan.settings.push((key.to_owned(), value.to_owned()));
    }

    fn devices(&self, person: usize) -> impl Iterator<Item = usize> {
        (0..self.plan.devices.len()).filter(move |device| self.plan.devices[*device].person == person)
    }

    /// A person's first device that does what it should.
    fn device(&self, person: usize) -> Option<usize> {
        self.devices(person).find(|device| self.plan.devices[*device].behaviour == Behaviour::Correct)
    }

    /// Nobody does anything with a person, and the person nothing with anybody.
    fn make_stranger(&mut self, stranger: usize) {
        let devices: Vec<usize> = self.devices(stranger).collect();
        self.plan.steps.retain_mut(|step| {
            let Act::Device { device, operation } = &mut step.act else { return true };
            if let Operation::Create { members, .. } = operation {
                members.retain(|member| *member != stranger);
            }
            let meets = match operation {
                Operation::Send { to, .. } => *to == Place::With(stranger),
                Operation::Join { person, .. } => *person == stranger,
                _ => false,
            };
            !meets && !devices.contains(device)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    fn operations(plan: &Plan) -> impl Iterator<Item = &Operation> {
        plan.steps.iter().filter_map(|step| match &step.act {
            Act::Device { operation, .. } => Some(operation),
            Act::Fault(_) | Act::Operator(_) => None,
        })
    }

    #[test]
    fn sequences_are_in_some_seeds_and_not_in_others() {
        let plans: Vec<Plan> = (0..600).map(generate::plan).collect();
        let has =
            |wanted: fn(&Operation) -> bool| plans.iter().filter(|plan| operations(plan).any(wanted)).count();
        assert!(has(|operation| matches!(operation, Operation::Mute { on: PLACE, .. })) > 5);
        assert!(has(|operation| matches!(operation, Operation::Edit { on: PLACE, .. })) > 10);
        assert!(has(|operation| matches!(operation, Operation::DeleteConversation { on: PLACE })) > 5);
        let made = has(|operation| matches!(operation, Operation::Create { slot: SLOT, .. }));
        assert!((150..400).contains(&made), "{made}");
    }

    #[test]
    fn a_stranger_meets_one_person() {
        let mut met = 0;
        for plan in (0..600).map(generate::plan) {
            let stranger = plan.people - 1;
            let leaves = |operation: &Operation| matches!(operation, Operation::Leave { on: PLACE, person } if *person == stranger);
            if stranger < 2 || !operations(&plan).any(leaves) {
                continue;
            }
            met += 1;
            let meets = |operation: &&Operation| match operation {
                Operation::Send { to, .. } => *to == Place::With(stranger),
                Operation::Create { slot, members, .. } => *slot != SLOT && members.contains(&stranger),
                _ => false,
            };
            assert_eq!(operations(&plan).find(meets), None, "seed {}", plan.seed);
        }
        assert!(met > 5, "{met}");
    }
}
