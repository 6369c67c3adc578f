//! Scenes in which a process stands still between two steps of its work, while others change what the second
//! step depends on. A pause can be as long as needed, so what else must happen in between has the time.

use super::Scene;
use crate::plan::{Behaviour, Fault, Hangup, Operation, Page};

/// Whether the pause meets the right process at the right step is up to chance, so scenes try more than once.
const ROUNDS: u64 = 3;
const ROUND_MS: u64 = 3_500;
/// Shorter than the store's least timeout.
const READ_PAUSED_MS: u64 = 900;

impl Scene<'_> {
    /// A membership ends, and perhaps begins again, between the check of a right and the read. Only a read
    /// that a replica may answer has such a moment.
    pub(super) fn membership_changes_during_a_read(&mut self) {
        let Some(other) = self.meet_another() else { return self.rights_during_reads() };
        let (hero, person) = (self.hero, self.person(self.hero));
        self.own_place(false, (0..self.plan.people).collect());
        for _ in 0..4 {
            self.send(0, other, 20);
        }
        self.at_ms += 1_000;
        let (on, rounds) = (self.place, self.dice.between(1, ROUNDS));
        for round in 1..=rounds {
            let process = self.process();
            // Slow until the pause and not later: the reads are under way then, and what the others do is
            // done before the pause ends.
            self.fault(0, Fault::LogSlow { delay_ms: 240, ms: 400 });
            // A few only: where the rate is low, a device must be through with them before the end.
            for nth in 0..4 {
                for device in self.own_devices() {
                    let page = *self.dice.pick(&[Page::History, Page::History, Page::Events]);
                    self.acts(100 * nth, device, Operation::Read { on, page });
                }
                self.acts(100 * nth, hero, Operation::SyncAgain { on, back: 6 });
            }
            self.fault(400, Fault::Pause { process, ms: READ_PAUSED_MS });
            self.acts(410, other, Operation::Leave { on, person });
            // Who comes back may be shown more than who stays away.
            if round < rounds || self.dice.chance(500) {
                let back_ms = if self.dice.chance(700) { 420 } else { 2_700 };
                self.acts(back_ms, other, Operation::Join { on, person });
                // Of the messages from before the pause.
                for back in 0..4 {
                    let after_ms = back_ms + 300 + 100 * back;
                    self.acts(after_ms, other, Operation::React { on, back, emoji: 0, add: true });
                }
            }
            for nth in 0..4 {
                self.send(1_000 + 100 * nth, other, 20);
            }
            self.at_ms += ROUND_MS;
        }
    }

    /// A device comes back through a process that stands still while it reads heads. Meanwhile its user
    /// leaves a channel that was read, or is added to another one and the bus does not tell the process.
    pub(super) fn channels_change_during_a_read_of_heads(&mut self) {
        let Some(other) = self.meet_another() else { return self.in_and_out_while_entering() };
        let (hero, person) = (self.hero, self.person(self.hero));
        let everybody = (0..self.plan.people).collect();
        // A user with a channel reads heads a second time.
        self.own_place(true, everybody);
        let left = self.place;
        self.own_place(true, Vec::new());
        let joined = self.place;
        for _ in 0..ROUNDS {
            let (process, paused_ms) = (self.process(), 150 + self.below(500));
            self.fault(0, Fault::LogSlow { delay_ms: 240, ms: ROUND_MS - 500 });
            self.acts(0, hero, Operation::Disconnect { how: Hangup::Reset });
            self.fault(paused_ms, Fault::Pause { process, ms: 1_500 });
            if self.dice.chance(500) {
                let on = left;
                self.acts(paused_ms + 20, other, Operation::Leave { on, person });
                self.acts(ROUND_MS - 300, other, Operation::Join { on, person });
            } else {
                let on = joined;
                self.fault(0, Fault::BusDemoted { ms: 3_000 });
                self.acts(paused_ms + 20, other, Operation::Join { on, person });
                self.acts(ROUND_MS - 300, other, Operation::Leave { on, person });
            }
            for nth in 0..16 {
                for device in self.other_devices() {
                    let after_ms = paused_ms + 700 + 90 * nth;
                    self.acts(after_ms, device, Operation::Send { to: left, bytes: 20 });
                }
            }
            self.at_ms += ROUND_MS;
        }
    }

    /// A process knows nobody yet, and stands still while it asks the log for a user. Meanwhile the user
    /// signs out elsewhere.
    pub(super) fn signs_out_while_a_new_process_asks(&mut self) {
        let (on, process) = (self.place, self.process());
        let devices = self.own_devices();
        let (by, paused_ms) = (*self.dice.pick(&devices), 800 + self.below(500));
        self.fault(0, Fault::Kill { process, down_ms: 100, vanish: false });
        self.fault(600, Fault::LogSlow { delay_ms: 900, ms: 1_200 });
        for device in &devices {
            if *device != by {
                self.acts(600, *device, Operation::Disconnect { how: Hangup::Reset });
            }
            for nth in 0..4 {
                let after_ms = 650 + 150 * nth;
                self.acts(after_ms, *device, Operation::Read { on, page: Page::Conversation });
            }
            self.acts(14_000, *device, Operation::SignIn);
        }
        self.fault(paused_ms, Fault::Pause { process, ms: 3_500 });
        self.acts(paused_ms, by, Operation::SignOut { everywhere: true });
        for nth in 0..3 {
            self.send(11_000 + 1_000 * nth, self.other, 20);
        }
    }

    /// A device says hello to a process that does not know its user yet, so the check of its token asks the
    /// log. Meanwhile another device of the user ends all sign-ins elsewhere.
    pub(super) fn signs_out_during_a_hello(&mut self) {
        let Some(by) = self.be_one_of_a_pair() else { return self.signed_out_at_the_first_contact() };
        let (hero, person) = (self.hero, self.person(self.hero));
        self.own_place(false, vec![person]);
        // One process goes on; the others know nobody when the devices come back.
        let stays = self.process();
        for process in (0..self.plan.processes.len()).filter(|process| *process != stays) {
            self.fault(0, Fault::Kill { process, down_ms: 1_300, vanish: false });
        }
        self.acts(1_700, hero, Operation::Disconnect { how: Hangup::Reset });
        self.acts(1_900, hero, Operation::Reconnect);
        // What began to ask the log until then waits; what begins later does not.
        let signs_out_ms = 2_000 + self.below(200);
        self.fault(1_850, Fault::LogSlow { delay_ms: 1_500, ms: signs_out_ms - 1_850 });
        self.acts(signs_out_ms, by, Operation::SignOut { everywhere: true });
        for nth in 0..8 {
            self.send(9_000 + 700 * nth, self.other, 20);
        }
        [hero, by].into_iter().for_each(|device| self.acts(15_000, device, Operation::SignIn));
    }

    /// The scene is about a person with two devices: the hero's and the one that is returned. `None` if
    /// nobody has two.
    fn be_one_of_a_pair(&mut self) -> Option<usize> {
        let devices = 0..self.plan.devices.len();
        let paired = devices.filter(|one| {
            let person = self.person(*one);
            self.plan.devices[*one].behaviour == Behaviour::Correct
                && self.plan.devices.iter().filter(|other| other.person == person).count() > 1
        });
        let paired: Vec<usize> = paired.collect();
        if paired.is_empty() {
            return None;
        }
        self.hero = *self.dice.pick(&paired);
        self.meet_another()?;
        self.own_devices().into_iter().find(|device| *device != self.hero)
    }

    /// The device that acts most is one of another person. There is none if all are of one.
    fn meet_another(&mut self) -> Option<usize> {
        let others = self.other_devices();
        if others.is_empty() {
            return None;
        }
        self.other = *self.dice.pick(&others);
        Some(self.other)
    }

    /// The devices of other people that are connected.
    fn other_devices(&self) -> Vec<usize> {
        let person = self.person(self.hero);
        let others = (0..self.plan.devices.len()).filter(|device| self.person(*device) != person);
        let connected = |device: &usize| self.plan.devices[*device].behaviour == Behaviour::Correct;
        others.filter(connected).collect()
    }
}
