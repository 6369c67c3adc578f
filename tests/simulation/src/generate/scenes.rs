//! What comes together: steps that meet at one moment, and short scenes in which several people and a fault
//! want the same thing at once. Spread over 40 seconds, steps seldom meet.

mod load;
mod pauses;
mod rights;
mod work;

use crate::dice::Dice;
use crate::plan::{Act, Behaviour, Fault, Operation, Place, Plan, Step};

/// Seeds whose steps are gathered, in a thousand.
const GATHERED: u64 = 200;
/// Seeds with scenes, in a thousand.
const WITH_SCENES: u64 = 500;
/// Seeds with one scene that needs much to come together, in a thousand.
const WITH_NARROW_SCENES: u64 = 150;
/// Kinds of scenes.
const KINDS: u64 = 22;
/// Conversations that scenes make for themselves have slots from here on.
const FIRST_OWN_SLOT: usize = 100;

/// Moves half of the steps of some seeds to a few moments. Conversations are made as before.
pub fn gather(dice: &mut Dice, plan: &mut Plan) {
    if !dice.chance(GATHERED) {
        return;
    }
    let count = dice.between(3, 8);
    let last_ms = plan.active_ms.saturating_sub(1_000);
    let moments: Vec<u64> = (0..count).map(|_| dice.between(5_000, last_ms)).collect();
    let width_ms = dice.between(1, 200);
    for step in &mut plan.steps {
        let is_create = matches!(step.act, Act::Device { operation: Operation::Create { .. }, .. });
        if !is_create && step.at_ms <= plan.active_ms && dice.chance(500) {
            step.at_ms = dice.pick(&moments) + dice.below(width_ms);
        }
    }
    plan.steps.sort_by_key(|step| step.at_ms);
}

/// Adds one scene of those that need much to come together to some seeds.
pub fn add_narrow(dice: &mut Dice, plan: &mut Plan) {
    if !dice.chance(WITH_NARROW_SCENES) {
        return;
    }
    let at_ms = dice.between(5_000, plan.active_ms.saturating_sub(16_000));
    let steps = Scene::of(dice, plan, at_ms).play_narrow();
    plan.steps.extend(steps);
    plan.steps.sort_by_key(|step| step.at_ms);
}

/// Adds a few scenes to some seeds.
pub fn add(dice: &mut Dice, plan: &mut Plan) {
    if !dice.chance(WITH_SCENES) {
        return;
    }
    for _ in 0..dice.between(1, 4) {
        let at_ms = dice.between(5_000, plan.active_ms.saturating_sub(9_000));
        let mut steps = Scene::of(dice, plan, at_ms).play();
        // In the calm people only come back.
        steps.retain(|step| {
            let comes_back = matches!(step.act, Act::Device { operation: Operation::SignIn, .. });
            step.at_ms <= plan.active_ms || comes_back
        });
        plan.steps.extend(steps);
    }
    plan.steps.sort_by_key(|step| step.at_ms);
}

/// A scene that is being written.
struct Scene<'p> {
    dice: &'p mut Dice,
    plan: &'p Plan,
    /// When it begins.
    at_ms: u64,
    /// The conversation that it is about.
    place: Place,
    /// The device that it is about, and the one of the others that acts most.
    hero: usize,
    other: usize,
    steps: Vec<Step>,
}

impl<'p> Scene<'p> {
    fn of(dice: &'p mut Dice, plan: &'p Plan, at_ms: u64) -> Self {
        let creates = plan.steps.iter().filter_map(|step| match &step.act {
            Act::Device { operation: Operation::Create { slot, channel, .. }, .. } => {
                Some((Place::Slot(*slot), *channel))
            }
            _ => None,
        });
        let (channels, others): (Vec<_>, Vec<_>) =
            creates.chain([(Place::With(0), false)]).partition(|(_, channel)| *channel);
        let places = if channels.is_empty() || dice.chance(600) { others } else { channels };
        let connected =
            |device: &usize| matches!(plan.devices[*device].behaviour, Behaviour::Correct | Behaviour::Lazy);
        let devices: Vec<usize> = (0..plan.devices.len()).filter(connected).collect();
        let ((place, _), hero, other) = (*dice.pick(&places), *dice.pick(&devices), *dice.pick(&devices));
        Self { dice, plan, at_ms, place, hero, other, steps: Vec::new() }
    }

    fn play(mut self) -> Vec<Step> {
        match self.dice.below(KINDS) {
            0 | 1 => self.entering(),
            2 => self.burst(),
            3 => self.changes_at_once(),
            4 => self.typing_and_not(),
            5 => self.gone_and_back(),
            6 => self.erased_while_signing_in(),
            7 => self.process_pauses_during_a_job(),
            8 => self.repeated_at_once(),
            9 | 10 => self.holes(),
            11 => self.readers_that_do_not_read(),
            12 => self.in_and_out_while_entering(),
            13 => self.signed_out_at_the_first_contact(),
            14 => self.rights_during_reads(),
            15 => self.membership_changes_during_a_read(),
            16 | 18 => self.channels_change_during_a_read_of_heads(),
            17 => self.signs_out_while_a_new_process_asks(),
            19 => self.processes_die_during_a_job(),
            20 => self.reads_after_an_ack(),
            _ => self.connections_break_during_a_commit(),
        }
        self.steps
    }

    fn play_narrow(mut self) -> Vec<Step> {
        if self.plan.replicas > 0 && self.dice.chance(500) {
            self.membership_changes_during_a_read();
        } else {
            self.signs_out_during_a_hello();
        }
        self.steps
    }

    fn acts(&mut self, after_ms: u64, device: usize, operation: Operation) {
        let at_ms = self.at_ms + after_ms;
        self.steps.push(Step { at_ms, act: Act::Device { device, operation } });
    }

    fn fault(&mut self, after_ms: u64, fault: Fault) {
        self.steps.push(Step { at_ms: self.at_ms + after_ms, act: Act::Fault(fault) });
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice.below(bound)
    }

    fn device(&mut self) -> usize {
        usize::try_from(self.dice.below(self.plan.devices.len() as u64)).unwrap_or(0)
    }

    fn process(&mut self) -> usize {
        usize::try_from(self.dice.below(self.plan.processes.len() as u64)).unwrap_or(0)
    }

    fn person(&self, device: usize) -> usize {
        self.plan.devices[device].person
    }

    /// The devices of the hero's person.
    fn own_devices(&self) -> Vec<usize> {
        let person = self.person(self.hero);
        (0..self.plan.devices.len()).filter(|device| self.person(*device) == person).collect()
    }

    fn send(&mut self, after_ms: u64, device: usize, bytes: usize) {
        let to = self.place;
        self.acts(after_ms, device, Operation::Send { to, bytes });
    }

    /// The scene is about a conversation that `other` makes for it now. It is there a little later.
    fn own_place(&mut self, channel: bool, members: Vec<usize>) {
        let slot = FIRST_OWN_SLOT + usize::try_from(self.at_ms).unwrap_or(0);
        let create = Operation::Create { slot, channel, members, open: true, all_history: false };
        self.acts(0, self.other, create);
        self.place = Place::Slot(slot);
        self.at_ms += 1_500;
    }

    fn slow_log(&mut self, most_ms: u64, ms: u64) {
        let delay_ms = self.dice.between(most_ms / 4, most_ms);
        self.fault(0, Fault::LogSlow { delay_ms, ms });
    }
}
