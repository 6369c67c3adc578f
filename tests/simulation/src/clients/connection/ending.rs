//! How a device ends or neglects its connections, because a step of the plan says so.

use super::super::device::Device;
use crate::plan::Hangup;

/// Connections that vanished and are kept open; the oldest one goes first.
const MOST_BURIED: usize = 3;

impl Device {
    /// Ends the connection in use as a step of the plan says, and comes back after a while.
    pub(in crate::clients) fn hang_up(&mut self, how: Hangup) {
        self.connection.connect_at = self.now + self.dice.between(100, 8_000);
        self.connection.moving = None;
        let Some(main) = self.connection.main else { return };
        match how {
            Hangup::Close => self.close(main),
            Hangup::Reset => {
                if let Some(attached) = self.detach(main) {
                    attached.link.reset();
                }
            }
            Hangup::Vanish => {
                let Some(attached) = self.detach(main) else { return };
                attached.link.vanish();
                if self.connection.buried.len() == MOST_BURIED {
                    self.connection.buried.remove(0);
                }
                self.connection.buried.push(attached.link);
            }
        }
    }

    /// The person looks at the device again: it does not wait any longer.
    pub(in crate::clients) fn reconnect(&mut self) {
        self.connection.connect_at = self.now.max(self.connection.banished_until);
    }

    /// Reads nothing for so long.
    pub(in crate::clients) fn stop_reading(&mut self, ms: u64) {
        let until = self.now + ms;
        if let Some(attached) = self.connection.main.and_then(|main| self.connection.get(main)) {
            attached.link.pause(true);
            attached.paused_until = Some(until);
        }
    }

    /// The calm has begun: read again, and connect soon.
    pub(in crate::clients) fn come_back(&mut self) {
        let now = self.now;
        for attached in &mut self.connection.attached {
            attached.paused_until = attached.paused_until.map(|_| now);
        }
        let soon = now + self.dice.below(1_000);
        self.connection.connect_at = self.connection.connect_at.min(soon.max(self.connection.banished_until));
        self.connection.failures = self.connection.failures.min(1);
    }

    /// The account is another one now: nothing of the connections may be used.
    pub(in crate::clients) fn drop_connections(&mut self) {
        for socket in self.connection.sockets() {
            drop(self.detach(socket));
        }
        self.connection.moving = None;
        self.connection.connect_at = self.now;
    }
}
