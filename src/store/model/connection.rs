//! A connection of a process: every call is one round trip, whose fate is asked first.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::time::sleep_until;

use super::cluster::Reached;
use super::fates::{Delays, Destination, Fate, Fates, RoundTrip, Trip, TripOutcome};
use super::inside::Inside;
use super::journal;
use super::server::{ModelServer, now, pass};
use super::state::{Need, State};
use crate::domain::Position;
use crate::store::pooled::{Answer, Call, Control, Link};
use crate::store::sql::journal::{Journal, Recorder, Written};
use crate::store::sql::{self, Batch, Error, Sql, Value};
use crate::store::sqlite::append;
use crate::store::sqlite::row::Row;
use crate::store::{Running, StoreError};

/// How the connections of one pool are opened.
#[derive(Debug, Clone)]
pub(in crate::store) struct Connector {
    pub server: Arc<ModelServer>,
    pub process: u64,
    pub fates: Arc<dyn Fates>,
    pub to: Destination,
}

#[derive(Debug)]
pub(in crate::store) struct Connection {
    connector: Connector,
    session: u64,
    /// The primary that it was opened to.
    generation: u64,
    broken: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connector.server.with(|cluster, now| cluster.primary.close(self.session, now));
    }
}

/// What a connection that broke answers.
fn broken() -> Error {
    Error::broken("the connection broke")
}

impl Connection {
    fn round_trip(&self, trip: Trip) -> RoundTrip {
        RoundTrip { process: self.connector.process, connection: self.session, to: self.connector.to, trip }
    }

    /// Work on the primary that the connection was opened to.
    fn primary<T>(&self, work: impl FnOnce(&mut State) -> sql::Result<T>) -> sql::Result<T> {
        self.inside(0, |inside| work(inside.primary()?))
    }

    /// Work on the server that the connection reaches.
    fn inside<T>(
        &self,
        clock_ms: i64,
        work: impl FnOnce(&mut Inside<'_>) -> sql::Result<T>,
    ) -> sql::Result<T> {
        self.connector.server.with(|cluster, now| {
            if let Destination::Replica(index) = self.connector.to {
                let replica = cluster.replica(index, now)?;
                let sight = replica.sight(clock_ms);
                return work(&mut Inside::Reading(&mut replica.copy, sight));
            }
            match cluster.reached(self.generation, clock_ms)? {
                Reached::Primary(state) => {
                    state.hear(self.session, now)?;
                    work(&mut Inside::Primary(state, self.session, clock_ms))
                }
                Reached::Demoted(copy, sight) => work(&mut Inside::Reading(copy, sight)),
            }
        })
    }

    /// Gives up the connection; its transaction is rolled back.
    fn lose(&mut self) -> Error {
        self.broken = true;
        self.connector.server.with(|cluster, now| cluster.primary.close(self.session, now));
        broken()
    }

    fn roll_back(&self) {
        self.connector.server.with(|cluster, now| cluster.primary.roll_back(self.session, now));
    }

    /// One round trip: asks for its fate and carries it out. `work` runs at the server.
    async fn go<T>(
        &mut self,
        trip: Trip,
        need: Need,
        work: impl FnOnce(&mut Inside<'_>) -> sql::Result<T>,
    ) -> sql::Result<T> {
        if self.broken {
            return Err(broken());
        }
        let round_trip = self.round_trip(trip);
        let fates = Arc::clone(&self.connector.fates);
        let failed = |delays: Delays| {
            fates.happened(&round_trip, TripOutcome::Failed);
            pass(delays.answer)
        };
        match fates.fate(&round_trip) {
            Fate::Answer(delays) => {
                let answer = self.served(trip, need, delays, work).await;
                fates.happened(
                    &round_trip,
                    if answer.is_ok() { TripOutcome::Done } else { TripOutcome::Failed },
                );
                pass(delays.answer).await;
                answer
            }
            Fate::Lose(delays) => {
                let answer = self.served(trip, need, delays, work).await;
                fates.happened(
                    &round_trip,
                    if answer.is_ok() { TripOutcome::Done } else { TripOutcome::Failed },
                );
                pass(delays.answer).await;
                Err(self.lose())
            }
            Fate::HangDone(delays) => {
                let answer = self.served(trip, need, delays, work).await;
                fates.happened(
                    &round_trip,
                    if answer.is_ok() { TripOutcome::Done } else { TripOutcome::Failed },
                );
                std::future::pending().await
            }
            Fate::Hang => std::future::pending().await,
            Fate::Break(delays) => {
                pass(delays.request).await;
                failed(delays).await;
                Err(self.lose())
            }
            Fate::Conflict(delays) => {
                pass(delays.request).await;
                self.roll_back();
                failed(delays).await;
                Err(Error::conflict())
            }
            Fate::ReadOnly(delays) => {
                pass(delays.request).await;
                self.roll_back();
                failed(delays).await;
                Err(Error::read_only())
            }
        }
    }

    /// What the server does.
    async fn served<T>(
        &mut self,
        trip: Trip,
        need: Need,
        delays: Delays,
        work: impl FnOnce(&mut Inside<'_>) -> sql::Result<T>,
    ) -> sql::Result<T> {
        pass(delays.request).await;
        let (session, server) = (self.session, Arc::clone(&self.connector.server));
        if need.number {
            self.primary(|state| state.number(session))?;
        }
        if need.lock && !self.primary(|state| Ok(state.holds(session)))? {
            pass(delays.queue).await;
            server.locked(session).await?;
        }
        if !trip.commits() {
            pass(delays.work).await;
            return self.inside(server.clock_ms(), work);
        }
        // From here on the server commits, even if the process no longer waits.
        let at = now() + delays.work;
        let done = self.inside(server.clock_ms(), |inside| {
            let done = work(inside)?;
            inside.primary()?.commit_at(session, at)?;
            Ok(done)
        });
        if done.is_err() {
            self.roll_back();
            return done;
        }
        if !delays.work.is_zero() {
            sleep_until(at).await;
        }
        // It may have been committed already, by another caller that came first at that round trip. A server
        // that was demoted after that closes the connection instead of an answer, so nobody knows.
        if self.primary(|state| state.commit(session, at)).is_err() {
            return Err(self.lose());
        }
        done
    }

    async fn statement<T>(
        &mut self,
        text: &'static str,
        work: impl FnOnce(&mut Inside<'_>) -> sql::Result<T>,
    ) -> sql::Result<T> {
        let need = self.connector.server.with(|cluster, _| cluster.primary.need(text))?;
        let trip = match (need.number || need.lock, self.explicit()) {
            (false, _) => Trip::Read(text),
            (true, true) => Trip::Write(text),
            (true, false) => Trip::WriteAndCommit(text),
        };
        self.go(trip, need, work).await
    }

    fn explicit(&self) -> bool {
        self.connector.server.with(|cluster, _| cluster.primary.explicit(self.session))
    }

    /// A function of the database that writes.
    async fn function<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Inside<'_>) -> sql::Result<T>,
    ) -> sql::Result<T> {
        let trip = if self.explicit() { Trip::Write(name) } else { Trip::WriteAndCommit(name) };
        self.go(trip, Need::ALL, work).await
    }
}

/// The result of work that never waits.
fn at_once<T>(work: impl Future<Output = sql::Result<T>>) -> sql::Result<T> {
    work.now_or_never().unwrap_or_else(|| Err(Error::impossible("a function of the database that waits")))
}

impl sql::Connection for Connection {
    type Row = Row;

    async fn all(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        let text = sql.model;
        self.statement(text, |inside| inside.rows(text, values)).await
    }

    async fn optional(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Option<Row>> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    async fn run(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<u64> {
        let text = sql.model;
        self.statement(text, |inside| inside.execute(text, values)).await
    }

    async fn each(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        let text = sql.model;
        self.statement(text, |inside| inside.each(text, values)).await
    }

    async fn batch(&mut self, batch: &Batch, values: &[Value<'_>]) -> sql::Result<()> {
        let Some(first) = batch.model.first() else { return Ok(()) };
        self.statement(first, |inside| inside.batch(batch.model, values)).await
    }
}

impl Recorder for Connection {
    async fn write(&mut self, journal: &Journal) -> sql::Result<Option<Written>> {
        self.function("record", |inside| at_once(journal::record(inside, journal))).await
    }
}

impl Link for Connection {
    type Connector = Connector;

    async fn connect(connector: &Connector) -> Result<Self, StoreError> {
        let (session, generation) = connector
            .server
            .with(|cluster, now| (cluster.primary.open(connector.process, now), cluster.generation()));
        let connector = connector.clone();
        let mut connection = Self { connector, session, generation, broken: false };
        let connected = connection.go(Trip::Connect, Need::default(), |_| Ok(())).await;
        connected.map_err(|error| error.before_commit())?;
        Ok(connection)
    }

    async fn ping(&mut self) -> bool {
        self.go(Trip::Ping, Need::default(), |_| Ok(())).await.is_ok()
    }

    async fn control(&mut self, control: Control) -> sql::Result<()> {
        let session = self.session;
        match control {
            Control::Begin => {
                // A server that only reads has nothing to begin.
                let begin = |inside: &mut Inside<'_>| match inside {
                    Inside::Primary(state, ..) => state.begin(session),
                    Inside::Reading(..) => Ok(()),
                };
                self.go(Trip::Begin, Need::default(), begin).await
            }
            Control::Commit => self.go(Trip::Commit, Need::default(), |_| Ok(())).await,
            Control::Rollback => {
                let roll_back = |inside: &mut Inside<'_>| {
                    if let Inside::Primary(state, ..) = inside {
                        state.roll_back(session, now());
                    }
                    Ok(())
                };
                self.go(Trip::Rollback, Need::default(), roll_back).await
            }
        }
    }

    fn prepared(&self) -> bool {
        true
    }

    async fn append(&mut self, call: &Call<'_>) -> sql::Result<Answer> {
        let batch: Vec<_> = call.entries.iter().map(|entry| entry.new.clone()).collect();
        let (rosters, terms) = (call.cache.clone(), append::Terms { now: call.now, consent: call.consent });
        let appended = |inside: &mut Inside<'_>| at_once(append::attempt(inside, &rosters, &batch, terms));
        let done = self.function("append", appended).await?;
        Ok(Answer { answers: done.answers, rosters: done.rosters })
    }

    async fn running(&mut self) -> sql::Result<Running> {
        let work = |inside: &mut Inside<'_>| {
            let (numbers, next) = inside.primary()?.running();
            let numbers = numbers.into_iter().map(Position).collect();
            Ok(Running { numbers, next: Position(next) })
        };
        self.go(Trip::Read("running"), Need::default(), work).await
    }

    async fn close(self) {}
}
