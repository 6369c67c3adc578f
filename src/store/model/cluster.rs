//! The primary, its replicas, and what becomes of them in a failover or a restore.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::copy::{Copy, Sight, Write};
use super::history::Commit;
use super::inspect::places;
use super::replica::Replica;
use super::state::State;
use super::warm::empty;
use crate::domain::{ConversationId, Seq};
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Error, Sql, statement, values};

/// What becomes of the connections to the server that was the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// They break.
    Gone,
    /// They still answer reads, from the old log, and refuse writes.
    ReadOnly,
}

/// The server that was the primary before.
#[derive(Debug)]
struct Demoted {
    copy: Copy,
    end: u64,
    /// Connections of this generation still reach it.
    generation: u64,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub primary: State,
    replicas: Vec<Replica>,
    demoted: Option<Demoted>,
    /// Counts the primaries.
    generation: u64,
    /// The epoch without the timeline.
    epoch: u64,
    timeline: u64,
}

/// The server that a connection to the primary reaches.
pub(super) enum Reached<'c> {
    Primary(&'c mut State),
    /// One that was the primary before, with what its statements see.
    Demoted(&'c mut Copy, Sight),
}

const NEW_EPOCH: Sql = statement!(sqlite: "INSERT OR REPLACE INTO meta (name, value) VALUES ('epoch', $1)");
const HIGHEST: Sql = statement!(sqlite:
    "SELECT max(coalesce((SELECT max(position) FROM events), 0), coalesce((SELECT max(changed_position) FROM members), 0), \
     coalesce((SELECT max(blanked_position) FROM conversations), 0))",
);

impl Cluster {
    pub(super) fn new(epoch: u64, idle_limit: Duration, now: Instant) -> sql::Result<Self> {
        let primary = State::new(empty()?, idle_limit);
        let mut cluster =
            Self { primary, replicas: Vec::new(), demoted: None, generation: 0, epoch, timeline: 1 };
        cluster.write_epoch(now)?;
        Ok(cluster)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// A replica that has everything so far.
    pub(super) fn add_replica(&mut self) -> sql::Result<usize> {
        let copy = Copy::of(self.primary.committed()?)?;
        self.replicas.push(Replica::new(copy, self.primary.history.len(), self.primary.end()));
        Ok(self.replicas.len() - 1)
    }

    /// The replica with what it has by now.
    pub(super) fn replica(&mut self, index: usize, now: Instant) -> sql::Result<&mut Replica> {
        let unknown = || Error::broken("there is no such replica");
        let replica = self.replicas.get_mut(index).ok_or_else(unknown)?;
        replica.follow(&self.primary.history, now)?;
        Ok(replica)
    }

    pub(super) fn reached(&mut self, generation: u64, clock_ms: i64) -> sql::Result<Reached<'_>> {
        if generation == self.generation {
            return Ok(Reached::Primary(&mut self.primary));
        }
        match &mut self.demoted {
            Some(demoted) if demoted.generation == generation => {
                let sight = Sight { position: 0, end: demoted.end, clock_ms };
                Ok(Reached::Demoted(&mut demoted.copy, sight))
            }
            _ => Err(Error::broken("the server was replaced by another")),
        }
    }

    /// A transaction of somebody else ends.
    pub(super) fn end_foreign(&mut self, generation: u64, number: u64, now: Instant) {
        if generation == self.generation {
            self.primary.end_foreign(number, now);
        }
    }

    /// The epoch, as a commit, so that replicas get it too.
    fn write_epoch(&mut self, now: Instant) -> sql::Result<()> {
        let epoch = self.epoch ^ (self.timeline << 20);
        let sight = Sight { position: 0, end: 0, clock_ms: 0 };
        let write = Write::new(NEW_EPOCH.model, values![epoch.cast_signed()], sight)?;
        self.primary.copy.repeat(std::slice::from_ref(&write))?;
        let end = self.primary.end();
        self.primary.history.push(Commit { at: now, position: None, writes: vec![write], end });
        Ok(())
    }

    /// A standby without the last `lost` commits becomes the primary. Its log goes on with the numbers after
    /// the last one that it has. Answers the events that are lost.
    pub(super) fn fail_over(
        &mut self,
        lost: usize,
        former: Former,
        now: Instant,
    ) -> sql::Result<Vec<(ConversationId, Seq)>> {
        self.timeline += 1;
        let kept = self.primary.history.without_last(lost);
        let next = self.primary.next_after(kept);
        self.replace(kept, former, next, self.primary.base(), now)
    }

    /// The log goes on from an earlier copy, on a server that counts transactions anew.
    pub(super) fn restore(
        &mut self,
        lost: usize,
        epoch: u64,
        now: Instant,
    ) -> sql::Result<Vec<(ConversationId, Seq)>> {
        (self.epoch, self.timeline) = (epoch, 1);
        let kept = self.primary.history.without_last(lost);
        let lost = self.replace(kept, Former::Gone, 1, self.primary.base(), now)?;
        let sight = Sight { position: 0, end: 0, clock_ms: 0 };
        let highest = self.primary.copy.rows(HIGHEST.model, &[], sight)?;
        let highest = highest.first().ok_or_else(Error::no_row)?.count(0)?;
        self.primary.raise_base(highest);
        Ok(lost)
    }

    /// Replaces the primary by one with the first `kept` entries of its history.
    fn replace(
        &mut self,
        kept: usize,
        former: Former,
        next: u64,
        base: u64,
        now: Instant,
    ) -> sql::Result<Vec<(ConversationId, Seq)>> {
        let (lags, old_end) =
            (self.replicas.iter().map(Replica::settings).collect::<Vec<_>>(), self.primary.end());
        let had = places(self.primary.committed()?)?;
        let whole = kept == self.primary.history.len();
        let copy = if whole { Copy::of(&self.primary.copy)? } else { self.primary.history.replayed(kept)? };
        let new = self.primary.successor(copy, kept, next, base);
        let old = std::mem::replace(&mut self.primary, new);
        self.demoted = (former == Former::ReadOnly).then(|| Demoted {
            copy: old.copy,
            end: old_end,
            generation: self.generation,
        });
        self.generation += 1;
        self.write_epoch(now)?;
        self.replicas.clear();
        for settings in lags {
            let index = self.add_replica()?;
            self.replicas[index].set(settings);
        }
        let has: HashSet<_> = places(&self.primary.copy)?.into_iter().collect();
        Ok(had.into_iter().filter(|place| !has.contains(place)).collect())
    }
}
