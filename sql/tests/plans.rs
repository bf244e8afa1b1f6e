//! The claim reads only its index, for queues of any depth and any number of queues.
//!
//! Claims run on the product's own connections, with their planner settings. To read the plan without `auto_explain`, the test
//! prepares and explains the statement on a connection with the same settings.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::time::Instant;

use migrations::testing::{TestDatabase, queue_jobs};
use serde_json::Value;
use sql::{ClaimGroup, Db, Settings, Slot};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

const CLAIM: &str = include_str!("../queries/queued/claim.sql");

async fn fill(connection: &mut PgConnection, queues: i64, jobs: i64) {
    // One separate statement inserts the classes, because the trigger would do a look-up for each of a million jobs.
    let rows = format!(
        "select asman.qid('q' || (n % {queues})) as qid, 'job-' || n as job_id, 7 as class, 1 as cpus, '{{}}' as tags from generate_series(1, {jobs}) n"
    );
    let sql = format!(
        "set session_replication_role = replica; {}; set session_replication_role = default; \
         insert into asman.waiting_class (qid, class, priority, seq) select q.qid, 7, 0, min(q.seq) from asman.queued q group by q.qid; \
         analyze asman.queued, asman.waiting_class, asman.job",
        queue_jobs(&rows)
    );
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// Collects every node of a plan, and whether a sort is above it.
fn nodes<'a>(plan: &'a Value, under_sort: bool, into: &mut Vec<(&'a Value, bool)>) {
    into.push((plan, under_sort));
    let kind = plan["Node Type"].as_str().unwrap_or_default();
    // Rows that are limited before the sort are few.
    let sorts = (under_sort && kind != "Limit") || kind.contains("Sort");
    for child in plan["Plans"].as_array().into_iter().flatten() {
        nodes(child, sorts, into);
    }
}

async fn check_claim_plan(connection: &mut PgConnection) {
    connection.execute(sql::settings_of("queued/claim.sql")).await.unwrap();
    let prepare = format!("prepare claim as {}", CLAIM.trim_end().trim_end_matches(';'));
    connection.execute(AssertSqlSafe(prepare)).await.unwrap();
    let explain = "explain (analyze, buffers, format json) execute claim (array[asman.qid('q1')], array[10], array['executor:container'], \
                   array[64], array[0], array[0], array[86400], array[1], array_fill('w'::text, array[10]), array_fill(64::float8, array[10]), \
                   array_fill(0, array[10]), array_fill(0::int8, array[10]), 3600, true)";
    let plan: Value = connection.fetch_one(explain).await.unwrap().get::<Value, _>(0);
    let mut all = Vec::new();
    nodes(&plan[0]["Plan"], false, &mut all);
    let scans: Vec<_> =
        all.iter().filter(|(node, _)| node["Relation Name"] == "queued" && node["Node Type"] != "ModifyTable").collect();
    assert!(scans.len() >= 3, "one head, one pick, one delete: {scans:?}");
    // The delete finds its rows by the ctids that the pick has read.
    let (deletes, reads): (Vec<_>, Vec<_>) = scans.iter().copied().partition(|scan| scan.0["Node Type"] == "Tid Scan");
    assert_eq!(deletes.len(), 1, "{scans:?}");
    for (node, _) in &reads {
        assert_eq!(node["Node Type"], "Index Scan", "{node}");
        assert_eq!(node["Index Name"], "queued_pkey", "{node}");
    }
    for (node, under_sort) in &scans {
        assert!(!under_sort, "no sort over the table: {node}");
        assert!(node["Actual Rows"].as_f64().unwrap() <= 10.0, "no more rows than were asked for: {node}");
        assert!(node.get("Filter").is_none() || node["Rows Removed by Filter"].as_f64().unwrap_or(0.0) < 10.0, "{node}");
    }
    let touched =
        plan[0]["Plan"]["Shared Hit Blocks"].as_i64().unwrap() + plan[0]["Plan"]["Shared Read Blocks"].as_i64().unwrap();
    assert!(touched < 2_000, "a claim touches few pages: {touched}");
}

#[tokio::test]
async fn the_claim_uses_its_index_on_a_queue_of_200_000_waiting_jobs() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fill(&mut connection, 2, 400_000).await;
    check_claim_plan(&mut connection).await;
}

#[tokio::test]
async fn the_claim_uses_its_index_among_a_million_queues() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    fill(&mut connection, 1_000_000, 1_000_000).await;
    check_claim_plan(&mut connection).await;
    let newcomer = queue_jobs("select asman.qid('new' || n) as qid, 'job' as job_id, 7 as class, 1 as cpus, '{}' as tags");
    let newcomers = AssertSqlSafe(format!("do $$ begin for n in 1 .. 100 loop {newcomer}; end loop; end $$"));
    let start = Instant::now();
    connection.execute(newcomers).await.unwrap();
    assert!(start.elapsed().as_millis() < 1_000, "a hundred new queues took {:?}", start.elapsed());
    // The same on the product's own connections. This does not measure milliseconds, it only shows that there is no scan.
    let db = Db::new(&database.url, &Settings::default()).unwrap();
    let slot = Slot { worker_id: "w".into(), cpus: 1.0, gpus: 0, memory_bytes: 0 };
    let group = |n: u32| ClaimGroup {
        qid: qid(&format!("q{n}")),
        labels: vec!["executor:container".into()],
        max_seconds: 60,
        slots: vec![slot.clone()],
    };
    db.claim(&[group(1)]).await.unwrap();
    let start = Instant::now();
    let claimed = db.claim(&(2..102).map(group).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(claimed.len(), 100);
    assert!(start.elapsed().as_millis() < 2_000, "a hundred queues took {:?}", start.elapsed());
}

fn qid(queue: &str) -> Uuid {
    queue.parse::<protocol::QueueName>().unwrap().qid()
}
