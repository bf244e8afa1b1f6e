//! What a watcher of a queue reads: each change once, independent of the database's other work.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use migrations::testing::{TestDatabase, with_jobs};
use protocol::QueueName;
use sql::{Db, EventCursor, Settings};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

const XID: &str = "select pg_current_xact_id()";

fn events(n: u32) -> AssertSqlSafe<String> {
    let rows = format!(
        "select asman.qid('q') as qid, gen_random_uuid()::text as job_id, 7 as class, 1 as cpus, '{{}}' as tags from generate_series(1, {n})"
    );
    AssertSqlSafe(with_jobs(&rows) + "insert into asman.event (qid, job_keys, kind) select qid, array[key], 'queued' from jobs")
}

/// Reads to the end. Returns the number of rows, the number of pages, and the cursor behind them.
async fn read_all(db: &Db, from: EventCursor) -> (usize, usize, EventCursor) {
    let (mut cursors, mut n, mut pages, mut seen) = (vec![from.clone()], 0, 0, from);
    while !cursors.is_empty() {
        let changes = db.changed_jobs(&cursors).await.unwrap();
        n += changes.rows.len();
        pages += 1;
        cursors = changes.rest;
        seen = changes.seen.into_iter().next().unwrap_or(seen);
    }
    (n, pages, seen)
}

#[tokio::test]
async fn changes_are_read_once_while_a_writing_transaction_stays_open_and_its_own_when_it_ends() {
    let database = TestDatabase::new().await;
    let qid = "q".parse::<QueueName>().unwrap().qid();
    let db = Db::new(&database.url, &Settings::default()).unwrap();
    let mut idle = PgConnection::connect(&database.url).await.unwrap();
    let mut writer = PgConnection::connect(&database.url).await.unwrap();
    idle.execute("begin").await.unwrap();
    idle.execute(XID).await.unwrap();
    let start = db.event_horizon(qid).await.unwrap();
    writer.execute(events(5_000)).await.unwrap();
    let (n, pages, seen) = read_all(&db, start).await;
    assert_eq!((n, pages), (5_000, 3));
    let (n, pages, seen) = read_all(&db, seen).await;
    assert_eq!((n, pages), (0, 1), "what was read is not read again, even if no order is final yet");
    writer.execute(events(1)).await.unwrap();
    let (n, _, seen) = read_all(&db, seen).await;
    assert_eq!(n, 1);
    idle.execute(events(3)).await.unwrap();
    assert_eq!(read_all(&db, seen.clone()).await.0, 0);
    idle.execute("commit").await.unwrap();
    let (n, _, seen) = read_all(&db, seen).await;
    assert_eq!(n, 3, "changes of the older transaction come when it ends");
    assert_eq!(read_all(&db, seen).await.0, 0);
}

#[tokio::test]
async fn the_transaction_that_holds_events_back_is_named() {
    let database = TestDatabase::new().await;
    let db = Db::new(&database.url, &Settings::default()).unwrap();
    let mut idle = PgConnection::connect(&database.url).await.unwrap();
    idle.execute("begin").await.unwrap();
    idle.execute(XID).await.unwrap();
    let holder = db.oldest_writer().await.unwrap().expect("a transaction writes");
    assert!(holder.pid > 0 && holder.age_seconds.is_some_and(|age| age >= 0.0), "{holder:?}");
}
