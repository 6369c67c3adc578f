//! Sequences in which queues are full, processes die, or the bus and the log fail at one moment.

use super::{Aimed, PLACE};
use crate::dice::Dice;
use crate::plan::{Act, Behaviour, DevicePlan, Fault, Hangup, Operation};

impl Aimed<'_> {
    /// A watched person goes to the background while the bus carries nothing, and stays there.
    pub(super) fn goes_away_without_the_bus(&mut self, ms: u64) {
        let Some(watcher) = self.device(0) else { return };
        let devices: Vec<usize> = self.devices(1).collect();
        let since_ms = self.at_ms;
        self.plan.steps.retain(|step| match &step.act {
            Act::Device {
                device,
                operation:
                    Operation::Background { .. }
                    | Operation::Disconnect { .. }
                    | Operation::StopReading { .. }
                    | Operation::SignOut { .. }
                    | Operation::Watch { .. },
            } if step.at_ms >= since_ms => !devices.contains(device) && *device != watcher,
            _ => true,
        });
        self.together(watcher, 1);
        self.acts(1_500, watcher, Operation::Watch { person: 1, on: true });
        self.fault(3_000, Fault::BusDemoted { ms });
        for device in devices {
            self.acts(3_500, device, Operation::Background { on: true });
        }
    }

    /// The worker threads of a process stand still. Meanwhile more is said than an inbox has room for, and
    /// then somebody signs out.
    pub(super) fn signs_out_behind_a_burst(&mut self, process: usize, of_small_ones: bool) {
        let Some((first, second, person)) = self.pair() else { return };
        let other = usize::from(person == 0);
        let Some(sender) = self.device(other) else { return };
        self.unlimited();
        let bytes = if of_small_ones { 20 } else { 7_000 };
        if of_small_ones {
            self.smallest_inbox();
        } else {
            self.small_queues();
        }
        self.together(sender, person);
        self.fault(2_000, Fault::WorkersStop { process, ms: 2_000 });
        for nth in 0..20 {
            self.acts(2_100 + 20 * nth, sender, Operation::Send { to: PLACE, bytes });
        }
        self.acts(3_500, first, Operation::SignOut { everywhere: true });
        // Nobody who signed out is shown these.
        for nth in 0..4 {
            self.acts(10_000 + 900 * nth, sender, Operation::Send { to: PLACE, bytes: 20 });
        }
        self.acts(14_000, first, Operation::SignIn);
        self.acts(14_500, second, Operation::SignIn);
    }

    /// Somebody reads nothing while more is said than an outbox has room for, and reads on later. Meanwhile
    /// the membership may end.
    pub(super) fn reads_too_slowly(&mut self, channel: bool, removed: bool) {
        let (Some(sender), Some(reader)) = (self.device(0), self.device(1)) else { return };
        self.unlimited();
        self.small_queues();
        self.meet(sender, 1, channel);
        if removed {
            self.acts(5_500, sender, Operation::Leave { on: PLACE, person: 1 });
        }
        self.acts(2_000, reader, Operation::StopReading { ms: 5_000 });
        for nth in 0..30 {
            self.acts(2_500 + 60 * nth, sender, Operation::Send { to: PLACE, bytes: 7_000 });
        }
        for nth in 0..6 {
            self.acts(9_000 + 700 * nth, sender, Operation::Send { to: PLACE, bytes: 20 });
        }
    }

    /// The end of the log is held back and the bus carries nothing while something is said.
    pub(super) fn end_is_held_back(&mut self) {
        let Some(sender) = self.device(0) else { return };
        self.together(sender, 1);
        self.fault(2_000, Fault::LogHeldBack { ms: 14_000 });
        self.fault(2_200, Fault::BusDemoted { ms: 12_000 });
        for nth in 0..4 {
            self.acts(2_500 + 500 * nth, sender, Operation::Send { to: PLACE, bytes: 20 });
        }
    }

    /// A conversation is deleted, and right after the commit the process that did it dies, or the log is
    /// away.
    pub(super) fn deletes_and_fails(&mut self, dice: &mut Dice) {
        let Some(owner) = self.device(0) else { return };
        self.together(owner, 1);
        for nth in 0..3 {
            self.acts(1_500 + 100 * nth, owner, Operation::Send { to: PLACE, bytes: 20 });
        }
        self.acts(4_000, owner, Operation::DeleteConversation { on: PLACE });
        if dice.chance(400) {
            return self.fault(dice.between(4_010, 4_200), Fault::LogAway { ms: 500 });
        }
        for process in 0..self.plan.processes.len() {
            self.fault(4_000, Fault::KillAfterCommit { process, down_ms: 500 });
        }
    }

    /// Every process begins anew and knows no user. While one device of a person comes back, the other one
    /// signs both out.
    pub(super) fn signs_out_while_entering(&mut self, dice: &mut Dice) {
        let Some((first, _, _)) = self.pair() else { return };
        self.plan.settings.retain(|(key, _)| !key.starts_with("store."));
        self.plan.weather.log_delay_ms = dice.between(100, 300);
        for process in 0..self.plan.processes.len() {
            self.fault(0, Fault::Kill { process, down_ms: 300, vanish: false });
        }
        self.acts(300 + dice.below(900), first, Operation::SignOut { everywhere: true });
    }

    /// The database is switched over, and later the bus loses the newest message of a conversation.
    pub(super) fn switched_over_and_lost(&mut self) {
        let Some(sender) = self.device(0) else { return };
        self.at_ms = self.at_ms.min(9_000);
        self.plan.weather.bus_loss = 250;
        self.together(sender, 1);
        self.fault(2_000, Fault::FailOver { lost: 0 });
        for nth in 0..4 {
            self.acts(15_000 + 4_000 * nth, sender, Operation::Send { to: PLACE, bytes: 20 });
        }
    }

    /// Somebody is away for a moment, and the very next event of the whole log is for them.
    pub(super) fn misses_the_next_event(&mut self) {
        let (Some(sender), Some(reader)) = (self.device(0), self.device(1)) else { return };
        let (from_ms, how) = (self.at_ms, Hangup::Reset);
        self.plan.steps.retain(|step| step.at_ms < from_ms || step.at_ms > from_ms + 18_000);
        self.together(sender, 1);
        for nth in 0..5 {
            let after_ms = 3_000 + 3_000 * nth;
            // Its cursor is that of its last welcome. The less time passes after that, the fewer others write
            // to the log in between.
            self.acts(after_ms, reader, Operation::Disconnect { how });
            self.acts(after_ms + 100, reader, Operation::Reconnect);
            let away_ms = after_ms + 130 + 70 * nth;
            self.acts(away_ms, reader, Operation::Disconnect { how });
            self.acts(away_ms + 5, sender, Operation::Send { to: PLACE, bytes: 20 });
            self.acts(away_ms + 300, reader, Operation::Reconnect);
        }
    }

    /// Again and again more is said at once than an inbox has room for, while sessions read heads because of
    /// the time before.
    pub(super) fn inboxes_overflow_while_heads_are_read(&mut self) {
        let Some(maker) = self.device(0) else { return };
        self.unlimited();
        self.smallest_inbox();
        self.meet(maker, 1, true);
        let senders: Vec<usize> = [0, 1].into_iter().flat_map(|person| self.devices(person)).collect();
        self.fault(2_000, Fault::LogSlow { delay_ms: 300, ms: 6_000 });
        for nth in 0..12 {
            for device in senders.iter().chain(&senders) {
                self.acts(2_200 + 350 * nth, *device, Operation::Send { to: PLACE, bytes: 20 });
            }
        }
    }

    /// Somebody asks for much at once, several times, and reads nothing.
    pub(super) fn asks_and_does_not_read(&mut self) {
        let (Some(sender), Some(reader)) = (self.device(0), self.device(1)) else { return };
        self.unlimited();
        self.small_queues();
        self.set("limits.sync_events", "100");
        self.plan.settings.retain(|(key, _)| key != "gateway.in_flight_requests");
        self.together(sender, 1);
        for nth in 0..24 {
            self.acts(1_500 + 60 * nth, sender, Operation::Send { to: PLACE, bytes: 7_000 });
        }
        self.acts(6_000, reader, Operation::StopReading { ms: 5_000 });
        for nth in 0..5 {
            self.acts(6_050 + nth, reader, Operation::SyncAgain { on: PLACE, back: 20 });
        }
    }

    /// An account is erased, and the log loses that. A device without a connection does not know it and asks
    /// for a new token.
    pub(super) fn erasure_is_lost(&mut self, dice: &mut Dice) {
        let person = self.last;
        let Some(by) = self.device(person) else { return };
        let asking = self.plan.devices.len();
        let behaviour = Behaviour::Rest;
        self.plan.devices.push(DevicePlan { person, behaviour, msgpack: false, begins_ms: 1_000 });
        self.plan.weather.log_delay_ms = self.plan.weather.log_delay_ms.min(20);
        self.acts(3_000, by, Operation::Erase);
        self.fault(dice.between(3_030, 3_400), Fault::Restore { lost: dice.between(2, 10) });
        for nth in 0..8 {
            self.acts(3_100 + 300 * nth, asking, Operation::Refresh);
        }
    }
}
