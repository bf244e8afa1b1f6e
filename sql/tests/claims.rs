//! Claims, finishes and sweeps that happen at the same time.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::HashSet;
use std::time::Duration;

use migrations::testing::TestDatabase;
use protocol::{JobState, ParsedDefinition, Qid, QueueName, Reason};
use sql::{CancelOutcome, ClaimGroup, ClaimKey, ClaimedRow, Db, FinishRow, Settings, Slot, Submission, SubmitOutcome};
use sqlx::{Connection, Executor, PgConnection};

/// Long enough for a claim and a sweep after it.
const LEASE: Duration = Duration::from_secs(3);

/// Waits: nothing is swept within a lease of the server's start, and a run of few tests may begin right after that start.
const UNTIL_IT_IS_OLD: &str =
    "select pg_sleep(extract(epoch from greatest(interval '0', pg_postmaster_start_time() + interval '3.1 seconds' - now())))";

/// Lets a lease's time pass.
const AGE_CLAIMS: &str = "update asman.running set claimed_at = now() - interval '31 seconds'";

fn queue(name: &str) -> Qid {
    name.parse::<QueueName>().unwrap().qid()
}

fn submission(qid: Qid, n: usize, more: &str) -> Submission {
    let text = format!(r#"{{"image":"a","command":"echo {n}"{more}}}"#);
    let definition = ParsedDefinition::parse(&text).unwrap();
    let (job_id, sent_id) = (definition.job_id.as_str().to_owned(), definition.job_id.as_str().to_owned());
    let max_duration = Duration::from_mins(1);
    Submission {
        qid,
        job_id,
        sent_id,
        definition,
        namespace: "_".into(),
        max_duration,
        is_debug: false,
        callbacks: None,
        is_again: false,
    }
}

async fn outcomes(db: &Db, batch: &[Submission]) -> Vec<SubmitOutcome> {
    db.submit(batch).await.unwrap().into_iter().map(|submitted| submitted.outcome).collect()
}

fn group(qid: Qid, worker: &str, slots: usize) -> ClaimGroup {
    let slot = Slot { worker_id: worker.into(), cpus: 1e6, gpus: 8, memory_bytes: 1 << 40 };
    ClaimGroup { qid, labels: vec!["executor:container".into()], max_seconds: 3600, slots: vec![slot; slots] }
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

async fn open() -> (Db, TestDatabase) {
    let database = TestDatabase::new().await;
    (Db::new(&database.url, &Settings::default()).unwrap(), database)
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_of_claimers_take_ten_thousand_jobs_once_each() {
    let (db, database) = open().await;
    let qid = queue("q");
    let all: Vec<Submission> = (0..10_000).map(|n| submission(qid, n, "")).collect();
    for batch in all.chunks(500) {
        assert!(outcomes(&db, batch).await.iter().all(|outcome| *outcome == SubmitOutcome::New));
    }
    let claimers = (0..8).map(|process| {
        let url = database.url.clone();
        tokio::spawn(async move {
            // Each task has its own pools, like a separate process.
            let db = Db::new(&url, &Settings { connections_max: 2, ..Settings::default() }).unwrap();
            let mut mine = Vec::new();
            loop {
                let rows = db.claim(&[group(qid, &format!("worker-{process}"), 7 + process)]).await.unwrap();
                if rows.is_empty() {
                    return mine;
                }
                let finishes: Vec<_> = rows.iter().map(finish_of).collect();
                assert_eq!(db.finish(&finishes).await.unwrap().len(), rows.len());
                mine.extend(rows.into_iter().map(|row| row.job_id));
            }
        })
    });
    let taken: Vec<String> = futures_util::future::join_all(claimers).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(taken.len(), 10_000, "none twice, none lost");
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 10_000);
    let counts = db.count_jobs(qid).await.unwrap();
    assert_eq!((counts.n_queued, counts.n_running), (0, 0));
}

#[tokio::test]
async fn jobs_come_in_the_order_of_their_submission_over_all_classes() {
    let (db, _database) = open().await;
    let qid = queue("q");
    for n in 0..30 {
        let more = [r#","requirements":{"cpus":2}"#, "", r#","tags":["x"]"#][n % 3];
        db.submit(&[submission(qid, n, more)]).await.unwrap();
    }
    let mut rows = db
        .claim(&[ClaimGroup { labels: vec!["executor:container".into(), "tag:x".into()], ..group(qid, "w", 12) }])
        .await
        .unwrap();
    rows.sort_by_key(|row| row.seq);
    let bodies: Vec<_> = rows.iter().map(|row| row.body.clone().unwrap()).collect();
    assert_eq!(bodies.len(), 12);
    for (n, body) in bodies.iter().enumerate() {
        assert!(body.contains(&format!("echo {n}\"")), "{n}: {body}");
    }
}

#[tokio::test]
async fn a_job_that_nobody_present_can_run_blocks_nobody() {
    let (db, _database) = open().await;
    let qid = queue("q");
    let big: Vec<_> = (0..300).map(|n| submission(qid, n, r#","requirements":{"gpus":64}"#)).collect();
    db.submit(&big).await.unwrap();
    db.submit(&[submission(qid, 1000, r#","tags":["lab"]"#), submission(qid, 1001, "")]).await.unwrap();
    let rows = db.claim(&[group(qid, "w", 5)]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].body.as_ref().unwrap().contains("1001"));
}

#[tokio::test]
async fn a_worker_gets_no_more_than_it_has_free() {
    let (db, _database) = open().await;
    let qid = queue("q");
    let jobs: Vec<_> = (0..10).map(|n| submission(qid, n, r#","requirements":{"cpus":1.5}"#)).collect();
    db.submit(&jobs).await.unwrap();
    let slot = |id: &str| Slot { worker_id: id.into(), cpus: 4.0, gpus: 0, memory_bytes: 0 };
    let slots = vec![slot("a"), slot("b"), slot("a"), slot("b"), slot("a"), slot("b"), slot("a"), slot("b")];
    let rows = db.claim(&[ClaimGroup { slots, ..group(qid, "w", 0) }]).await.unwrap();
    let of = |id: &str| rows.iter().filter(|row| row.worker_id == id).count();
    assert_eq!((of("a"), of("b")), (2, 2), "two times 1.5 cpus fit in 4");
    assert_eq!(db.count_jobs(qid).await.unwrap().n_queued, 6, "the rest still waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sent_many_times_at_once_is_queued_once_even_while_it_is_claimed() {
    let (db, _database) = open().await;
    let qid = queue("q");
    for round in 0..50 {
        let sends = (0..6).map(|_| {
            let (db, one) = (db.clone(), submission(qid, round, ""));
            tokio::spawn(async move { outcomes(&db, &[one]).await[0] })
        });
        let claims = (0..2).map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let rows = db.claim(&[group(qid, "w", 4)]).await.unwrap();
                db.finish(&rows.iter().map(finish_of).collect::<Vec<_>>()).await.unwrap();
                rows.len()
            })
        });
        let (sends, claims): (Vec<_>, Vec<_>) = (sends.collect(), claims.collect());
        let outcomes: Vec<_> = futures_util::future::join_all(sends).await.into_iter().map(Result::unwrap).collect();
        let early: usize = futures_util::future::join_all(claims).await.into_iter().map(Result::unwrap).sum();
        let late = db.claim(&[group(qid, "w", 4)]).await.unwrap();
        db.finish(&late.iter().map(finish_of).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(outcomes.iter().filter(|o| **o == SubmitOutcome::New).count(), 1, "{outcomes:?}");
        assert_eq!(early + late.len(), 1, "it ran once");
    }
}

#[tokio::test]
async fn a_swept_claim_runs_again_and_its_first_worker_is_refused() {
    let (db, database) = open().await;
    let qid = queue("q");
    db.submit(&[submission(qid, 1, "")]).await.unwrap();
    let first = db.claim(&[group(qid, "gone", 1)]).await.unwrap().remove(0);
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute(UNTIL_IT_IS_OLD).await.unwrap();
    assert!(db.sweep(LEASE, 3).await.unwrap().is_empty(), "a claim is a sign of life");
    connection.execute(AGE_CLAIMS).await.unwrap();
    let swept = db.sweep(LEASE, 3).await.unwrap();
    assert_eq!(swept.len(), 1, "a worker that gives no other sign has lost it");
    connection.execute("update asman.queued set not_before = null").await.unwrap();
    let second = db.claim(&[group(qid, "other", 1)]).await.unwrap().remove(0);
    assert_eq!((second.attempt, second.epoch > first.epoch), (2, true));
    assert!(db.finish(&[finish_of(&first)]).await.unwrap().is_empty(), "the late result is refused");
    assert!(db.ended_by(&[finish_of(&first)]).await.unwrap().is_empty());
    assert_eq!(db.finish(&[finish_of(&second)]).await.unwrap().len(), 1);
    assert_eq!(db.ended_by(&[finish_of(&second)]).await.unwrap().len(), 1, "a repeated finish is recognised");
}

#[tokio::test]
async fn the_third_lost_worker_ends_a_job_with_words() {
    let (db, database) = open().await;
    let qid = queue("q");
    let job = submission(qid, 1, "");
    db.submit(std::slice::from_ref(&job)).await.unwrap();
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute(UNTIL_IT_IS_OLD).await.unwrap();
    for lost in 1..=3 {
        connection.execute("update asman.queued set not_before = null").await.unwrap();
        assert_eq!(db.claim(&[group(qid, "gone", 1)]).await.unwrap().len(), 1);
        connection.execute(AGE_CLAIMS).await.unwrap();
        let swept = db.sweep(LEASE, 3).await.unwrap();
        assert_eq!(swept[0].is_final, lost == 3);
    }
    let end = db.get_result(qid, &job.job_id).await.unwrap().unwrap().to_finished(Vec::new()).unwrap();
    assert_eq!(end.reason, Reason::Error);
    assert_eq!(end.message.as_deref(), Some("given up after 3 lost workers: its worker stopped answering"));
}

#[tokio::test]
async fn a_job_dies_when_its_last_namespace_lets_go() {
    let (db, _database) = open().await;
    let qid = queue("q");
    let job = submission(qid, 1, "");
    for namespace in ["a", "b", "c"] {
        db.submit(&[Submission { namespace: namespace.into(), ..job.clone() }]).await.unwrap();
    }
    let cancel = |namespace: &'static str| db.cancel_job(qid, &job.job_id, namespace, Reason::Cancelled, None);
    assert_eq!(cancel("a").await.unwrap(), CancelOutcome::Left);
    assert_eq!(cancel("a").await.unwrap(), CancelOutcome::Absent);
    let claimed = db.claim(&[group(qid, "w", 1)]).await.unwrap().remove(0);
    assert_eq!(cancel("b").await.unwrap(), CancelOutcome::Left);
    assert_eq!(cancel("*").await.unwrap(), CancelOutcome::Ended);
    assert_eq!(cancel("c").await.unwrap(), CancelOutcome::Finished);
    assert!(db.finish(&[finish_of(&claimed)]).await.unwrap().is_empty(), "the worker comes too late");
    let again = outcomes(&db, std::slice::from_ref(&job)).await;
    assert_eq!(again, [SubmitOutcome::New], "a cancelled job may run again");
    assert_eq!(db.get_job(qid, &job.job_id).await.unwrap().unwrap().state(), JobState::Queued);
}

#[tokio::test]
async fn a_cached_result_answers_until_it_is_deleted() {
    let (db, _database) = open().await;
    let qid = queue("q");
    let job = submission(qid, 1, "");
    db.submit(std::slice::from_ref(&job)).await.unwrap();
    let row = db.claim(&[group(qid, "w", 1)]).await.unwrap().remove(0);
    db.finish(&[finish_of(&row)]).await.unwrap();
    assert_eq!(outcomes(&db, std::slice::from_ref(&job)).await, [SubmitOutcome::Finished]);
    assert_eq!(outcomes(&db, &[submission(queue("other"), 1, "")]).await, [SubmitOutcome::New], "results belong to a queue");
    assert_eq!(db.cancel_job(qid, &job.job_id, "_", Reason::Deleted, None).await.unwrap(), CancelOutcome::Ended);
    let end = db.get_result(qid, &job.job_id).await.unwrap().unwrap().to_finished(Vec::new()).unwrap();
    assert_eq!((end.reason, end.result), (Reason::Deleted, None));
    assert_eq!(outcomes(&db, std::slice::from_ref(&job)).await, [SubmitOutcome::New]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_finds_its_job_while_it_is_claimed_and_released_all_the_time() {
    let (db, _database) = open().await;
    let qid = queue("q");
    let mover = {
        let db = db.clone();
        tokio::spawn(async move {
            loop {
                for row in db.claim(&[group(qid, "w", 4)]).await.unwrap() {
                    db.release(&[finish_of(&row).key.into()]).await.unwrap();
                }
            }
        })
    };
    for n in 0..100 {
        let job = submission(qid, n, "");
        db.submit(std::slice::from_ref(&job)).await.unwrap();
        let outcome = db.cancel_job(qid, &job.job_id, "_", Reason::Cancelled, None).await.unwrap();
        assert_eq!(outcome, CancelOutcome::Ended, "job {n}");
    }
    mover.abort();
}

#[tokio::test]
async fn a_released_job_keeps_its_place_and_pays_nothing() {
    let (db, _database) = open().await;
    let qid = queue("q");
    for n in 0..3 {
        db.submit(&[submission(qid, n, "")]).await.unwrap();
    }
    let first = db.claim(&[group(qid, "w", 1)]).await.unwrap().remove(0);
    db.release(&[finish_of(&first).key.into()]).await.unwrap();
    let again = db.claim(&[group(qid, "w", 1)]).await.unwrap().remove(0);
    assert_eq!((again.job_id, again.seq), (first.job_id, first.seq));
}
