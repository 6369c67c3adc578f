//! The state of the primary: its open transactions, their numbers and the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::copy::{Copy, Sight, Write};
use super::history::{Commit, History};
use crate::store::sql::{self, Error, Value};
use crate::store::sqlite::row::Row;

/// A connection of a process, with its open transaction if there is one.
#[derive(Debug)]
pub(super) struct Session {
    pub process: u64,
    /// The number of its transaction, once it has one.
    number: Option<u64>,
    /// Several statements, until a commit.
    explicit: bool,
    writes: Vec<Write>,
    /// The server has what it needs to commit by then, whether or not the process still waits.
    commits_at: Option<Instant>,
    /// Its process has gone.
    gone: bool,
    /// When the server heard of it last.
    heard_at: Instant,
}

/// What a statement needs before it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// The transaction's number.
    pub number: bool,
    /// The lock, until the end of the transaction.
    pub lock: bool,
}

impl Need {
    pub(super) const ALL: Self = Self { number: true, lock: true };
}

/// Whether a session got the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Mine,
    /// Another has it, until this moment at most.
    Wait(Instant),
}

#[derive(Debug)]
pub(super) struct State {
    pub copy: Copy,
    pub history: History,
    sessions: BTreeMap<u64, Session>,
    opened: u64,
    next: u64,
    base: u64,
    /// Numbers of transactions that have not ended, also those of nobody's session.
    running: BTreeSet<u64>,
    holder: Option<u64>,
    /// The copy is inside a transaction with all that the holder has written so far.
    applied: bool,
    /// A session in a transaction that is silent for longer is ended.
    idle_limit: Duration,
    /// The lock was released since this was last asked.
    released: bool,
    /// What each statement needs, by the address of its text.
    needs: BTreeMap<usize, Need>,
}

impl State {
    pub(super) fn new(copy: Copy, idle_limit: Duration) -> Self {
        let (history, opened, next, base) = (History::default(), 0, 1, 0);
        Self {
            copy,
            history,
            sessions: BTreeMap::new(),
            opened,
            next,
            base,
            running: BTreeSet::new(),
            holder: None,
            applied: false,
            idle_limit,
            released: false,
            needs: BTreeMap::new(),
        }
    }

    /// A server that goes on with the first `kept` entries of the history, which `copy` has. No session
    /// survives.
    pub(super) fn successor(&mut self, copy: Copy, kept: usize, next: u64, base: u64) -> Self {
        let history = self.history.first(kept);
        Self { history, opened: self.opened, next, base, ..Self::new(copy, self.idle_limit) }
    }

    /// The copy with all that is committed, and nothing else.
    pub(super) fn committed(&mut self) -> sql::Result<&Copy> {
        if std::mem::take(&mut self.applied) {
            self.copy.roll_back()?;
        }
        Ok(&self.copy)
    }

    /// The first number after all that are in the first `kept` entries of the history.
    pub(super) fn next_after(&self, kept: usize) -> u64 {
        self.history.highest(kept).max(self.base) - self.base + 1
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn raise_base(&mut self, to: u64) {
        self.base = self.base.max(to);
    }

    /// Opens a session; returns its number.
    pub(super) fn open(&mut self, process: u64, now: Instant) -> u64 {
        self.opened += 1;
        let session = Session {
            process,
            number: None,
            explicit: false,
            writes: Vec::new(),
            commits_at: None,
            gone: false,
            heard_at: now,
        };
        self.sessions.insert(self.opened, session);
        self.opened
    }

    fn session(&mut self, id: u64) -> sql::Result<&mut Session> {
        self.sessions.get_mut(&id).ok_or_else(|| Error::broken("the server has closed the connection"))
    }

    pub(super) fn hear(&mut self, id: u64, now: Instant) -> sql::Result<()> {
        self.session(id)?.heard_at = now;
        Ok(())
    }

    pub(super) fn begin(&mut self, id: u64) -> sql::Result<()> {
        self.session(id)?.explicit = true;
        Ok(())
    }

    pub(super) fn explicit(&self, id: u64) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.explicit)
    }

    pub(super) fn need(&mut self, text: &'static str) -> sql::Result<Need> {
        let address = text.as_ptr().addr();
        if let Some(known) = self.needs.get(&address) {
            return Ok(*known);
        }
        let lock = !self.copy.only_reads(text)? || text.contains("/* lock */");
        let need = Need { number: lock || text.contains("tidings_position()"), lock };
        self.needs.insert(address, need);
        Ok(need)
    }

    /// Gives the transaction its number.
    pub(super) fn number(&mut self, id: u64) -> sql::Result<()> {
        let next = self.next;
        let session = self.session(id)?;
        if session.number.is_none() {
            session.number = Some(next);
            self.next += 1;
            self.running.insert(next);
        }
        Ok(())
    }

    pub(super) fn holds(&self, id: u64) -> bool {
        self.holder == Some(id)
    }

    pub(super) fn lock(&mut self, id: u64) -> sql::Result<Turn> {
        self.session(id)?;
        match self.holder {
            None => {
                self.holder = Some(id);
                Ok(Turn::Mine)
            }
            Some(holder) if holder == id => Ok(Turn::Mine),
            Some(holder) => {
                let limit = self.idle_limit;
                let holder = self.session(holder)?;
                Ok(Turn::Wait(holder.commits_at.unwrap_or(holder.heard_at + limit)))
            }
        }
    }

    /// The lowest transaction number that is not decided.
    fn end_number(&self) -> u64 {
        self.running.first().copied().unwrap_or(self.next)
    }

    pub(super) fn end(&self) -> u64 {
        self.base + self.end_number()
    }

    /// The positions of open transactions, and the next one.
    pub(super) fn running(&self) -> (Vec<u64>, u64) {
        (self.running.iter().map(|number| self.base + number).collect(), self.base + self.next)
    }

    fn sight(&self, id: u64, clock_ms: i64) -> Sight {
        let number = self.sessions.get(&id).and_then(|session| session.number);
        Sight { position: number.map_or(0, |number| self.base + number), end: self.end(), clock_ms }
    }

    /// Runs a statement as the session sees the database: with its own writes, and none of other open
    /// transactions.
    fn look(&mut self, id: u64) -> sql::Result<()> {
        let mine = self.holder == Some(id);
        if self.applied && !mine {
            self.copy.roll_back()?;
            self.applied = false;
        } else if mine && !self.applied {
            self.copy.begin()?;
            self.applied = true;
            let writes = self.sessions.get(&id).map_or(&[][..], |session| &session.writes);
            self.copy.repeat(writes)?;
        }
        Ok(())
    }

    pub(super) fn rows(
        &mut self,
        id: u64,
        text: &'static str,
        values: &[Value<'_>],
        clock_ms: i64,
    ) -> sql::Result<Vec<Row>> {
        self.look(id)?;
        let sight = self.sight(id, clock_ms);
        let rows = self.copy.rows(text, values, sight).map_err(Error::answered)?;
        self.note(id, text, values, sight)?;
        Ok(rows)
    }

    pub(super) fn execute(
        &mut self,
        id: u64,
        text: &'static str,
        values: &[Value<'_>],
        clock_ms: i64,
    ) -> sql::Result<u64> {
        self.look(id)?;
        let sight = self.sight(id, clock_ms);
        let changed = self.copy.execute(text, values, sight).map_err(Error::answered)?;
        self.note(id, text, values, sight)?;
        Ok(changed)
    }

    fn note(&mut self, id: u64, text: &'static str, values: &[Value<'_>], sight: Sight) -> sql::Result<()> {
        if self.copy.only_reads(text)? {
            return Ok(());
        }
        let write = Write::new(text, values, sight)?;
        self.session(id)?.writes.push(write);
        Ok(())
    }

    /// The session's transaction commits at this moment, even if its process goes away.
    pub(super) fn commit_at(&mut self, id: u64, at: Instant) -> sql::Result<()> {
        self.session(id)?.commits_at = Some(at);
        Ok(())
    }

    /// Commits now, unless that has happened already.
    pub(super) fn commit(&mut self, id: u64, now: Instant) -> sql::Result<()> {
        let session = self.session(id)?;
        session.explicit = false;
        session.commits_at = None;
        let gone = session.gone;
        let (number, writes) = (session.number.take(), std::mem::take(&mut session.writes));
        if self.holder == Some(id) {
            if !writes.is_empty() && !self.applied {
                self.copy.begin()?;
                self.copy.repeat(&writes)?;
                self.applied = true;
            }
            if self.applied {
                self.copy.commit()?;
                self.applied = false;
            }
            self.release();
        }
        self.ended(number, writes, now);
        if gone {
            self.sessions.remove(&id);
        }
        Ok(())
    }

    /// Rolls the session's transaction back.
    pub(super) fn roll_back(&mut self, id: u64, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.explicit = false;
        session.commits_at = None;
        session.writes.clear();
        let number = session.number.take();
        if self.holder == Some(id) {
            if std::mem::take(&mut self.applied) {
                // The next statement fails if this does.
                let _ = self.copy.roll_back();
            }
            self.release();
        }
        self.ended(number, Vec::new(), now);
    }

    fn release(&mut self) {
        self.holder = None;
        self.released = true;
    }

    /// Whether the lock was released since this was last asked.
    pub(super) fn take_released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    fn ended(&mut self, number: Option<u64>, writes: Vec<Write>, at: Instant) {
        if let Some(number) = number {
            self.running.remove(&number);
            let position = Some(self.base + number);
            self.history.push(Commit { at, position, writes, end: self.end() });
        }
    }

    /// The process closes the session, or has gone. What the server was about to commit is committed.
    pub(super) fn close(&mut self, id: u64, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.gone = true;
        if session.commits_at.is_some() {
            return;
        }
        self.roll_back(id, now);
        self.sessions.remove(&id);
    }

    /// The process has gone.
    pub(super) fn disconnect(&mut self, process: u64, now: Instant) {
        let of = self.sessions.iter().filter(|(_, session)| session.process == process);
        for id in of.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close(id, now);
        }
    }

    /// Does what is due: commits, and the end of sessions that are silent inside a transaction.
    pub(super) fn settle(&mut self, now: Instant) -> sql::Result<()> {
        if let Some(holder) = self.holder
            && let Some(at) = self.session(holder)?.commits_at
            && at <= now
        {
            self.commit(holder, at)?;
        }
        let limit = self.idle_limit;
        let silent = |session: &Session| {
            session.explicit && session.commits_at.is_none() && session.heard_at + limit <= now
        };
        let silent = self.sessions.iter().filter(|(_, session)| silent(session)).map(|(id, _)| *id);
        for id in silent.collect::<Vec<_>>() {
            self.close(id, now);
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, by: u64) {
        self.base += by;
    }

    /// A transaction of somebody else takes a number.
    pub(super) fn begin_foreign(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.running.insert(number);
        number
    }

    pub(super) fn end_foreign(&mut self, number: u64, now: Instant) {
        self.ended(Some(number), Vec::new(), now);
    }
}
