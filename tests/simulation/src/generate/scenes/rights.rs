//! Scenes about who may do what: it changes while it is used.

use super::Scene;
use crate::plan::{Fault, Hangup, Operation, Page};

impl Scene<'_> {
    /// A device comes back while the log is slow, and meanwhile its rights change.
    pub(super) fn entering(&mut self) {
        self.slow_log(900, 4_000);
        let how = *self.dice.pick(&[Hangup::Reset, Hangup::Close]);
        self.acts(20, self.hero, Operation::Disconnect { how });
        let (on, person, hero, other) = (self.place, self.person(self.hero), self.hero, self.other);
        let ends_signed_out = self.dice.chance(250);
        for _ in 0..self.dice.between(3, 12) {
            let after_ms = 50 + self.below(3_000);
            match self.below(6) {
                0 => self.acts(after_ms, other, Operation::Join { on, person }),
                1 => self.acts(after_ms, other, Operation::Leave { on, person }),
                2 => self.acts(after_ms, hero, Operation::Join { on, person }),
                _ => self.send(after_ms, other, 20),
            }
        }
        if ends_signed_out {
            let devices = self.own_devices();
            let by = *self.dice.pick(&devices);
            let after_ms = 50 + self.below(2_000);
            self.acts(after_ms, by, Operation::SignOut { everywhere: true });
            devices.iter().for_each(|device| self.acts(6_000, *device, Operation::SignIn));
        } else if self.dice.chance(400) {
            let after_ms = 50 + self.below(2_000);
            for process in 0..self.plan.processes.len() {
                self.fault(after_ms, Fault::SocketsReset { process });
            }
        }
    }

    /// A device comes back while its user is taken into a channel and out of it.
    pub(super) fn in_and_out_while_entering(&mut self) {
        let (hero, other, person) = (self.hero, self.other, self.person(self.hero));
        let mut is_in = self.dice.chance(500);
        self.own_place(true, if is_in { vec![person] } else { Vec::new() });
        self.slow_log(800, 5_000);
        self.acts(20, hero, Operation::Disconnect { how: Hangup::Reset });
        let (on, mut after_ms) = (self.place, 100 + self.below(1_800));
        for _ in 0..self.dice.between(1, 3) {
            let operation =
                if is_in { Operation::Leave { on, person } } else { Operation::Join { on, person } };
            self.acts(after_ms, other, operation);
            is_in = !is_in;
            after_ms += 100 + self.below(1_000);
        }
        for _ in 0..self.dice.between(4, 14) {
            let after_ms = 100 + self.below(4_000);
            self.send(after_ms, other, 20);
        }
        if self.dice.chance(300) {
            let after_ms = 500 + self.below(3_000);
            self.fault(after_ms, Fault::LogAway { ms: 200 });
        }
    }

    /// Every process has just begun and knows nobody yet, and a user who comes back signs out.
    pub(super) fn signed_out_at_the_first_contact(&mut self) {
        for process in 0..self.plan.processes.len() {
            self.fault(0, Fault::Kill { process, down_ms: 100, vanish: false });
        }
        self.slow_log(900, 6_000);
        let (on, after_ms) = (self.place, 200 + self.below(1_500));
        self.acts(after_ms, self.hero, Operation::SignOut { everywhere: true });
        for device in self.own_devices() {
            for _ in 0..3 {
                let after_ms = 500 + self.below(3_500);
                self.acts(after_ms, device, Operation::Read { on, page: Page::Conversation });
            }
            self.acts(8_000, device, Operation::SignIn);
        }
    }

    /// One device of a person signs in while another erases the account.
    pub(super) fn erased_while_signing_in(&mut self) {
        let devices = self.own_devices();
        let [first, second, ..] = devices[..] else { return self.typing_and_not() };
        self.acts(0, second, Operation::SignOut { everywhere: false });
        self.fault(900, Fault::LogSlow { delay_ms: 300, ms: 2_000 });
        self.acts(1_000, second, Operation::SignIn);
        let after_ms = 1_000 + self.below(500);
        self.acts(after_ms, first, Operation::Erase);
    }

    /// A watched person goes while the bus carries nothing, and comes back while others find out.
    pub(super) fn gone_and_back(&mut self) {
        let person = self.person(self.hero);
        for device in 0..self.plan.devices.len() {
            self.acts(0, device, Operation::Watch { person, on: true });
        }
        for begins_ms in [1_000, 9_000] {
            self.fault(begins_ms, Fault::BusDemoted { ms: 1_500 });
            let back_ms = begins_ms + 1_500 + self.below(6_000);
            // Too short to be noticed: lookups and signals wait.
            self.fault(back_ms - 200, Fault::BusFrozen { ms: 400 });
            for device in self.own_devices() {
                self.acts(begins_ms + 200, device, Operation::SignOut { everywhere: false });
                self.acts(back_ms, device, Operation::SignIn);
            }
        }
    }

    /// Somebody begins and stops typing faster than the audience is read.
    pub(super) fn typing_and_not(&mut self) {
        self.slow_log(400, 3_000);
        let on = self.place;
        for _ in 0..self.dice.between(4, 14) {
            let (after_ms, begin) = (self.below(1_500), self.dice.chance(600));
            self.acts(after_ms, self.hero, Operation::Typing { on, begin });
        }
        if self.dice.chance(500) {
            let after_ms = self.below(1_500);
            self.send(after_ms, self.hero, 20);
        }
    }

    /// Changes of one conversation that depend on each other.
    pub(super) fn changes_at_once(&mut self) {
        self.slow_log(300, 2_000);
        let (on, person) = (self.place, self.person(self.hero));
        self.send(0, self.hero, 20);
        for _ in 0..self.dice.between(6, 16) {
            let after_ms = 600 + self.below(300);
            let device = if self.dice.chance(400) { self.hero } else { self.device() };
            let (back, emoji) = (0, 0);
            let operation = match self.below(11) {
                0 => Operation::Edit { on, back },
                1 | 2 => Operation::Delete { on, back },
                3 | 4 => Operation::React { on, back, emoji, add: self.dice.chance(700) },
                5 => Operation::Join { on, person },
                6 => Operation::Leave { on, person },
                7 => Operation::Mute { on, person, seconds: self.dice.between(0, 2) },
                8 => Operation::SetRole { on, person, role: 1 },
                9 => Operation::Configure { on, open: None, all_history: Some(true), rename: true },
                _ => Operation::Send { to: on, bytes: 20 },
            };
            self.acts(after_ms, device, operation);
        }
    }

    /// A membership ends and begins again while the member reads.
    pub(super) fn rights_during_reads(&mut self) {
        let (hero, other, person) = (self.hero, self.other, self.person(self.hero));
        self.own_place(false, (0..self.plan.people).collect());
        for _ in 0..4 {
            self.send(0, other, 20);
        }
        self.at_ms += 500;
        self.slow_log(800, 7_000);
        for replica in 0..self.plan.replicas {
            self.fault(0, Fault::ReplicaFrozen { replica, ms: 7_000 });
        }
        let on = self.place;
        for _ in 0..12 {
            let after_ms = self.below(6_000);
            let page = *self.dice.pick(&[Page::History, Page::Events]);
            self.acts(after_ms, hero, Operation::Read { on, page });
            self.acts(after_ms, hero, Operation::SyncAgain { on, back: 6 });
        }
        for begins_ms in [300, 3_000] {
            self.acts(begins_ms, other, Operation::Leave { on, person });
            self.acts(begins_ms, other, Operation::Join { on, person });
            for _ in 0..4 {
                let (after_ms, add) = (begins_ms + self.below(2_000), self.dice.chance(600));
                self.acts(after_ms, other, Operation::React { on, back: 0, emoji: 0, add });
            }
        }
    }
}
