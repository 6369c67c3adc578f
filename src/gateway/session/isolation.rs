//! One session's work, kept apart from everybody else's: a panic in it ends this session and nothing else.

use std::net::IpAddr;
use std::rc::Rc;

use super::Hub;
use crate::gateway::session::connection::Connection;
use crate::panics;
use crate::protocol::Close;

impl Hub {
    /// Does work for one session on behalf of others (a delivery, a timer). A session that is over is left alone.
    pub(super) fn for_one(&self, connection: &Rc<Connection>, work: impl FnOnce()) {
        if !connection.is_over() && panics::caught(work).is_err() {
            self.panicked(connection);
        }
    }

    /// Does work for one session in a task of its own.
    pub(super) fn spawn_for(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        work: impl Future<Output = ()> + 'static,
    ) {
        let (this, key) = (Rc::clone(self), connection.key());
        // Boxed before it is contained, so that it is not kept twice.
        let work = Box::pin(work);
        actix_rt::spawn(async move {
            if panics::contained(work).await.is_err() {
                let connection = this.registry.borrow().get(key);
                if let Some(connection) = connection {
                    this.panicked(&connection);
                }
            }
        });
    }

    /// A session's work ended in a panic. Its rules may be half carried out, so nothing is asked of them any more: the client is
    /// told to connect again, and the session's task takes it out of everything that knew of it.
    pub(in crate::gateway) fn panicked(&self, connection: &Rc<Connection>) {
        self.node.meters().faults.panics.of("session").increment(1);
        let now_ms = self.node.environment().monotonic_ms();
        self.node.offenders().note(connection.address, now_ms);
        self.close(connection, Close::Internal);
        // Once, without waiting: a client whose socket is full learns it from the end of the connection.
        connection.flush(now_ms);
        connection.end();
    }

    /// Whether the process has as many connections as it may have.
    pub(in crate::gateway) fn has_no_room(&self) -> bool {
        self.node.connections().is_full()
    }

    /// For how long connections from `address` are refused because they made this node panic again and again.
    pub(in crate::gateway) fn refused_ms(&self, address: IpAddr) -> Option<u64> {
        self.node.offenders().refused_ms(address, self.node.environment().monotonic_ms())
    }
}
