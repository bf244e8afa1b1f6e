//! Claim and complete per second, by batch, in one queue and among a million.
//!
//! Two loops run at a time, because one API process has two claim statements in flight. Each loop claims a batch and finishes it, with the
//! product's own statements. The commit of the claim and the commit of the finish both reach the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use protocol::{Qid, QueueName, Reason};
use sql::{ClaimGroup, ClaimKey, ClaimedRow, Db, FinishRow, Settings, Slot};

use crate::Arguments;
use crate::database::Database;
use crate::table::Table;

/// Loops that run at the same time.
const LOOPS: i64 = 2;

pub(crate) async fn measure(arguments: &Arguments, table: &mut Table) -> Result<()> {
    for n_queues in [1, arguments.queues] {
        let database = fill(arguments, n_queues).await?;
        for (case, batch) in [(0, 1), (1, 100), (2, 1000)] {
            // Start at queues that no earlier case has emptied.
            let first = case * n_queues / 6;
            let (n_jobs, elapsed) = drain(arguments, &database, (n_queues, first), batch).await?;
            let rate = n_jobs as f64 / elapsed.as_secs_f64();
            let reach = if batch == 1000 && n_queues == 1 {
                "10,000"
            } else if batch == 1000 {
                "within 10 % of one queue"
            } else {
                ""
            };
            let queues = if n_queues == 1 { "1 queue".to_owned() } else { format!("{n_queues} queues") };
            table.add(format!("claim + complete per second, batch {batch}, {queues}"), format!("{rate:.0}"), reach);
        }
        if n_queues > 1 {
            beside(arguments, &database, table).await?;
        }
        database.drop_now().await?;
    }
    Ok(())
}

/// Measures one deep queue in the database that also has the many queues. There is no checkpoint directly before it, because there is none
/// before the last case of one queue alone either: after a checkpoint, PostgreSQL writes every page of the large indexes whole to its log
/// when the page is first changed.
async fn beside(arguments: &Arguments, database: &Database, table: &mut Table) -> Result<()> {
    database.execute(&jobs_sql("'q0'", "'beside' || n", arguments.jobs)).await?;
    database.execute("vacuum analyze").await?;
    let (n_jobs, elapsed) = drain(arguments, database, (1, 0), 1000).await?;
    let rate = n_jobs as f64 / elapsed.as_secs_f64();
    let what = format!("claim + complete per second, batch 1000, 1 queue beside {} others", arguments.queues);
    table.add(what, format!("{rate:.0}"), "within 10 % of one queue");
    Ok(())
}

/// SQL that inserts waiting jobs. Their queue and id are SQL expressions of `n`.
fn jobs_sql(queue: &str, id: &str, n_jobs: i64) -> String {
    // A separate statement inserts the class, because the trigger would look it up for each of a million jobs.
    format!(
        "insert into asman.class (class, kind, cpus, gpus, memory_bytes, required_seconds, tags, labels)
         values (7, 'container', 1, 0, 0, 0, '{{}}', '{{executor:container}}') on conflict do nothing;
         set session_replication_role = replica;
         with jobs as (
           insert into asman.job (qid, job_id, definition_hash, class, max_seconds, is_true_id, namespaces)
           select asman.qid({queue}), encode(sha256(({id})::bytea), 'hex'), sha256('d'), 7, 60, false, '{{_}}'
           from generate_series(1, {n_jobs}) n returning *)
         insert into asman.queued (qid, class, priority, seq, job_key) select qid, class, priority, seq, key from jobs;
         set session_replication_role = default;
         insert into asman.waiting_class (qid, class, priority, seq)
         select q.qid, 7, 0, min(q.seq) from asman.queued q group by q.qid on conflict do nothing"
    )
}

/// Makes a database with waiting jobs: enough for all batches in one queue, or at least one in each of many queues.
async fn fill(arguments: &Arguments, n_queues: i64) -> Result<Database> {
    let database = Database::make(&arguments.database_url).await?;
    let n_jobs = n_queues.max(arguments.jobs * 3);
    database.execute("insert into asman.definition (hash, body) values (sha256('d'), '{\"image\":\"a\"}')").await?;
    database.execute(&jobs_sql(&format!("'q' || (n % {n_queues})"), "n::text", n_jobs)).await?;
    database.execute("vacuum analyze").await?;
    database.execute("checkpoint").await?;
    Ok(database)
}

/// Claims and finishes until the case's jobs or its time are used up.
async fn drain(arguments: &Arguments, database: &Database, (n_queues, first): (i64, i64), batch: u32) -> Result<(i64, Duration)> {
    let done = Arc::new(AtomicI64::new(0));
    let start = Instant::now();
    let end = start + Duration::from_secs(arguments.seconds);
    let mut loops = Vec::new();
    for number in 0..LOOPS {
        let db = Db::new(&database.url, &Settings::default())?;
        let (done, n_jobs) = (Arc::clone(&done), arguments.jobs);
        loops.push(tokio::spawn(async move {
            // Each loop goes through its own queues, which no earlier case has used.
            let mut next = first + number * n_queues / LOOPS;
            while Instant::now() < end && done.load(Ordering::Relaxed) < n_jobs {
                let rows = db.claim(&wants(n_queues, &mut next, batch)).await?;
                let finishes: Vec<_> = rows.iter().map(finish_of).collect();
                db.finish(&finishes).await?;
                done.fetch_add(i64::try_from(rows.len()).unwrap_or(0), Ordering::Relaxed);
            }
            anyhow::Ok(())
        }));
    }
    for one in loops {
        one.await??;
    }
    Ok((done.load(Ordering::Relaxed), start.elapsed()))
}

fn wants(n_queues: i64, next: &mut i64, batch: u32) -> Vec<ClaimGroup> {
    let slot = Slot { worker_id: "w".into(), cpus: 1e9, gpus: 0, memory_bytes: 0 };
    let want = |n: i64, n_slots: u32| ClaimGroup {
        qid: qid(n % n_queues),
        labels: vec!["executor:container".into()],
        max_seconds: 60,
        slots: vec![slot.clone(); n_slots as usize],
    };
    if n_queues == 1 {
        return vec![want(0, batch)];
    }
    let wants = (*next..*next + i64::from(batch)).map(|n| want(n, 1)).collect();
    *next += i64::from(batch);
    wants
}

fn qid(n: i64) -> Qid {
    format!("q{n}").parse::<QueueName>().map(|queue| queue.qid()).unwrap_or_default()
}

fn finish_of(row: &ClaimedRow) -> FinishRow {
    FinishRow {
        key: ClaimKey { qid: row.qid, job_id: row.job_id.clone(), epoch: row.epoch },
        reason: Reason::Success,
        code: None,
        fault: None,
        message: None,
        status_code: Some(0),
        duration_ms: Some(1.0),
        result: r#"{"outputs":{},"isTimedOut":false}"#.into(),
    }
}
