//! Classes of waiting jobs: the cost of a claim depends only on the classes that a connected worker can run, and no class is
//! overlooked.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::time::{Duration, Instant};

use migrations::testing::{TestDatabase, queue_jobs};
use protocol::{Free, ParsedDefinition, Qid, QueueName, WorkerDescription};
use serde_json::{Value, json};
use sql::{ClaimGroup, ClaimKey, ClaimedRow, Db, Settings, Slot, Submission};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

const CLAIM: &str = include_str!("../queries/queued/claim.sql");

fn queue(name: &str) -> Qid {
    name.parse::<QueueName>().unwrap().qid()
}

async fn open() -> (Db, TestDatabase, PgConnection) {
    let database = TestDatabase::new().await;
    let connection = PgConnection::connect(&database.url).await.unwrap();
    (Db::new(&database.url, &Settings::default()).unwrap(), database, connection)
}

fn worker(description: &Value) -> WorkerDescription {
    let mut whole = json!({"id": "w", "cpus": 64, "maxJobDuration": "1h", "executor": "docker"});
    whole.as_object_mut().unwrap().extend(description.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn job(qid: Qid, definition: &Value) -> Submission {
    let definition = ParsedDefinition::parse(&definition.to_string()).unwrap();
    let (job_id, sent_id) = (definition.job_id.as_str().to_owned(), definition.job_id.as_str().to_owned());
    Submission {
        qid,
        job_id,
        sent_id,
        definition,
        namespace: "_".into(),
        max_duration: Duration::from_mins(1),
        is_debug: false,
        callbacks: None,
        is_again: false,
    }
}

fn group(qid: Qid, worker: &WorkerDescription, n: usize) -> ClaimGroup {
    let slot = Slot { worker_id: worker.id.as_str().to_owned(), cpus: worker.cpus, gpus: 0, memory_bytes: 1 << 40 };
    ClaimGroup { qid, labels: worker.labels(), max_seconds: 3600, slots: vec![slot; n] }
}

async fn claim(db: &Db, qid: Qid, worker: &WorkerDescription, n: usize) -> Vec<ClaimedRow> {
    let mut rows = db.claim(&[group(qid, worker, n)]).await.unwrap();
    rows.sort_by_key(|row| (row.priority, row.seq));
    rows
}

/// Jobs, each with a tag that no worker has, inserted directly into the table.
fn strangers(n: i64) -> String {
    queue_jobs(&format!(
        "select asman.qid('q') as qid, 'strange-' || n as job_id, n as class, 1 as cpus, array['nobody-' || n] as tags \
         from generate_series(1, {n}) n"
    ))
}

/// Pages that one claim touches, by its plan on a connection like the product's.
async fn pages_of_a_claim(connection: &mut PgConnection) -> i64 {
    connection.execute(sql::settings_of("queued/claim.sql")).await.unwrap();
    connection.execute(AssertSqlSafe(format!("prepare claim as {}", CLAIM.trim_end().trim_end_matches(';')))).await.unwrap();
    let explain = "explain (analyze, buffers, format json) execute claim (array[asman.qid('q')], array[1], array['executor:container'], \
                   array[64], array[0], array[0], array[86400], array[1], array['w'], array[64], array[0], array[0], 3600, true)";
    let plan: Value = connection.fetch_one(explain).await.unwrap().get(0);
    connection.execute("deallocate claim").await.unwrap();
    assert!(!plan.to_string().contains("Seq Scan"), "{plan:#}");
    let of = |what: &str| plan[0]["Plan"][what].as_i64().unwrap();
    of("Shared Hit Blocks") + of("Shared Read Blocks")
}

async fn check_cost(n: i64) {
    let (db, _database, mut connection) = open().await;
    let (qid, own) = (queue("q"), worker(&json!({})));
    connection.execute(AssertSqlSafe(strangers(n))).await.unwrap();
    for number in 0..20 {
        db.submit(&[job(qid, &json!({"image": "a", "command": number.to_string()}))]).await.unwrap();
    }
    db.register_worker(qid, &own, None).await.unwrap();
    while db.tidy_classes(qid, true).await.unwrap() {}
    connection.execute("vacuum analyze").await.unwrap();
    assert_eq!(claim(&db, qid, &own, 1).await.len(), 1);
    let pages = pages_of_a_claim(&mut connection).await;
    assert!(pages < 300, "a claim beside {n} classes that no worker can run touches {pages} pages");
    let looked = db.claim_and_look(&[group(qid, &own, 1)], true).await.unwrap();
    assert_eq!((looked.rows.len(), looked.crowded.len()), (1, 0));
}

#[tokio::test]
async fn a_claim_costs_the_same_beside_a_thousand_classes_that_nobody_can_run() {
    check_cost(1_000).await;
}

#[tokio::test]
async fn a_claim_costs_the_same_beside_a_hundred_thousand_classes_that_nobody_can_run() {
    check_cost(100_000).await;
}

#[tokio::test]
async fn a_claim_is_bounded_beside_a_hundred_thousand_classes_that_it_could_run() {
    let (db, _database, mut connection) = open().await;
    let (qid, own) = (queue("q"), worker(&json!({})));
    let many = strangers(100_000).replace("array['nobody-' || n]", "'{}'").replace("'{_}', 1, 0, 0", "'{_}', 1, 0, n");
    connection.execute(AssertSqlSafe(many)).await.unwrap();
    db.register_worker(qid, &own, Some(Free { cpus: 64.0, gpus: 0, memory: 1 << 40, jobs: 1 })).await.unwrap();
    let first = claim(&db, qid, &own, 3).await;
    assert_eq!(first.iter().map(|row| row.job_id.as_str()).collect::<Vec<_>>(), ["strange-1", "strange-2", "strange-3"]);
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(claim(&db, qid, &own, 1).await.len(), 1);
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_plain_job_behind_310_jobs_with_tags_or_sizes_that_nobody_has_is_claimed() {
    let (db, _database, _) = open().await;
    let (qid, own) = (queue("q"), worker(&json!({})));
    db.register_worker(qid, &own, None).await.unwrap();
    let strange: Vec<_> = (0..310)
        .map(|n| match n % 3 {
            0 => json!({"image": "a", "tags": [format!("t{n}")]}),
            1 => json!({"image": "a", "requirements": {"cpus": 65 + n}}),
            _ => json!({"image": "a", "secrets": [format!("S{n}")]}),
        })
        .map(|definition| job(qid, &definition))
        .collect();
    db.submit(&strange).await.unwrap();
    db.submit(&[job(qid, &json!({"image": "plain"}))]).await.unwrap();
    let rows = claim(&db, qid, &own, 64).await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].body.as_ref().unwrap().contains("plain"));
}

#[tokio::test]
async fn a_worker_that_comes_while_a_job_is_being_queued_gets_it() {
    let (db, _database, mut connection) = open().await;
    let (qid, own) = (queue("q"), worker(&json!({"tags": ["lab"]})));
    connection.execute("begin").await.unwrap();
    connection.execute("select asman.enqueue('q', '{\"image\": \"a\", \"tags\": [\"lab\"]}')").await.unwrap();
    let registered = db.register_worker(qid, &own, None);
    tokio::time::timeout(Duration::from_secs(10), registered).await.expect("no worker waits for an open transaction").unwrap();
    assert!(claim(&db, qid, &own, 1).await.is_empty());
    connection.execute("commit").await.unwrap();
    assert_eq!(claim(&db, qid, &own, 1).await.len(), 1);
}

#[tokio::test]
async fn who_queues_the_first_job_of_a_class_in_an_open_transaction_holds_up_nobody() {
    let (db, _database, mut connection) = open().await;
    let (qid, own) = (queue("q"), worker(&json!({})));
    connection.execute("begin").await.unwrap();
    connection.execute("select asman.enqueue('q', '{\"image\": \"a\"}')").await.unwrap();
    let others = [job(qid, &json!({"image": "b"}))];
    let submitted = db.submit(&others);
    tokio::time::timeout(Duration::from_secs(10), submitted).await.expect("the class is written twice").unwrap();
    db.register_worker(qid, &own, None).await.unwrap();
    assert_eq!(claim(&db, qid, &own, 5).await.len(), 1);
    connection.execute("commit").await.unwrap();
    assert_eq!(claim(&db, qid, &own, 5).await.len(), 1, "each once, though the class has two rows");
}

#[tokio::test]
async fn a_worker_that_grows_is_offered_what_it_could_not_run_before() {
    let (db, _database, mut connection) = open().await;
    let qid = queue("q");
    let small = worker(&json!({"cpus": 1}));
    db.register_worker(qid, &small, None).await.unwrap();
    db.submit(&[job(qid, &json!({"image": "a", "requirements": {"cpus": 8}}))]).await.unwrap();
    while db.tidy_classes(qid, true).await.unwrap() {}
    let unrunnable: i64 =
        connection.fetch_one("select count(*) from asman.waiting_class where not is_runnable").await.unwrap().get(0);
    assert_eq!(unrunnable, 1);
    for description in [json!({"cpus": 8}), json!({"cpus": 4})] {
        db.register_worker(qid, &worker(&description), None).await.unwrap();
    }
    assert_eq!(claim(&db, qid, &worker(&json!({"cpus": 8})), 1).await.len(), 1);
}

/// As if it were later, so that checked classes may be checked again.
const LATER: &str = "update asman.waiting_class set checked_at = checked_at - interval '1 hour'";

#[tokio::test]
async fn classes_without_a_job_go_and_come_back_with_the_next() {
    let (db, _database, mut connection) = open().await;
    let (qid, own) = (queue("q"), worker(&json!({})));
    db.register_worker(qid, &own, None).await.unwrap();
    db.submit(&[job(qid, &json!({"image": "a"})), job(qid, &json!({"image": "a", "tags": ["x"]}))]).await.unwrap();
    let claimed = claim(&db, qid, &own, 1).await.remove(0);
    connection.execute(LATER).await.unwrap();
    db.tidy_idle_classes().await.unwrap();
    let left: i64 = connection.fetch_one("select count(*) from asman.waiting_class").await.unwrap().get(0);
    assert_eq!(left, 1, "the one whose job waits");
    db.release(&[ClaimKey { qid, job_id: claimed.job_id.clone(), epoch: claimed.epoch }.into()]).await.unwrap();
    assert_eq!(claim(&db, qid, &own, 1).await.remove(0).job_id, claimed.job_id, "a job that goes back brings its class along");
}

#[tokio::test]
async fn a_job_that_goes_back_to_before_the_first_of_its_class_is_the_next() {
    let (db, _database, mut connection) = open().await;
    let (qid, own) = (queue("q"), worker(&json!({})));
    db.register_worker(qid, &own, None).await.unwrap();
    for n in 0..3 {
        db.submit(&[job(qid, &json!({"image": "a", "command": n.to_string()}))]).await.unwrap();
    }
    let first = claim(&db, qid, &own, 1).await.remove(0);
    connection.execute(LATER).await.unwrap();
    db.tidy_classes(qid, true).await.unwrap();
    db.release(&[ClaimKey { qid, job_id: first.job_id.clone(), epoch: first.epoch }.into()]).await.unwrap();
    assert_eq!(claim(&db, qid, &own, 1).await.remove(0).job_id, first.job_id);
    assert_eq!(claim(&db, qid, &own, 5).await.len(), 2);
}

#[tokio::test]
async fn a_job_that_is_not_due_hides_none_behind_it() {
    let (db, _database, mut connection) = open().await;
    let (qid, own) = (queue("q"), worker(&json!({})));
    for n in 0..2 {
        db.submit(&[job(qid, &json!({"image": "a", "command": n.to_string()}))]).await.unwrap();
    }
    let first = "update asman.queued set not_before = now() + interval '1 hour' where seq = (select min(seq) from asman.queued)";
    connection.execute(first).await.unwrap();
    assert_eq!(claim(&db, qid, &own, 5).await.len(), 1);
}

#[tokio::test]
async fn secrets_executor_platform_and_builds_are_matched_as_tags_are() {
    let (db, _database, _) = open().await;
    let qid = queue("q");
    let workers = [
        worker(&json!({"id": "plain"})),
        worker(&json!({"id": "secret", "secrets": ["KEY"]})),
        worker(&json!({"id": "scripts", "executor": "process", "secrets": ["KEY"]})),
        worker(&json!({"id": "arm", "platforms": ["linux/aarch64"]})),
        worker(&json!({"id": "no builds", "builds": false})),
        worker(&json!({"id": "tagged", "executor": "docker", "tags": ["executor:process", "secret:KEY"]})),
    ];
    for (definition, fit) in [
        (json!({"image": "a"}), "plain secret arm no builds tagged"),
        (json!({"image": "b", "secrets": ["KEY"]}), "secret"),
        (json!({"image": "none", "command": "a.sh"}), "scripts"),
        (json!({"image": "none", "command": "b.sh", "secrets": ["KEY"]}), "scripts"),
        (json!({"image": "none", "command": "c.sh", "secrets": ["OTHER"]}), ""),
        (json!({"build": {"dockerfile": "FROM a", "platform": "linux/arm64/v8"}}), "arm"),
        (json!({"build": {"dockerfile": "FROM b"}}), "plain secret arm tagged"),
        (json!({"image": "c", "tags": ["executor:process"]}), "tagged"),
    ] {
        let one = job(qid, &definition);
        let mut took = Vec::new();
        for own in &workers {
            db.submit(std::slice::from_ref(&one)).await.unwrap();
            db.register_worker(qid, own, None).await.unwrap();
            if !claim(&db, qid, own, 1).await.is_empty() {
                took.push(own.id.as_str().to_owned());
            }
            db.cancel_job(qid, &one.job_id, "*", protocol::Reason::Cancelled, None).await.unwrap();
        }
        assert_eq!(took.join(" "), fit, "{definition}");
    }
}

#[tokio::test]
async fn rust_and_sql_compute_the_same_needs() {
    let (db, _database, mut connection) = open().await;
    for definition in [
        json!({"image": "a"}),
        json!({"image": "none", "command": "x.sh"}),
        json!({"image": " none ", "secrets": ["B", "A", "B"], "tags": ["z", "y"]}),
        json!({"image": "none", "build": {"dockerfile": "FROM a"}}),
        json!({"image": "a", "build": null, "secrets": []}),
        json!({"build": {"dockerfile": "FROM a", "platform": "Linux/X86_64", "target": "t"}, "tags": ["t"]}),
        json!({"build": {"dockerfile": "FROM a", "platform": "arm64"}}),
        json!({"build": {"dockerfile": "FROM a", "platform": "linux"}}),
        json!({"build": {"dockerfile": "FROM a", "platform": "linux/arm/v7"}}),
        json!({"build": {"dockerfile": "FROM a", "platform": "linux/a/b/c"}}),
        json!({"image": "a", "requirements": {"cpus": 0.5, "gpus": 2, "memory": "1g", "maxDuration": "90s"}, "tags": ["executor:process"]}),
    ] {
        let parsed = ParsedDefinition::parse(&definition.to_string()).unwrap();
        let query = sqlx::query("select n.tags, n.class, asman.labels_of(n.tags) as labels from asman.needs_of($1::jsonb) n")
            .bind(&definition);
        let row = query.fetch_one(&mut connection).await.unwrap();
        let stored = parsed.stored_tags();
        assert_eq!(row.get::<Vec<String>, _>("tags"), stored, "{definition}");
        assert_eq!(row.get::<Vec<String>, _>("labels"), protocol::labels::labels_of(&stored), "{definition}");
        db.submit(&[job(queue("q"), &definition)]).await.unwrap();
        let class: i64 = sqlx::query_scalar("select class from asman.job where job_id = $1")
            .bind(parsed.job_id.as_str())
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>("class"), class, "{definition}");
    }
}

#[tokio::test]
async fn two_hundred_jobs_are_enqueued_and_cancelled_in_a_plain_session_beside_a_hundred_thousand_that_wait() {
    let (_, _database, mut connection) = open().await;
    // Statistics of a time when the tables were empty.
    connection.execute("vacuum analyze").await.unwrap();
    connection.execute(AssertSqlSafe(strangers(104_000).replace("n as class", "7 as class"))).await.unwrap();
    let start = Instant::now();
    let enqueue = "create temporary table mine as select asman.enqueue('q', jsonb_build_object('image', 'a', 'command', n::text)) as id \
                   from generate_series(1, 200) n";
    connection.execute(enqueue).await.unwrap();
    connection.execute("select asman.cancel('q', id) from mine").await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "each looks its job up in an index: {:?}", start.elapsed());
}
