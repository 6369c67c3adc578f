//! Scenes about work that goes on after its answer, and about answers that come late: their process is gone
//! or another one, or their connection.

use super::Scene;
use crate::plan::{Fault, Operation, Page};

impl Scene<'_> {
    /// A conversation is deleted, and every process is killed while its content is being removed.
    pub(super) fn processes_die_during_a_job(&mut self) {
        let person = self.person(self.hero);
        self.own_place(false, vec![person]);
        for nth in 0..6 {
            self.send(20 * nth, self.other, 20);
        }
        self.at_ms += 1_000;
        let on = self.place;
        self.fault(0, Fault::LogSlow { delay_ms: 300, ms: 4_000 });
        self.acts(0, self.other, Operation::DeleteConversation { on });
        let after_ms = 400 + self.below(3_600);
        for process in 0..self.plan.processes.len() {
            self.fault(after_ms, Fault::Kill { process, down_ms: 300, vanish: false });
        }
    }

    /// Many conversations are deleted. The process that removes their content stands still after it has
    /// chosen what to do next, for so long that another one does it.
    pub(super) fn process_pauses_during_a_job(&mut self) {
        let person = self.person(self.hero);
        for _ in 0..6 {
            self.own_place(false, vec![person]);
            let on = self.place;
            // All are made one after the other and deleted at the same time.
            self.at_ms -= 1_400;
            self.acts(2_600, self.other, Operation::DeleteConversation { on });
        }
        self.at_ms += 2_500;
        self.fault(0, Fault::LogSlow { delay_ms: 300, ms: 5_000 });
        let (process, after_ms) = (self.process(), 500 + self.below(4_000));
        self.fault(after_ms, Fault::Pause { process, ms: 9_000 });
    }

    /// Copies of the log are behind while somebody reads what was just acknowledged.
    pub(super) fn reads_after_an_ack(&mut self) {
        let on = self.place;
        for replica in 0..self.plan.replicas {
            self.fault(0, Fault::ReplicaFrozen { replica, ms: 5_000 });
        }
        for nth in 0..8 {
            self.send(100 + 500 * nth, self.hero, 20);
            for device in [self.hero, self.other] {
                self.acts(400 + 500 * nth, device, Operation::Read { on, page: Page::History });
            }
        }
    }

    /// Connections break while what they sent is being committed, and others take their places.
    pub(super) fn connections_break_during_a_commit(&mut self) {
        self.fault(0, Fault::LogSlow { delay_ms: 900, ms: 3_000 });
        for device in 0..self.plan.devices.len() {
            for _ in 0..3 {
                let after_ms = 10 + self.below(200);
                self.send(after_ms, device, 20);
            }
        }
        let after_ms = 150 + self.below(300);
        for process in 0..self.plan.processes.len() {
            self.fault(after_ms, Fault::SocketsReset { process });
        }
    }
}
