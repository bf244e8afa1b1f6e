//! `asman queue import`, from a real `sqlqueue` table with the encodings that its program writes.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use migrations::testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row};
use support::{asman, text};

const SOURCE: &str = r#"
create table sqlqueue (id serial primary key, queue_item_stage int, json_data jsonb, index_key varchar not null, queue_name varchar not null,
  constraint _queue_name_index_key_uc unique (queue_name, index_key));
insert into sqlqueue (queue_item_stage, json_data, index_key, queue_name) values
  (0, to_jsonb('{"x": 1.0, "a": "\u00e9\u0000"}'::text), 'waiting', 'old'),
  (1, to_jsonb('123456789012345678901234567890'::text), 'claimed', 'old'),
  (2, to_jsonb('null'::text), 'done', 'old'),
  (3, to_jsonb('"text"'::text), 'failed', 'old'),
  (0, '{"native": 1}', 'native', 'old'),
  (0, to_jsonb('no json'::text), 'bare', 'old'),
  (0, null, 'empty', 'old'),
  (0, to_jsonb('1'::text), 'elsewhere', 'other');
create table sqleventstore (id serial primary key, name varchar not null, version varchar not null, json_data varchar not null,
  event_metadata varchar not null, time timestamp not null);
insert into sqleventstore (name, version, json_data, event_metadata, time) values
  ('q_ADD', '0.0.1', '{"queue_index_key": "failed", "queue_item_data": "text", "queue_info": {}}', '{}', '2025-05-01 10:00:00'),
  ('q_MOVE', '0.0.1', '{"queue_index_key": "failed", "stage_from": 0, "stage_to": 1}', '{}', '2025-05-01 10:00:01'),
  ('q_MOVE', '0.0.1', '{"queue_index_key": "failed", "stage_from": 1, "stage_to": 3}', '{}', '2025-05-01 10:00:02'),
  ('q_MOVE', '0.0.1', '{"queue_index_key": "unknown", "stage_from": 1, "stage_to": 3}', '{}', '2025-05-01 10:00:02'),
  ('other', '0.0.1', '"no event of a queue"', '{}', '2025-05-01 10:00:03')"#;

async fn source() -> TestDatabase {
    let database = TestDatabase::empty().await;
    PgConnection::connect(&database.url).await.unwrap().execute(SOURCE).await.unwrap();
    database
}

fn import(source: &TestDatabase, target: &TestDatabase, more: &[&str]) -> Value {
    let mut command = asman();
    command.args(["queue", "import", "--json", "--queue-name", "old", "--to", "new", "--from-sqlqueue", &source.url]);
    let output = command.args(["--database-url", &target.url]).args(more).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn rows(target: &TestDatabase, sql: &'static str) -> Vec<(String, String)> {
    let mut connection = PgConnection::connect(&target.url).await.unwrap();
    let rows = connection.fetch_all(sql).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

const BODIES: &str = "select i.job_id, i.stage || ' ' || d.body from asman.items(asman.qid('new')) i \
                      join asman.definition d on d.hash = i.definition_hash order by 1";

#[tokio::test]
async fn an_old_queue_comes_over_once_with_its_bodies_and_events() {
    let (source, target) = (source().await, TestDatabase::new().await);
    let counted = json!({"WAITING": 5, "PROCESSING": 0, "SUCCESS": 1, "FAIL": 1});
    let said = import(&source, &target, &["--dry-run"]);
    assert_eq!((&said["imported"], &said["dryRun"]), (&counted, &json!(true)));
    assert_eq!(rows(&target, BODIES).await, []);
    let said = import(&source, &target, &[]);
    let whole =
        json!({"read": 7, "imported": counted, "alreadyThere": 0, "takenBack": 1, "refused": 0, "events": 3, "dryRun": false});
    assert_eq!(said, whole);
    let expected = [
        ("bare", "0 \"no json\""),
        ("claimed", "0 123456789012345678901234567890"),
        ("done", "2 null"),
        ("empty", "0 null"),
        ("failed", "3 \"text\""),
        ("native", "0 {\"native\":1}"),
        ("waiting", "0 {\"x\":1.0,\"a\":\"é\\u0000\"}"),
    ];
    assert_eq!(rows(&target, BODIES).await, expected.map(|(id, body)| (id.to_owned(), body.to_owned())));
    let order = "select string_agg(job_id, ' ' order by seq), '' from asman.queued_job";
    assert_eq!(rows(&target, order).await[0].0, "waiting claimed native bare empty");
    let events =
        "select kind, message from report.event where job_id = 'failed' and message like 'imported event%' order by number";
    let kinds: Vec<String> = rows(&target, events).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["queued", "claimed", "finished"]);
    let again = import(&source, &target, &[]);
    assert_eq!((&again["alreadyThere"], &again["events"], &again["imported"]["WAITING"]), (&json!(7), &json!(0), &json!(0)));
    assert_eq!(rows(&target, BODIES).await.len(), 7);
}

#[tokio::test]
async fn claimed_items_stay_claimed_when_asked_to() {
    let (source, target) = (source().await, TestDatabase::new().await);
    assert_eq!(import(&source, &target, &["--keep-processing"])["imported"]["PROCESSING"], 1);
    let claims = "select job_id, worker_id from asman.running_job where deadline = 'infinity' and by_deadline";
    assert_eq!(rows(&target, claims).await, [("claimed".to_owned(), "task-queue".to_owned())]);
}

#[tokio::test]
async fn a_table_of_several_queues_needs_a_name() {
    let (source, target) = (source().await, TestDatabase::new().await);
    let output = asman()
        .args(["queue", "import", "--to", "new", "--from-sqlqueue", &source.url, "--database-url", &target.url])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("one of: old, other"), "{}", text(&output.stderr));
}
