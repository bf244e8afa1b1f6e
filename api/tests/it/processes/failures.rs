//! Connections to the database that break in the middle.

use std::time::Duration;

use serde_json::json;
use sqlx::Executor;

use crate::socket::Socket;
use crate::test_api::{TestApi, claim_body, definition, eventually, held, in_time};

/// Cuts every connection to the database except its own.
async fn cut_all(api: &TestApi) {
    let sql = "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    api.database().await.execute(sql).await.unwrap();
}

/// Submits as a client does: it repeats the request until it is acknowledged.
async fn submit_until_acknowledged(api: &TestApi, n: u32) -> String {
    eventually("the job is acknowledged", || async {
        let (status, body) = api.post("/q/q", json!({"definition": definition(n)})).await;
        assert!(status == 200 || status == 503, "{status} {body}");
        (status == 200).then(|| body["jobId"].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test]
async fn processes_whose_connections_are_cut_recover_and_lose_nothing() {
    let often = |config: &mut api::Config| config.poll = protocol::Duration(Duration::from_millis(200));
    let one = TestApi::with(often).await;
    let two = TestApi::over(&one.database_url, often).await;
    let mut socket = Socket::connect(&two, "/q/q/client").await;
    let mut ids = vec![one.submit("q", 0).await];
    let (_, epoch) = one.claim_one("q", "w").await;
    for n in 1..=20 {
        if n % 7 == 0 {
            cut_all(&one).await;
        }
        ids.push(submit_until_acknowledged(if n % 2 == 0 { &one } else { &two }, n).await);
    }
    socket.until_job(&ids[20], "Queued").await;
    eventually("the claim made before is finished", || async { (one.finish(&ids[0], epoch).await == 200).then_some(()) }).await;
    socket.until_job(&ids[0], "Finished").await;
    let mut claimed: Vec<_> = two.claim("q", "w", 16, "5s").await.iter().map(|claim| held(claim).0).collect();
    claimed.extend(one.claim("q", "w2", 16, "5s").await.iter().map(|claim| held(claim).0));
    claimed.sort();
    ids.remove(0);
    ids.sort();
    assert_eq!(claimed, ids, "each acknowledged job, once");
}

#[tokio::test]
async fn a_worker_that_waits_while_connections_are_cut_gets_its_job_all_the_same() {
    let often = |config: &mut api::Config| config.poll = protocol::Duration(Duration::from_millis(200));
    let one = TestApi::with(often).await;
    let two = TestApi::over(&one.database_url, often).await;
    let request = two.request(reqwest::Method::POST, "/q/q/claim").json(&claim_body("w", 1, "20s"));
    let waiting = tokio::spawn(async move { request.send().await.unwrap().json::<serde_json::Value>().await.unwrap() });
    eventually("the worker waits", || async { (one.count("select count(*) from asman.worker").await == 1).then_some(()) }).await;
    cut_all(&one).await;
    let id = submit_until_acknowledged(&one, 1).await;
    assert_eq!(held(&in_time(waiting).await.unwrap()["jobs"][0]).0, id);
}
