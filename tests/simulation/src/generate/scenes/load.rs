//! Scenes of too much at once, and of processes, a log and a bus that are slower than what they must do.

use super::Scene;
use crate::plan::{Fault, Operation};

impl Scene<'_> {
    /// Many messages at once, and perhaps all of them arrive together.
    pub(super) fn burst(&mut self) {
        let bytes = *self.dice.pick(&[20, 900, 4_000, 8_000]);
        let ms = self.dice.between(100, 2_000);
        match self.below(3) {
            0 => {
                for process in 0..self.plan.processes.len() {
                    self.fault(0, Fault::SocketsStall { process, ms });
                }
            }
            1 => {
                let process = self.process();
                self.fault(0, Fault::Pause { process, ms });
            }
            _ => {}
        }
        if self.dice.chance(500) {
            self.slow_log(600, 2_000);
        }
        for _ in 0..self.dice.between(1, 4) {
            let device = self.device();
            for _ in 0..self.dice.between(8, 30) {
                self.send(10, device, bytes);
            }
        }
    }

    /// The bus loses some messages of a conversation, and the log is slow or another one when they are read.
    pub(super) fn holes(&mut self) {
        let ms = self.dice.between(50, 600);
        if self.dice.chance(500) {
            self.own_place(true, (0..self.plan.people).collect());
        }
        for _ in 0..self.dice.between(8, 30) {
            let (after_ms, device) = (self.below(1_000), self.device());
            self.send(after_ms, device, 20);
        }
        self.fault(200, Fault::BusDemoted { ms });
        match self.below(4) {
            0 => {
                let (lost, after_ms) = (self.dice.between(1, 6), 300 + self.below(800));
                self.fault(after_ms, Fault::FailOver { lost });
                self.fault(300, Fault::LogSlow { delay_ms: 600, ms: 3_000 });
            }
            1 => self.fault(300, Fault::LogSlow { delay_ms: 600, ms: 2_000 }),
            2 => self.fault(300, Fault::LogAway { ms: 1_000 }),
            _ => {}
        }
        if self.dice.chance(300) {
            let after_ms = 400 + self.below(1_200);
            for process in 0..self.plan.processes.len() {
                self.fault(after_ms, Fault::SocketsReset { process });
            }
        }
        let (on, leavers) = (self.place, self.below(4));
        for _ in 0..leavers {
            let (device, after_ms) = (self.device(), 300 + self.below(1_000));
            let person = self.person(device);
            self.acts(after_ms, device, Operation::Leave { on, person });
            self.acts(after_ms + 3_000, device, Operation::Join { on, person });
        }
    }

    /// Somebody reads nothing while much is sent.
    pub(super) fn readers_that_do_not_read(&mut self) {
        let person = self.person(self.other);
        self.acts(0, self.hero, Operation::Watch { person, on: true });
        let ms = self.dice.between(2_000, 8_000);
        self.acts(500, self.hero, Operation::StopReading { ms });
        let (to, bytes) = (self.place, *self.dice.pick(&[200, 900, 4_000]));
        for _ in 0..self.dice.between(10, 40) {
            let (after_ms, device) = (600 + self.below(2_000), self.device());
            self.acts(after_ms, device, Operation::Send { to, bytes });
        }
        for round in 0..self.dice.between(2, 6) {
            let after_ms = 700 + self.below(2_500);
            let on = round.is_multiple_of(2);
            self.acts(after_ms, self.other, Operation::Background { on });
            self.acts(after_ms, self.hero, Operation::SyncAgain { on: to, back: 12 });
        }
        if self.dice.chance(400) {
            let devices = self.own_devices();
            let (by, after_ms) = (*self.dice.pick(&devices), 1_500 + self.below(6_000));
            self.acts(after_ms, by, Operation::SignOut { everywhere: true });
            devices.iter().for_each(|device| self.acts(8_000, *device, Operation::SignIn));
        }
    }

    /// A message is sent again over several ways at once, and the log goes away in between.
    pub(super) fn repeated_at_once(&mut self) {
        self.send(0, self.hero, 20);
        self.fault(1_900, Fault::LogSlow { delay_ms: 400, ms: 3_000 });
        self.send(2_000, self.other, 20);
        for _ in 0..6 {
            let after_ms = 2_000 + self.below(60);
            self.acts(after_ms, self.hero, Operation::SendAgain);
        }
        for _ in 0..3 {
            let after_ms = 2_100 + self.below(1_500);
            self.fault(after_ms, Fault::LogAway { ms: 100 });
        }
    }
}
