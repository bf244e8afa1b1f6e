//! Users of SQL: the jobs that they submit are the same as those of the API.

use std::io::Write;
use std::process::{Command, Stdio};

use protocol::canonical_json;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::socket::Socket;
use crate::test_api::{PROMPT, TestApi, body_of, eventually, held, in_time};

/// Runs a statement in psql, as a person would. Returns its output and its error output.
fn psql(api: &TestApi, statement: &str) -> (String, String) {
    let mut child = Command::new("psql")
        .args(["-XqAt", "-v", "ON_ERROR_STOP=1", &api.database_url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql is installed with the server");
    child.stdin.take().unwrap().write_all(statement.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    (text(output.stdout), text(output.stderr))
}

async fn canonical(api: &TestApi, value: &Value) -> String {
    let text = value.to_string().replace('\'', "''");
    let statement = AssertSqlSafe(format!("select asman.canonical_json('{text}'::jsonb)"));
    api.database().await.fetch_one(statement).await.unwrap().get(0)
}

#[tokio::test]
async fn a_job_enqueued_in_psql_is_seen_by_a_browser_at_once_runs_and_is_cancelled_there() {
    let slow = |config: &mut api::Config| config.poll = "5m".parse().unwrap();
    let api = TestApi::with(slow).await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let call = r#"select asman.enqueue('q', '{"image": "alpine:3.20", "command": "echo 1"}')"#;
    let (id, error) = psql(&api, call);
    assert_eq!((id.len(), error.as_str()), (64, ""));
    // No worker waits for the job yet: if states follow each other within a tick, only the last one is shown.
    socket.until_job(&id, "Queued").await;
    let (claimed, epoch) = api.claim_one("q", "w").await;
    assert_eq!(claimed, id);
    socket.until_job(&id, "Running").await;
    assert_eq!(api.finish(&id, epoch).await, 200);
    socket.until_job(&id, "Finished").await;
    assert_eq!(psql(&api, call).0, id, "the result is there; nothing runs");
    assert_eq!(psql(&api, &format!("select asman.cancel('q', '{id}')")).0, "finished");
    let (id, _) = psql(&api, r#"select asman.enqueue('q', '{"image": "b"}', '{"namespace": "mine"}')"#);
    let cancel = |namespace: &str| psql(&api, &format!("select asman.cancel('q', '{id}'{namespace})")).0;
    assert_eq!((cancel(""), cancel(", 'mine'"), cancel(", '*'")), ("absent".into(), "ended".into(), "finished".into()));
    assert_eq!(psql(&api, "select asman.cancel('q', 'nope')").0, "unknown");
}

/// A worker that waits for a job of the queue. Its first claim got no job.
async fn waiting_worker(api: &TestApi) -> tokio::task::JoinHandle<Value> {
    let request = api.request(reqwest::Method::POST, "/q/q/claim").json(&crate::test_api::claim_body("w", 1, "15s"));
    let waiting = tokio::spawn(async move { body_of(request.send().await.unwrap()).await.1 });
    let looked = || async {
        let text = api.fetch("/metrics").await.text().await.unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("asman_claim_statement_seconds_count ")?.parse::<u32>().ok());
        (count >= Some(1)).then_some(())
    };
    eventually("the worker has looked", looked).await;
    waiting
}

#[tokio::test]
async fn a_job_enqueued_in_psql_wakes_a_waiting_worker_without_a_poll() {
    let api = TestApi::with(|config| config.poll = "5m".parse().unwrap()).await;
    let waiting = waiting_worker(&api).await;
    let (id, _) = psql(&api, r#"select asman.enqueue('q', '{"image": "a"}')"#);
    let start = tokio::time::Instant::now();
    assert_eq!(held(&in_time(waiting).await.unwrap()["jobs"][0]).0, id);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_waiting_worker_hears_of_what_was_enqueued_before_anybody_listened() {
    let database = migrations::testing::TestDatabase::new().await;
    let gate = Gate::to(&database.url).await;
    let listen_url = gate.url.clone();
    let api = TestApi::over(&database.url, |config| {
        config.poll = "5m".parse().unwrap();
        config.listen_url = Some(listen_url);
    })
    .await;
    let waiting = waiting_worker(&api).await;
    let (id, _) = psql(&api, r#"select asman.enqueue('q', '{"image": "a"}')"#);
    gate.open();
    assert_eq!(held(&in_time(waiting).await.unwrap()["jobs"][0]).0, id);
}

/// A way to the database that passes nothing until the test opens it.
struct Gate {
    url: String,
    opening: std::sync::Arc<tokio::sync::Notify>,
}

impl Gate {
    async fn to(database_url: &str) -> Self {
        let (before, name) = database_url.rsplit_once('/').unwrap();
        let (user, folder) = before.rsplit_once('@').unwrap();
        let socket = format!("{}/.s.PGSQL.5432", folder.replace("%2F", "/"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{user}@{}/{name}", listener.local_addr().unwrap());
        let opening = std::sync::Arc::new(tokio::sync::Notify::new());
        let opened = opening.clone();
        tokio::spawn(async move {
            opened.notified().await;
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = tokio::net::UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            }
        });
        Self { url, opening }
    }

    fn open(&self) {
        self.opening.notify_one();
    }
}

#[tokio::test]
async fn ids_and_canonical_texts_equal_those_of_browsers() {
    let api = TestApi::new().await;
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../../protocol/vectors/job-ids.json")).unwrap();
    assert!(vectors.len() >= 10);
    for vector in &vectors {
        let text = vector["definition"].to_string().replace('\'', "''");
        for (member, function) in [("id", "job_id"), ("id_old", "old_job_id")] {
            let statement = AssertSqlSafe(format!("select asman.{function}('{text}'::jsonb)"));
            let id: String = api.database().await.fetch_one(statement).await.unwrap().get(0);
            assert!(vector[member].is_null() || vector[member] == id, "{member}: {id} of {vector}");
        }
        for canonical_text in [&vector["canonical"], &vector["canonical_old"]].into_iter().filter_map(Value::as_str) {
            let value: Value = serde_json::from_str(canonical_text).unwrap();
            assert_eq!(canonical(&api, &value).await, canonical_text);
        }
    }
    let odd = json!({"\u{ff61}": 1, "\u{1f600}": 2, "\u{e000}": 3, "\u{10ffff}": 4, "10": 1.0, "9": -0.0, "": {}, "a": {"b": [], "aa": null},
        "s": "a\u{1}\u{7f}/\u{2028}\"\\\u{8}\t\n\u{c}\r\u{1f}é", "n": [1e21, 1e-7, 0.000_001, 123_456_789_012_345_680_000.0, 1.5, 0.1, 5e-324,
        1.797_693_134_862_315_7e308, -2.5, 1_152_921_504_606_846_976_i64, 1e20, 0.1 + 0.2, 100, 4096.125, 1e15, 1e16, 123e-20, true, false]});
    assert_eq!(canonical(&api, &odd).await, canonical_json(&odd));
    let (_, error) = psql(&api, "select asman.canonical_json('1e400')");
    assert!(error.contains("does not fit a double"), "{error}");
    let (_, error) = psql(&api, r#"select asman.job_id('{"image": "a\u0000"}')"#);
    assert!(error.contains("Unicode"), "{error}");
}

/// The columns of a `queued` row that describe its job, without its queue and its position.
const ROW: &str = "select to_jsonb(q) - array['qid', 'seq', 'queued_at', 'job_key'] from asman.queued_job q where qid = asman.qid($1) and job_id = $2";

#[tokio::test]
async fn both_doors_queue_the_same_row() {
    let api = TestApi::new().await;
    for definition in [
        json!({"image": "a"}),
        json!({"build": {"context": "https://example.com/x.tgz", "buildArgs": ["A=1"]}, "command": "x", "env": {"channel": "c", "A": 1}}),
        json!({"image": "a", "tags": ["b", "a", "b", "é", "Z"], "maxDuration": "1h30m", "requirements": {"cpus": 0.1, "gpus": 2.0, "memory": "1.5g"}}),
        json!({"image": "a", "requirements": {"cpus": 2.0, "memory": 8_388_608, "maxDuration": "1250ms"}, "maxDuration": 1500}),
        json!({"image": "a", "requirements": {"cpus": 1e-7, "memory": "4 GiB", "maxDuration": "1.5h"}, "maxDuration": null, "shmSize": "64m"}),
        json!({"image": "a", "inputs": {"a/b.txt": {"value": "x"}}, "configFiles": {"/etc/x": {"type": "json", "value": {"a": 1}}}}),
    ] {
        let control = json!({"namespace": "mine", "maxDuration": "20m"});
        let id = api.submit_job("http", json!({"definition": definition, "control": control})).await;
        let statement = format!("select asman.enqueue('sql', $json${definition}$json$, $json${control}$json$)");
        assert_eq!(psql(&api, &statement), (id.clone(), String::new()), "{definition}");
        let mut rows = Vec::new();
        for queue in ["http", "sql"] {
            let row: Value = sqlx::query_scalar(ROW).bind(queue).bind(&id).fetch_one(&mut api.database().await).await.unwrap();
            rows.push(row);
        }
        assert_eq!(rows[0], rows[1], "{definition}");
    }
}

#[tokio::test]
async fn what_cannot_be_queued_is_refused_with_the_same_words_and_stores_nothing() {
    let api = TestApi::new().await;
    for definition in [
        json!({"command": "x"}),
        json!({"image": " "}),
        json!({"image": "a", "inputs": {"../x": {"value": "y"}}}),
        json!({"image": "a", "inputs": {"/etc/x": {"value": "y"}}}),
        json!({"image": "a", "configFiles": {"/etc/../x": {"value": "y"}}}),
        json!({"image": "a", "inputs": {"a//b": {"value": "y"}}}),
        json!({"image": "a", "maxDuration": "soon"}),
        json!({"image": "a", "maxDuration": "99999d"}),
        json!({"image": "a", "requirements": {"maxDuration": "1h30"}}),
        json!({"image": "a", "shmSize": "big"}),
        json!({"image": "a", "requirements": {"memory": "4q"}}),
        json!({"image": "a", "requirements": {"cpus": -1}}),
        json!({"image": "a", "requirements": {"gpus": 5000}}),
        json!({"image": "a", "requirements": {"gpus": 1.5}}),
        json!({"image": "a", "inputs": {"x": {"type": "base64", "value": "%"}}}),
        json!({"image": "a", "configFiles": {"/x": {"type": "base64", "value": 5}}}),
        json!({"image": "a", "env": {"A=B": "c"}}),
        json!({"image": "a", "tags": ["a/b"]}),
    ] {
        let (status, answer) = api.post("/q/q", json!({"definition": definition})).await;
        let (_, error) = psql(&api, &format!("select asman.enqueue('q', $json${definition}$json$)"));
        let sentence = answer["error"].as_str().unwrap();
        assert_eq!(status, 400);
        assert!(error.contains(&format!("ERROR:  {sentence}\n")), "{sentence:?} {error:?}");
    }
    // Members of the wrong type are refused by both, but REST and SQL have different sentences for it.
    for definition in [
        "[]",
        r#"{"image": 1}"#,
        r#"{"image": "a", "tags": "x"}"#,
        r#"{"image": "a", "tags": [1]}"#,
        r#"{"image": "a", "env": []}"#,
        r#"{"image": "a", "inputs": {"x": "y"}}"#,
        r#"{"image": "a", "inputs": {"x": {"value": 1, "type": "tar"}}}"#,
        r#"{"image": "a", "requirements": {"cpus": "2"}}"#,
    ] {
        assert_eq!(api.post_text("/q/q", format!(r#"{{"definition": {definition}}}"#)).await.0, 400, "{definition}");
        let (_, error) = psql(&api, &format!("select asman.enqueue('q', $json${definition}$json$)"));
        assert!(error.contains("ERROR:  the definition cannot be read: "), "{definition} {error}");
    }
    for call in [
        "'', '{\"image\": \"a\"}'",
        "'q', '{\"image\": \"a\"}', '{\"namespace\": \"*\"}'",
        "'q', '{\"image\": \"a\"}', '{\"namespace\": \"a/b\"}'",
        "'q', '{\"image\": \"a\"}', '{\"callbacks\": {\"finished\": {\"url\": \"ftp://x\"}}}'",
        "'q', null",
    ] {
        let (answer, error) = psql(&api, &format!("select asman.enqueue({call})"));
        assert!(answer.is_empty() && error.contains("ERROR: "), "{call} {error}");
    }
    assert_eq!(api.count("select (select count(*) from asman.queued) + (select count(*) from asman.definition)").await, 0);
}

#[tokio::test]
async fn the_queues_policy_and_its_webhooks_hold_for_sql_too() {
    let api = TestApi::new().await;
    api.execute("insert into asman.policy (qid, n_queued_max, max_seconds) values (asman.qid('q'), 1, 90)").await;
    let callbacks = r#"{"callbacks": {"queued": null, "finished": {"url": "https://example.com/x", "payload": {"a": 1}}}}"#;
    let (id, error) = psql(&api, &format!("select asman.enqueue('q', '{{\"image\": \"a\"}}', '{callbacks}')"));
    assert_eq!((id.len(), error.as_str()), (64, ""));
    assert_eq!(api.count("select max_seconds::int8 from asman.job").await, 90);
    let owed = "select count(*) from asman.webhook where queue = 'q' and kind = 'finished' and url = 'https://example.com/x' and payload ->> 'a' = '1'";
    assert_eq!(api.count(owed).await, 1);
    let (_, error) = psql(&api, r#"select asman.enqueue('q', '{"image": "b"}')"#);
    assert!(error.contains("no room for another job"), "{error}");
}

const PRIVATE: &str = "https://me:T0KEN@host.example/a/b.git";

/// Runs a statement as a user who may read every table that contains no logins.
fn as_reader(api: &TestApi, name: &str, statement: &str) -> (String, String) {
    let grants = format!(
        "do $$ begin create role {name}; exception when duplicate_object then null; end $$; grant usage on schema asman to {name}; \
         grant select on asman.definition, asman.class, asman.job, asman.queued, asman.running, asman.finished, asman.event, asman.webhook to {name}; \
         grant asman_read to {name}; set role {name}; {statement}"
    );
    let (shown, error) = psql(api, &grants);
    (shown, error)
}

#[tokio::test]
async fn a_login_in_a_contexts_url_is_in_no_table_that_readers_may_have_and_in_the_claim_of_its_worker() {
    let api = TestApi::new().await;
    let sent = json!({"build": {"context": PRIVATE}, "command": "1"});
    let by_http = api.submit_job("q", json!({"definition": sent})).await;
    let enqueued = json!({"build": {"context": PRIVATE}, "command": "2"});
    let (by_sql, _) = psql(&api, &format!("select asman.enqueue('q', '{enqueued}')"));
    assert_eq!((by_http, by_sql), (protocol::job_id_of(&sent), protocol::job_id_of(&enqueued)), "ids are of what was submitted");
    let put = api.post("/q/q/api/v1/queue/put", json!({"item": {"build": {"context": PRIVATE}, "command": "3"}})).await;
    assert_eq!(put.0, 200, "{put:?}");
    let tables = "select body from asman.definition; select * from asman.queued; select * from asman.event; \
                  select * from report.queue_depth";
    let (shown, error) = as_reader(&api, "asman_test_reader", tables);
    assert!(shown.contains("https://host.example/a/b.git") && error.replace("NOTICE", "").is_empty(), "{shown} {error}");
    assert!(!shown.contains("T0KEN"), "{shown}");
    let (shown, error) = as_reader(&api, "asman_test_reader", "select * from asman.login");
    assert!(!shown.contains("T0KEN") && error.contains("permission denied"), "{shown} {error}");
    for path in ["/q/q/api/v1/queue/peek/3", "/q/q/api/v1/queue/item/item"] {
        let (_, body) = api.get(path).await;
        assert!(!body.to_string().contains("T0KEN"), "{path}: {body}");
    }
    let claimed = api.claim("q", "w", 3, "15s").await;
    assert_eq!(claimed.len(), 3);
    assert!(claimed.iter().all(|job| job["definition"]["build"]["context"] == PRIVATE), "{claimed:?}");
}
