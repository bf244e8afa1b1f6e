//! Claims whose worker disconnects, and submissions during other changes.

use serde_json::{Value, json};
use sqlx::Executor;

use crate::test_api::{TestApi, claim_body, definition, eventually, held, in_time};

/// Starts a claim that waits, as a task that can be cut off.
fn spawn_claim(api: &TestApi, worker: &str) -> tokio::task::JoinHandle<Value> {
    let request = api.request(reqwest::Method::POST, "/q/q/claim").json(&claim_body(worker, 1, "20s"));
    tokio::spawn(async move { request.send().await.unwrap().json().await.unwrap() })
}

/// Sends further requests. When they have been served, the server has noticed the end of the earlier connection.
async fn let_the_server_notice(api: &TestApi) {
    for _ in 0..20 {
        reqwest::get(format!("{}/healthz", api.url)).await.unwrap();
    }
}

async fn until_registered(api: &TestApi, n: i64) {
    eventually("the worker is registered", || async {
        (api.count("select count(*) from asman.worker").await == n).then_some(())
    })
    .await;
}

/// Waits for the gauge of waiting claims: a registered worker is not enough, because its claim begins to wait only later.
async fn until_a_claim_waits(api: &TestApi) {
    eventually("a claim waits", || async {
        api.fetch("/metrics").await.text().await.unwrap().contains("\nasman_claims_waiting 1\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_waiting_claim_whose_worker_goes_away_costs_a_job_nothing() {
    let api = TestApi::new().await;
    let gone = spawn_claim(&api, "gone");
    until_registered(&api, 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let_the_server_notice(&api).await;
    let id = api.submit("q", 1).await;
    let claim = api.claim("q", "other", 1, "10s").await.remove(0);
    assert_eq!((held(&claim).0, &claim["attempt"]), (id, &json!(1)), "it was never claimed for the worker that had gone");
}

#[tokio::test]
async fn a_claim_whose_worker_goes_away_while_it_is_made_is_put_back_at_once() {
    let api = TestApi::new().await;
    // Makes the worker known: a new worker first marks the classes that it can run, and waits while they are tidied up.
    assert!(api.claim("q", "gone", 1, "0s").await.is_empty());
    let id = api.submit("q", 1).await;
    // The claim's statement is blocked, so that it ends after its worker has gone.
    let mut connection = api.database().await;
    connection.execute("begin; lock table asman.queued in access exclusive mode").await.unwrap();
    let gone = spawn_claim(&api, "gone");
    eventually("the claim is in progress", || async {
        // The query's first words matter, because other statements read the table too.
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() \
                       and wait_event_type = 'Lock' and query like '-- Claim waiting jobs %'";
        (api.count(waiting).await > 0).then_some(())
    })
    .await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let_the_server_notice(&api).await;
    connection.execute("commit").await.unwrap();
    let claim = api.claim("q", "other", 1, "10s").await.remove(0);
    assert_eq!((held(&claim).0, &claim["attempt"]), (id.clone(), &json!(2)), "the lost claim was one");
    let (_, history) = api.get(&format!("/q/q/j/{id}/history.json")).await;
    let events: Vec<_> = history["data"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["queued", "claimed", "released", "claimed"]);
}

#[tokio::test]
async fn a_worker_that_asks_anew_is_answered_once() {
    let api = TestApi::new().await;
    let old = spawn_claim(&api, "w");
    until_a_claim_waits(&api).await;
    let new = spawn_claim(&api, "w");
    assert_eq!(in_time(old).await.unwrap(), json!({"jobs": []}), "the older request is answered empty");
    let id = api.submit("q", 1).await;
    assert_eq!(held(&in_time(new).await.unwrap()["jobs"][0]).0, id);
}

#[tokio::test]
async fn a_submission_that_meets_a_cancel_is_not_lost_with_it() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    // The cancel is executed but not yet committed when the job is submitted again.
    let mut connection = api.database().await;
    let cancel = sqlx::query("select asman.cancel(asman.qid('q'), $1, '_', 'Cancelled', null)").bind(&id);
    connection.execute("begin").await.unwrap();
    cancel.execute(&mut connection).await.unwrap();
    let body = json!({"definition": definition(1), "control": {"namespace": "other"}});
    let request = api.request(reqwest::Method::POST, "/q/q").json(&body);
    let submit = tokio::spawn(async move { request.send().await.unwrap().status() });
    eventually("the submission waits for the cancel", || async {
        (api.count("select count(*) from pg_locks where not granted").await > 0).then_some(())
    })
    .await;
    connection.execute("commit").await.unwrap();
    assert_eq!(in_time(submit).await.unwrap(), 200);
    assert_eq!(api.state(&id).await, "queued", "an acknowledged job is never lost");
    assert_eq!(api.get(&format!("/q/q/j/{id}/namespaces.json")).await.1, json!({"data": ["other"]}));
}

#[tokio::test]
async fn a_submission_that_meets_a_claim_joins_the_running_job() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let mut connection = api.database().await;
    connection.execute("begin").await.unwrap();
    connection.execute(include_str!("claim_all.sql")).await.unwrap();
    let body = json!({"definition": definition(1), "control": {"namespace": "other"}});
    let request = api.request(reqwest::Method::POST, "/q/q").json(&body);
    let submit = tokio::spawn(async move { request.send().await.unwrap().status() });
    eventually("the submission waits for the claim", || async {
        (api.count("select count(*) from pg_locks where not granted").await > 0).then_some(())
    })
    .await;
    connection.execute("commit").await.unwrap();
    assert_eq!(in_time(submit).await.unwrap(), 200);
    assert_eq!(api.get(&format!("/q/q/j/{id}/namespaces.json")).await.1, json!({"data": ["_", "other"]}));
    assert_eq!(api.count("select count(*) from asman.queued").await, 0);
}

#[tokio::test]
async fn a_claim_that_is_put_back_goes_to_the_next_waiting_worker_without_a_poll() {
    let api = TestApi::with(|config| config.poll = "5m".parse().unwrap()).await;
    assert!(api.claim("q", "other", 1, "0s").await.is_empty());
    let id = api.submit("q", 1).await;
    let mut connection = api.database().await;
    connection.execute("begin; lock table asman.queued in access exclusive mode").await.unwrap();
    let gone = spawn_claim(&api, "gone");
    eventually("the claim is in progress", || async {
        let waiting = "select count(*) from pg_locks where not granted and relation = 'asman.queued'::regclass";
        (api.count(waiting).await > 0).then_some(())
    })
    .await;
    let other = spawn_claim(&api, "other");
    until_registered(&api, 2).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let_the_server_notice(&api).await;
    connection.execute("commit").await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(held(&in_time(other).await.unwrap()["jobs"][0]).0, id);
    assert!(start.elapsed() < crate::test_api::PROMPT, "{:?}", start.elapsed());
}
