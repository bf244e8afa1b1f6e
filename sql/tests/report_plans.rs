//! The statements for a queue's page read indexes and a bounded number of rows, even with a million finished jobs in the queue.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use migrations::testing::TestDatabase;
use serde_json::Value;
use sql::{Db, Intervals, PageCursor, Settings};
use sqlx::{Connection, Executor, PgConnection, Row};
use uuid::Uuid;

const OUTCOMES: &str = include_str!("../queries/report/outcomes.sql");
const TIMES: &str = include_str!("../queries/report/times.sql");
const DEPTH: &str = include_str!("../queries/report/depth.sql");
const WORKERS: &str = include_str!("../queries/report/workers.sql");
const PAGE_QUEUED: &str = include_str!("../queries/job/page_queued.sql");
const PAGE_RUNNING: &str = include_str!("../queries/job/page_running.sql");
const PAGE_FINISHED: &str = include_str!("../queries/job/page_finished.sql");

/// Planner settings of the ordinary pool, except that here the planner may read whole tables.
const SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set jit = off";

/// One queue with a million jobs that ended within the last day, 150,000 of them within the last hour, and 100,000 waiting of six
/// kinds; and as much again in other queues.
const FILL: &str = "
insert into asman.class (class, kind, cpus, gpus, memory_bytes, required_seconds, tags, labels)
select n, 'container', 1, 0, 0, 0, '{}', '{}' from generate_series(1, 1000) n;
insert into asman.job (qid, job_id, definition_hash, class, priority, max_seconds, is_true_id, namespaces)
select asman.qid(case when n % 10 < 9 then 'big' else 'other' || n % 97 end), 'job-' || n, sha256(int4send(n % 1000)), 1, 0, 60, false, '{_}'
from generate_series(1, 1111112) n;
insert into asman.finished (job_key, qid, epoch, attempt, is_item, reason, queued_at, claimed_at, finished_at, status_code, duration_ms, worker_id)
select j.key, j.qid, n, 1, false, (array['Success', 'Success', 'Error', 'Success', 'TimedOut'])[1 + n % 5], t.ended - interval '30 s',
  t.ended - interval '10 s', t.ended, n % 2, 10000, 'w'
from asman.job j cross join lateral (select substr(j.job_id, 5)::int4 as n) i
cross join lateral (select now() - case when n % 7 = 0 then interval '1 hour' else interval '1 day' end * (n::float8 / 1111112) as ended) t;
with jobs as (
  insert into asman.job (qid, job_id, definition_hash, class, priority, max_seconds, is_true_id, namespaces)
  select asman.qid(case when n % 2 = 0 then 'big' else 'other' || n % 97 end), 'waits-' || n, sha256(int4send(n % 1000)), 1 + n % 3, n % 4, 60,
    false, '{_}'
  from generate_series(1, 200000) n returning *)
insert into asman.queued (qid, class, priority, seq, job_key) select qid, class, priority, seq, key from jobs;
insert into asman.definition (hash, body) select sha256(int4send(n)), '{\"image\":\"alpine\"}' from generate_series(0, 999) n;
insert into asman.worker (qid, worker_id, version, executor, cpus, gpus, memory_bytes, max_seconds, tags)
select asman.qid(case when n <= 1000 then 'big' else 'other' || n % 97 end), 'w' || n, '1', 'docker', 8, 0, 0, 60, '{}'
from generate_series(1, 20000) n;
with jobs as (
  insert into asman.job (qid, job_id, definition_hash, class, priority, max_seconds, is_true_id, namespaces)
  select asman.qid(case when n % 2 = 0 then 'big' else 'other' || n % 97 end), 'runs-' || n, sha256(int4send(n % 1000)), 1, 0, 60, false, '{_}'
  from generate_series(1, 10000) n returning *)
insert into asman.running (job_key, epoch, deadline, qid, worker_id, attempt) select key, key, now(), qid, 'w' || key % 1000, 1 from jobs;";

/// The whole plan of a statement as it ran.
async fn explain(connection: &mut PgConnection, statement: &str, arguments: &str) -> Value {
    let prepare = format!("prepare looked as {}", statement.trim_end().trim_end_matches(';'));
    connection.execute(sqlx::AssertSqlSafe(prepare)).await.unwrap();
    let explain = format!("explain (analyze, buffers, format json) execute looked ({arguments})");
    let plan: Value = connection.fetch_one(sqlx::AssertSqlSafe(explain)).await.unwrap().get(0);
    connection.execute("deallocate looked").await.unwrap();
    plan[0]["Plan"].clone()
}

fn each_node<'a>(plan: &'a Value, visit: &mut impl FnMut(&'a Value)) {
    visit(plan);
    plan["Plans"].as_array().into_iter().flatten().for_each(|child| each_node(child, visit));
}

/// Fails when a table is read without an index, or more than `rows_max` of its rows are read. Returns the pages touched.
fn check(name: &str, plan: &Value, rows_max: f64) {
    let mut read = 0.0;
    each_node(plan, &mut |node| {
        if node["Relation Name"].is_string() {
            let kind = node["Node Type"].as_str().unwrap();
            // A bitmap comes from an index too.
            assert!(
                kind.starts_with("Index") || kind == "Bitmap Heap Scan",
                "{name} reads {} by {kind}: {node:#}",
                node["Relation Name"]
            );
            let per_loop = node["Actual Rows"].as_f64().unwrap() + node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
            read += per_loop * node["Actual Loops"].as_f64().unwrap();
        }
    });
    let pages = plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap();
    println!("{name}: {read} rows, {pages} pages, {} ms", plan["Actual Total Time"]);
    assert!(read <= rows_max, "{name} reads {read} rows: {plan:#}");
}

#[tokio::test]
async fn a_report_and_a_page_read_little_and_tell_the_truth_with_a_million_finished_jobs() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute(FILL).await.unwrap();
    connection.execute("vacuum analyze").await.unwrap();
    check_plans(&mut connection).await;
    let db = Db::new(&database.url, &Settings::default()).unwrap();
    check_estimates(&mut connection, &db).await;
    check_pages(&db).await;
}

async fn check_plans(connection: &mut PgConnection) {
    connection.execute(SETTINGS).await.unwrap();
    // Two rows more than the bound: `Actual Rows` is a rounded mean over the loops.
    for (span, slices) in [("60, 60, 4", 240.0), ("3600, 24, 12", 288.0)] {
        let plan = explain(connection, OUTCOMES, &format!("asman.qid('big'), {span}, 500")).await;
        check("outcomes", &plan, slices * 502.0);
        let plan = explain(connection, TIMES, &format!("asman.qid('big'), {span}, 50")).await;
        check("times", &plan, slices * 52.0);
    }
    check("depth", &explain(connection, DEPTH, "asman.qid('big'), 100000").await, 106_000.0);
    check("workers", &explain(connection, WORKERS, "asman.qid('big'), 30, 500").await, 12_500.0);

    let now_us = "(extract(epoch from now()) * 1000000)::int8";
    for before in ["null, null", &format!("{now_us} - 40000000000, 'job-5'")] {
        let plan = explain(connection, PAGE_FINISHED, &format!("asman.qid('big'), {before}, 201, 16384")).await;
        check("page of finished jobs", &plan, 850.0);
        let plan = explain(connection, PAGE_RUNNING, &format!("asman.qid('big'), {before}, 201, 16384")).await;
        check("page of running jobs", &plan, 10_500.0);
    }
    for before in ["null", "50000"] {
        let plan = explain(connection, PAGE_QUEUED, &format!("asman.qid('big'), {before}, 201, 16384")).await;
        check("page of waiting jobs", &plan, 12.0 * 202.0 + 600.0);
    }
}

fn qid(queue: &str) -> Uuid {
    queue.parse::<protocol::QueueName>().unwrap().qid()
}

/// Estimated counts are near the real ones, and the times are those of every job.
async fn check_estimates(connection: &mut PgConnection, db: &Db) {
    let day = Intervals { length: Duration::from_hours(1), n: 24, n_slices: 12 };
    let start = Instant::now();
    let outcomes = db.report_outcomes(qid("big"), day).await.unwrap();
    let times = db.report_times(qid("big"), day).await.unwrap();
    println!("outcomes and times of a day: {:?}", start.elapsed());
    let truth = "select count(*)::float8 from asman.finished where qid = asman.qid('big') and finished_at >= \
        date_trunc('hour', now()) - interval '23 hours'";
    let truth: f64 = connection.fetch_one(truth).await.unwrap().get(0);
    let counted: f64 = outcomes.iter().map(|row| row.n_jobs).sum();
    println!("{counted:.0} counted of {truth}");
    assert!((counted / truth - 1.0).abs() < 0.02, "{counted} of {truth}");
    assert!(outcomes.iter().any(|row| row.is_estimate));
    assert!(times.iter().all(|row| row.wait_p50 == Some(20.0) && row.run_max == Some(10.0)), "{times:?}");
}

/// Each waiting job is on exactly one page.
async fn check_pages(db: &Db) {
    let mut seen = HashSet::new();
    let (mut place, mut pages, mut slowest) = (None, 0, Duration::ZERO);
    loop {
        let start = Instant::now();
        let rows = db.page_queued(qid("big"), place.as_ref(), 2_000).await.unwrap();
        slowest = slowest.max(start.elapsed());
        let Some(last) = rows.last() else { break };
        place = Some(PageCursor { number: last.place, job_id: last.job_id.clone() });
        pages += 1;
        assert!(rows.iter().all(|row| seen.insert(row.job_id.clone())), "no job twice");
    }
    println!("{pages} pages of waiting jobs, the slowest in {slowest:?}");
    assert_eq!(seen.len(), 100_000);
}
