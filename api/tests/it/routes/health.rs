//! `/healthz`, `/readyz`, `/metrics`.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::test_api::{TestApi, assert_one_sentence, definition, eventually};

/// Name of the database at the end of its URL.
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
    assert_eq!((status, &body["error"]), (503, &json!("internal error")), "try again, and no word of the cause");
    assert!(body["id"].is_string());
    admin.execute(allow(true)).await.unwrap();
    eventually("the process is ready again", || async { (api.get("/readyz").await.0 == 200).then_some(()) }).await;
    api.submit("q", 1).await;
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
