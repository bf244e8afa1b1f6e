//! No statement reads a whole table, for any statistics.
//!
//! Waiting and running jobs come and go, so the statistics may say that there are none when there are a hundred thousand: one
//! vacuum of an empty table is enough. A plan for no rows (the whole table, compared with each element of an array) would cost
//! the product of both; measured: a second to end a thousand of two thousand claims.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use migrations::testing::{TestDatabase, queue_jobs, with_jobs};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Either, Executor, PgConnection, Row, SqlSafeStr, Statement};
use support::statements;

/// Tables without a bound on their size.
const UNBOUNDED: [&str; 12] = [
    "class",
    "definition",
    "event",
    "finished",
    "hold",
    "job",
    "log_chunk",
    "login",
    "queued",
    "running",
    "waiting_class",
    "webhook",
];

/// Statements that read all of something on purpose, as their headers say, or that have no plan.
const LEFT_OUT: [&str; 2] = ["webhook/backlog.sql", "database/maintain.sql"];

/// Scans of unbounded tables without a condition on an index, as words.
fn whole_scans(plan: &Value, into: &mut Vec<String>) {
    let kind = plan["Node Type"].as_str().unwrap_or_default();
    let table = plan["Relation Name"].as_str().unwrap_or_default();
    let is_unbounded = UNBOUNDED.iter().any(|name| table == *name || table.starts_with(&format!("{name}_")));
    let has_condition = ["Index Cond", "TID Cond"].iter().any(|condition| plan.get(condition).is_some());
    if is_unbounded && kind.ends_with("Scan") && kind != "Bitmap Heap Scan" && !has_condition {
        into.push(format!("{kind} of {table}"));
    }
    let is_compared = |filter: &str| plan[filter].as_str().is_some_and(compares_jobs);
    if (["queued", "running"].contains(&table) && is_compared("Filter")) || is_compared("Join Filter") {
        into.push(format!("{kind} of {table} compares {} {}", plan["Filter"], plan["Join Filter"]));
    }
    for child in plan["Plans"].as_array().into_iter().flatten() {
        whole_scans(child, into);
    }
}

/// Whether a filter compares jobs row by row, instead of an index that finds them. A look-up in a hash is not such a comparison, but
/// newer servers print its columns.
fn compares_jobs(filter: &str) -> bool {
    filter.replace("job_id = (hashed SubPlan", "").contains("job_id = ") || filter.contains("ROW(")
}

#[test]
fn a_look_into_a_hash_is_no_comparison_in_any_servers_words() {
    assert!(!compares_jobs("(NOT (hashed SubPlan 2))"));
    assert!(!compares_jobs("(NOT (ANY ((job_id = (hashed SubPlan 2).col1) AND (epoch = (hashed SubPlan 2).col2))))"));
    assert!(compares_jobs("(r.job_id = b.job_id)"));
    assert!(compares_jobs("(NOT (ANY ((job_id = (SubPlan 2).col1) AND (epoch = (SubPlan 2).col2))))"));
    assert!(compares_jobs("(ROW(job_id, qid) >= ROW(b.job_id, b.qid))"));
}

async fn explain(connection: &mut PgConnection, text: &'static str) -> Value {
    let prepared = (&mut *connection).prepare(text.into_sql_str()).await.unwrap();
    let n_parameters = match prepared.parameters() {
        Some(Either::Left(types)) => types.len(),
        _ => 0,
    };
    connection.execute(AssertSqlSafe(format!("prepare one as {}", text.trim_end().trim_end_matches(';')))).await.unwrap();
    let nulls = vec!["null"; n_parameters].join(", ");
    let call = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
    let plan: Value =
        connection.fetch_one(AssertSqlSafe(format!("explain (format json) execute one {call}"))).await.unwrap().get(0);
    connection.execute("deallocate one").await.unwrap();
    plan
}

async fn check(connection: &mut PgConnection) {
    let mut found = Vec::new();
    for (path, text) in statements().into_iter().filter(|(path, _)| !LEFT_OUT.contains(&path.as_str())) {
        let settings = sql::settings_of(&path);
        connection.execute(AssertSqlSafe(format!("reset all; {settings}"))).await.unwrap();
        let mut scans = Vec::new();
        whole_scans(&explain(connection, text).await[0]["Plan"], &mut scans);
        found.extend(scans.into_iter().map(|scan| format!("{path}: {scan}")));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Five thousand jobs that wait and as many that run, in ten queues. Each id is in only one of the queues.
fn fill() -> String {
    let rows = "select asman.qid('q' || n % 10) as qid, 'job-' || n as job_id, 7 as class, 1 as cpus, '{}' as tags from generate_series(1, 5000) n";
    let running = with_jobs(&rows.replace("'job-'", "'running-'"));
    format!(
        "{}; {running} insert into asman.running (job_key, epoch, deadline, qid, worker_id, attempt) \
         select key, key, now(), qid, 'w' || key % 10, 1 from jobs",
        queue_jobs(rows)
    )
}

async fn check_after(statements: &[&str]) {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    for statement in statements {
        connection.execute(AssertSqlSafe((*statement).to_owned())).await.unwrap();
    }
    check(&mut connection).await;
}

#[tokio::test]
async fn no_table_is_read_whole_when_nothing_is_known_of_it() {
    check_after(&[]).await;
}

#[tokio::test]
async fn no_table_is_read_whole_when_it_is_believed_to_be_empty() {
    check_after(&[&fill(), "delete from asman.queued", "delete from asman.running", "vacuum analyze"]).await;
}

#[tokio::test]
async fn no_table_is_read_whole_when_it_is_known_to_be_large() {
    check_after(&[&fill(), "vacuum analyze"]).await;
}

/// Functions without the setting: they are inlined into statements that have it, run once for each migration, or belong to
/// maintenance.
const PLAIN: [&str; 9] = [
    "classes_in_order",
    "due_partitions",
    "finished_named",
    "items",
    "job_named",
    "maintain_step",
    "notice_restore",
    "queued_named",
    "running_named",
];

#[tokio::test]
async fn every_function_that_reads_a_table_brings_its_planner_settings_along() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let tables = UNBOUNDED.join("|");
    let without = format!(
        "select p.proname from pg_proc p where p.pronamespace = 'asman'::regnamespace and p.prokind = 'f' \
         and p.prosrc ~ 'asman\\.({tables})\\M' and not coalesce(p.proconfig, '{{}}') @> '{{enable_seqscan=off}}' order by 1"
    );
    let rows = connection.fetch_all(AssertSqlSafe(without)).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).filter(|name: &String| !PLAIN.contains(&name.as_str())).collect();
    assert!(names.is_empty(), "callers in a plain session would read whole tables: {names:?}");
}
