//! `/healthz`, `/readyz`, `/metrics`.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::socket::{Socket, submission};
use crate::test_api::{TestApi, assert_one_sentence, claim_body, definition, eventually};

/// The name of the database, which is at the end of its URL.
fn name_of(api: &TestApi) -> String {
    api.database_url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_process_that_can_serve_says_so() {
    let api = TestApi::new().await;
    let health = api.fetch("/healthz").await;
    assert_eq!((health.status().as_u16(), health.text().await.unwrap().as_str()), (200, "OK"));
    assert_eq!(api.get("/readyz").await, (200, json!({"ready": true, "missing": []})));
}

#[tokio::test]
async fn without_its_database_a_process_lives_but_is_not_ready_and_comes_back_by_itself() {
    let api = TestApi::new().await;
    let mut admin = PgConnection::connect(&migrations::testing::server_url()).await.unwrap();
    let name = name_of(&api);
    let allow = |is_allowed: bool| AssertSqlSafe(format!("alter database {name} allow_connections {is_allowed}"));
    admin.execute(allow(false)).await.unwrap();
    let kick = format!("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'");
    admin.execute(AssertSqlSafe(kick)).await.unwrap();
    assert_eq!(api.get("/readyz").await, (503, json!({"ready": false, "missing": ["database"]})));
    assert_eq!(api.get("/healthz").await.0, 200);
    let (status, body) = api.post("/q/q", json!({"definition": definition(1)})).await;
    assert_eq!((status, &body["error"]), (503, &json!("internal error")), "try again, and no word about the cause");
    assert_eq!((body["id"].is_string(), &body["code"]), (true, &json!("no-database")));
    admin.execute(allow(true)).await.unwrap();
    eventually("the process is ready again", || async { (api.get("/readyz").await.0 == 200).then_some(()) }).await;
    api.submit("q", 1).await;
}

/// Whether the answer of `/readyz` names `asman db migrate`.
async fn asks_for_a_migration(api: &TestApi) -> bool {
    let (status, body) = api.get("/readyz").await;
    let why = body["why"].as_str().unwrap_or_default();
    status == 503 && body["missing"] == json!(["database"]) && why.contains("run `asman db migrate`")
}

#[tokio::test]
async fn a_process_on_an_older_schema_is_not_ready_and_says_what_to_do() {
    let api = TestApi::new().await;
    api.execute("delete from asman.migration where version = (select max(version) from asman.migration)").await;
    assert!(asks_for_a_migration(&api).await);
}

#[tokio::test]
async fn a_process_is_ready_on_its_own_procedures_and_on_those_of_a_newer_release() {
    let api = TestApi::new().await;
    api.execute("insert into asman.schema_text (hash) values ('of a newer release')").await;
    assert_eq!(api.get("/readyz").await.0, 200, "the release before works on it");
    api.execute("update asman.schema_text set first_applied = '2020-01-01' where hash = 'of a newer release'").await;
    assert!(asks_for_a_migration(&api).await, "an older release has migrated back");
    api.execute("delete from asman.schema_text").await;
    assert!(asks_for_a_migration(&api).await);
    migrations::migrate(&api.database_url).await.unwrap();
    assert_eq!(api.get("/readyz").await.0, 200);
}

/// A change by a migration of a later release that this release cannot work with. Like `V010`, it removes all hashes.
const LATER: &str = "insert into asman.migration (version, name, applied_on, checksum) values (900, 'later', '2030-01-01', '1');
    delete from asman.schema_text; insert into asman.schema_text (hash) values ('of the later release');
    alter table asman.queued rename to waiting; alter table asman.running rename to held";
const NOT_LATER: &str = "delete from asman.migration where version = 900;
    alter table asman.waiting rename to queued; alter table asman.held rename to running";

#[tokio::test]
async fn a_process_that_cannot_work_with_the_schema_of_a_newer_release_is_not_ready_and_claims_and_loses_nothing() {
    let api = TestApi::new().await;
    api.submit("q", 1).await;
    let (claimed, epoch) = api.claim_one("q", "w").await;
    let waiting = api.submit("q", 2).await;
    api.execute(LATER).await;
    let (status, body) = api.get("/readyz").await;
    let why = body["why"].as_str().unwrap_or_default();
    assert!(status == 503 && why.contains("at version 900") && why.contains("upgrade this program"), "{status} {body}");
    assert_eq!(api.get("/healthz").await.0, 200, "it is alive, so that nothing restarts it in vain");
    let (status, answer) = api.post("/q/q/claim", claim_body("w", 1, "0s")).await;
    assert!(status >= 500 || answer["jobs"] == json!([]), "{status} {answer}");
    let (submitted, _) = api.post("/q/q", json!({"definition": definition(3)})).await;
    let finished = api.finish(&claimed, epoch).await;
    assert!(submitted >= 500 && finished >= 500, "nothing is acknowledged: {submitted}, {finished}");
    api.execute(NOT_LATER).await;
    migrations::migrate(&api.database_url).await.unwrap();
    assert_eq!(api.finish(&claimed, epoch).await, 200, "the claim is still valid");
    assert_eq!(api.claim_one("q", "w").await.0, waiting);
    assert_eq!(api.count("select count(*) from asman.queued").await, 0, "what was refused is not stored");
}

#[tokio::test]
async fn a_process_does_not_start_on_procedures_that_are_not_its_own() {
    let database = migrations::testing::TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    connection.execute("delete from asman.schema_text").await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = api::Config::for_database(database.url.clone(), std::env::temp_dir());
    let refused = api::serve(listener, config, tokio_util::sync::CancellationToken::new()).await.unwrap_err();
    assert!(refused.to_string().contains("run `asman db migrate`"), "{refused}");
}

#[tokio::test]
async fn the_processs_metrics_count_and_never_name_a_queue() {
    let api = TestApi::new().await;
    let id = api.submit("my-secret-queue", 1).await;
    api.claim("my-secret-queue", "w", 1, "0s").await;
    let text = api.fetch("/metrics").await.text().await.unwrap();
    assert!(text.contains("asman_jobs_submitted_total 1\n"), "{text}");
    assert!(text.contains("asman_jobs_claimed_total 1\n"), "{text}");
    assert!(!text.contains("secret") && !text.contains(&id), "{text}");
    let (_, body) = api.get("/q/my-secret-queue/j/nope").await;
    assert_one_sentence(&body);
    assert!(!body.to_string().contains("secret"));
}

/// The names of the metrics in a text, without the suffixes of a histogram's series.
fn names(text: &str) -> std::collections::BTreeSet<String> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(ToOwned::to_owned)).collect()
}

#[tokio::test]
async fn every_metric_of_a_living_process_and_of_a_queue_is_in_the_operators_table() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    socket.send_text("undefined").await;
    socket.send(&submission("x", &json!({"command": "no image"}))).await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.finish(&id, epoch + 1).await, 409);
    assert_eq!(api.finish(&id, epoch).await, 200);
    socket.until_job(&id, "Finished").await;
    // Some time after the start, the gauges are set and the first echo arrives.
    let all = [
        "asman_client_sockets",
        "asman_database_connections",
        "asman_webhooks_due",
        "asman_notify_lag_seconds",
        "asman_socket_messages_ignored_total",
        "asman_socket_messages_refused_total",
        "asman_http_request_seconds",
        "asman_stale_writes_total",
        "asman_claim_statement_seconds",
        "asman_notifications_sent_total",
    ];
    let whole = || async {
        let text = api.fetch("/metrics").await.text().await.unwrap();
        let live = names(&text);
        all.iter().all(|name| live.contains(*name)).then_some(live)
    };
    let live = eventually("the metrics are there", whole).await;
    let of_queue = names(&api.fetch("/q/q/metrics").await.text().await.unwrap());
    let table = include_str!("../../../../docs/operations.md");
    for name in live.iter().chain(&of_queue) {
        assert!(table.contains(&format!("| `{name}` |")), "{name} is not in the table of docs/operations.md");
    }
    let told =
        |line: &str| Some((line.strip_prefix("| `")?.split_once('`')?.0.to_owned(), line.contains("at `/q/<queue>/metrics`")));
    let told_of_queue: std::collections::BTreeSet<_> =
        table.lines().filter_map(told).filter(|(_, is_of_queue)| *is_of_queue).map(|(name, _)| name).collect();
    assert_eq!(of_queue, told_of_queue);
}
