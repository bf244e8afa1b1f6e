//! This release continues with a database that an earlier release filled: nothing is lost, nothing runs twice, and the
//! API answers as the earlier release did.
//!
//! `migrations/tests/databases/v003.sql` is a dump of what `fill.mjs` beside it made with the release whose newest migration was
//! V003, and `v003.json` is what that release answered.

use std::collections::BTreeSet;
use std::time::Duration;

use migrations::testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::test_api::TestApi;

const DUMP: &str = include_str!("../../../migrations/tests/databases/v003.sql");
const ANSWERS: &str = include_str!("../../../migrations/tests/databases/v003.json");
/// The day of the dump.
const FILLED: &str = "2026-12-01";

/// Every date in the dump, in the form `2026-12-01` or, in names of partitions, `20261201`.
fn dates(text: &str) -> BTreeSet<&str> {
    let is_date = |word: &&str| match word.as_bytes() {
        [b'2', b'0', _, _, b'-', _, _, b'-', ..] => true,
        [b'2', b'0', rest @ ..] => rest.len() == 6 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    text.split(|c: char| !c.is_ascii_digit() && c != '-').filter(is_date).collect()
}

/// The dump with its dates moved to the week up to today. They move by whole weeks, so that each row keeps its partition.
async fn dump_of_this_week(connection: &mut PgConnection) -> String {
    let sql = "select replace(d, '-', '') = d as is_name, d, to_char(d::date + (current_date - $2::date) / 7 * 7, 'YYYY-MM-DD') \
               from unnest($1::text[]) d";
    let days: Vec<String> = dates(DUMP).into_iter().map(ToOwned::to_owned).collect();
    let rows = sqlx::query(sql).bind(days).bind(FILLED).fetch_all(connection).await.unwrap();
    // The dates are replaced in one pass over the text, because otherwise a moved date would be moved again.
    let moved = rows.iter().map(|row| {
        let (is_name, from, to): (bool, String, String) = (row.get(0), row.get(1), row.get(2));
        (from, if is_name { to.replace('-', "") } else { to })
    });
    let moved: std::collections::BTreeMap<String, String> = moved.collect();
    let mut text = String::with_capacity(DUMP.len());
    for piece in DUMP.split_inclusive(|c: char| !c.is_ascii_digit() && c != '-') {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_digit() && c != '-');
        text.push_str(moved.get(word).map_or(word, String::as_str));
        text.push_str(&piece[word.len()..]);
    }
    text
}

/// The database of that release. Its workers count as if they had sent heartbeats until now.
async fn restored() -> TestDatabase {
    let database = TestDatabase::empty().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let dump = dump_of_this_week(&mut connection).await;
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(dump))).await.unwrap();
    connection.execute("set search_path = public; update asman.worker set last_seen = now()").await.unwrap();
    connection.execute("update asman.running set deadline = now() + interval '1 hour'").await.unwrap();
    database
}

/// An answer without its times, which were moved.
fn timeless(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(members) => {
            members.retain(|name, _| name != "time" && name != "queuedTime");
            members.values_mut().for_each(|value| *value = timeless(value.take()));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = timeless(value.take())),
        _ => {}
    }
    answer
}

fn patient(config: &mut api::Config) {
    config.lease = protocol::Duration(Duration::from_hours(1));
}

#[tokio::test]
async fn a_database_of_an_earlier_release_answers_as_before_and_its_jobs_go_on() {
    let database = restored().await;
    let applied = migrations::migrate(&database.url).await.unwrap();
    assert_eq!(applied.first().map(String::as_str), Some("V004 end_codes"));
    let api = TestApi::over(&database.url, patient).await;
    let known: Value = serde_json::from_str(ANSWERS).unwrap();

    for (name, job) in known["jobs"].as_object().unwrap() {
        for what in ["result.json", "definition.json", "history.json", "namespaces.json"] {
            let (status, body) = api.get(&format!("/q/q/j/{}/{what}", job["id"].as_str().unwrap())).await;
            let before = (&job[what]["status"], timeless(job[what]["body"].clone()));
            assert_eq!((&json!(status), timeless(body)), before, "{name} {what}");
        }
    }

    // The running job continues to its end under its epoch.
    let (id, epoch) = (known["running"]["id"].as_str().unwrap(), known["running"]["epoch"].as_i64().unwrap());
    assert_eq!(api.log(id, epoch, 1, "Running", &["and done\n"]).await, 200);
    assert_eq!(api.finish(id, epoch).await, 200);
    assert_eq!(api.state(id).await, "finished");
    let end = json!({"epoch": known["item"]["epoch"]});
    assert_eq!(api.post("/q/q/api/v1/queue/success/held", end).await.0, 200);

    // Each waiting job is claimed once; jobs that no worker can run continue to wait.
    let worker = json!({"id": "w2", "version": "1", "cpus": 4, "gpus": 0, "memory": 8_000_000_000_u64, "tags": ["rare"],
        "maxJobDuration": "2d", "executor": "docker"});
    let free = json!({"cpus": 4, "gpus": 0, "memory": 8_000_000_000_u64, "jobs": 10});
    let claims = api.claim_with("q", json!({"worker": worker, "free": free, "wait": "1s"})).await;
    let claimed: BTreeSet<&str> = claims.iter().map(|claim| claim["jobId"].as_str().unwrap()).collect();
    let waiting = ["waiting", "waitingForTags", "replacing"].map(|name| known["jobs"][name]["id"].as_str().unwrap());
    assert_eq!(claimed, BTreeSet::from(waiting));
    assert_eq!(api.state(known["jobs"]["waitingForNobody"]["id"].as_str().unwrap()).await, "queued");

    // A succeeded job answers under the id that it has. A job that may have failed by a machine's fault runs again.
    let definition = &known["jobs"]["succeeded"]["definition.json"]["body"]["data"];
    let (_, submitted) = api.post("/q/q", json!({"definition": definition})).await;
    assert_eq!(
        (&submitted["jobId"], api.state(submitted["jobId"].as_str().unwrap()).await.as_str()),
        (&known["jobs"]["succeeded"]["id"], "finished")
    );
    let definition = &known["jobs"]["failed"]["definition.json"]["body"]["data"];
    assert_eq!(api.submit_job("q", json!({"definition": definition})).await, known["jobs"]["failed"]["id"].as_str().unwrap());
    assert_eq!(api.state(known["jobs"]["failed"]["id"].as_str().unwrap()).await, "queued");
}
