//! Scenes in which a process stands still between two steps of its work, while others change what the second
//! step depends on. A pause can be as long as needed, so what else must happen in between has the time.

use super::Scene;
use crate::plan::{Behaviour, Fault, Hangup, Operation, Page};

/// Whether the pause meets the right process at the right step is up to chance, so scenes try more than once.
const ROUNDS: u64 = 3;
const ROUND_MS: u64 = 3_500;

impl Scene<'_> {
    /// A membership ends, and perhaps begins again, between the check of a right and the read.
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
            self.fault(0, Fault::LogSlow { delay_ms: 120, ms: 900 });
            // A few only: where the rate is low, a device must be through with them before the end.
            for nth in 0..4 {
                for device in self.own_devices() {
                    let page = *self.dice.pick(&[Page::History, Page::Events]);
                    self.acts(100 * nth, device, Operation::Read { on, page });
                }
                self.acts(100 * nth, hero, Operation::SyncAgain { on, back: 6 });
            }
            self.fault(400, Fault::Pause { process, ms: 2_000 });
            self.acts(420, other, Operation::Leave { on, person });
            for nth in 0..4 {
                self.send(700 + 100 * nth, other, 20);
            }
            // Who comes back may be shown more than who stays away.
            if round < rounds || self.dice.chance(500) {
                let back_ms = if self.dice.chance(600) { 1_100 } else { 2_700 };
                self.acts(back_ms, other, Operation::Join { on, person });
                // Of the messages from before the pause.
                for back in 4..8 {
                    self.acts(back_ms + 200, other, Operation::React { on, back, emoji: 0, add: true });
                }
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
