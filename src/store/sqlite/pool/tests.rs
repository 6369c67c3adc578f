use std::path::PathBuf;
use std::sync::mpsc as blocking;

use metrics::Gauge;

use super::*;
use crate::environment::SystemEnvironment;
use crate::store::shared::columns::Columns;
use crate::store::sql;
use crate::store::sqlite::connection::Connection;
use crate::store::sqlite::worker::Watched;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);
/// Counts to a number that takes practically forever.
const ENDLESS: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0";

fn pool(threads: usize, most_waiting: usize) -> Pool {
    let connect = |watched: &Watched| {
        let raw = rusqlite::Connection::open(PathBuf::from(":memory:"))?;
        let watched = watched.clone();
        raw.progress_handler(1_000, Some(move || watched.given_up()))?;
        Ok::<_, sql::Error>(Connection::new(raw))
    };
    let connect: Arc<Connect> = Arc::new(connect);
    Pool::start("test", threads, most_waiting, &connect, &SystemEnvironment::shared(), Gauge::noop()).unwrap()
}

/// Keeps the only thread of a pool busy until the sender is dropped.
async fn busy(pool: &Arc<Pool>) -> blocking::Sender<()> {
    let (held, hold) = blocking::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let theirs = Arc::clone(pool);
    tokio::spawn(async move {
        let work = move |_: &Worker, _: &Phase| {
            let _ = begun.send(());
            let _ = hold.recv();
            Ok(())
        };
        theirs.call(LONG, Purpose::Write, work).await
    });
    begins.await.unwrap();
    held
}

/// Runs one statement in one transaction; returns its number, if any.
async fn run(pool: &Pool, limit: Duration, purpose: Purpose, text: &'static str) -> Result<i64, StoreError> {
    pool.call(limit, purpose, move |worker, phase| one(worker, phase, purpose, text)).await
}

fn one(worker: &Worker, phase: &Phase, purpose: Purpose, text: &'static str) -> Result<i64, StoreError> {
    at_once(async {
        let mut transaction = sql::Transactions::begin(&worker, purpose).await?;
        let worked = sql::Transaction::connection(&mut transaction).rows(text, &[]);
        let worked = worked.and_then(|rows| rows.first().map_or(Ok(0), |row| row.int(0)));
        let done = sql::Transaction::finish(transaction, worked.map_err(sql::Stop::from), phase).await?;
        Ok(done.unwrap())
    })
}

#[tokio::test]
async fn a_full_queue_turns_away_and_nothing_is_done() {
    let pool = Arc::new(pool(1, 2));
    let held = busy(&pool).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let theirs = Arc::clone(&pool);
        waiting.push(tokio::spawn(async move { theirs.call(LONG, Purpose::Write, |_, _| Ok(7)).await }));
    }
    while pool.shared.queue().jobs.len() < 2 {
        tokio::task::yield_now().await;
    }
    let turned_away = pool.call(LONG, Purpose::Write, |_, _| Ok(7)).await;
    assert!(matches!(&turned_away, Err(StoreError::Overloaded)), "{turned_away:?}");
    assert!(turned_away.unwrap_err().is_definite());
    drop(held);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap(), 7);
    }
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_begun() {
    let pool = Arc::new(pool(1, 8));
    let held = busy(&pool).await;
    let (begun, begins) = blocking::channel();
    let late = begun.clone();
    let work = move |_: &Worker, _: &Phase| Ok(late.send("late").is_ok());
    assert!(pool.call(SHORT, Purpose::Write, work).await.unwrap_err().is_definite());
    let gone = pool.call(LONG, Purpose::Write, move |_, _| Ok(begun.send("gone").is_ok()));
    assert!(tokio::time::timeout(SHORT, gone).await.is_err());
    drop(held);
    pool.call(LONG, Purpose::Write, |_, _| Ok(())).await.unwrap();
    assert!(begins.try_recv().is_err());
}

#[tokio::test]
async fn a_read_that_is_late_or_not_waited_for_frees_its_thread() {
    let pool = pool(1, 8);
    assert!(run(&pool, SHORT, Purpose::Read, ENDLESS).await.unwrap_err().is_definite());
    assert!(tokio::time::timeout(SHORT, run(&pool, LONG, Purpose::Read, ENDLESS)).await.is_err());
    run(&pool, LONG, Purpose::Read, "SELECT 1").await.expect("the thread is free");
}

#[tokio::test]
async fn a_write_that_is_late_is_undone_and_one_whose_caller_has_gone_is_done() {
    let pool = pool(1, 8);
    run(&pool, LONG, Purpose::Write, "CREATE TABLE t (i)").await.unwrap();
    const LATE: &str =
        "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    assert!(run(&pool, SHORT, Purpose::Write, LATE).await.unwrap_err().is_definite());
    const BEGUN: &str = "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) SELECT i FROM n";
    let (begun, begins) = oneshot::channel();
    let abandoned = pool.call(LONG, Purpose::Write, |worker, phase| {
        let _ = begun.send(());
        one(worker, phase, Purpose::Write, BEGUN)
    });
    tokio::select! {
        _ = abandoned => panic!("it takes longer"),
        _ = begins => {}
    }
    assert_eq!(run(&pool, LONG, Purpose::Read, "SELECT count(*) FROM t").await.unwrap(), 200_000);
}

#[tokio::test]
async fn a_panic_leaves_nobody_waiting() {
    let pool = Arc::new(pool(1, 8));
    let held = busy(&pool).await;
    let theirs = Arc::clone(&pool);
    let waiting = tokio::spawn(async move { theirs.call(LONG, Purpose::Write, |_, _| Ok(())).await });
    while pool.shared.queue().jobs.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(waiting);
    let panics = pool.call(LONG, Purpose::Write, |_, _| -> Result<(), _> { panic!("a fault") });
    let (panics, ()) = tokio::join!(panics, async { drop(held) });
    assert!(panics.unwrap_err().is_definite());
    pool.close().await;
    assert!(pool.call(LONG, Purpose::Write, |_, _| Ok(())).await.unwrap_err().is_definite());
}
