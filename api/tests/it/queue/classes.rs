//! Jobs of many kinds in one queue: jobs that no connected worker can run do not block the others.

use migrations::testing::queue_jobs;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::Instant;

use crate::test_api::{PROMPT, TestApi, claim_body, eventually, held, in_time};

/// Starts a claim that waits.
fn spawn_claim(api: &TestApi, body: &Value) -> tokio::task::JoinHandle<Value> {
    let request = api.request(reqwest::Method::POST, "/q/q/claim").json(body);
    tokio::spawn(async move { request.send().await.unwrap().json().await.unwrap() })
}

async fn fill(api: &TestApi, n: u32) {
    let strangers = queue_jobs(&format!(
        "select asman.qid('q') as qid, 'strange-' || n as job_id, n as class, 1 as cpus, array['nobody-' || n] as tags \
         from generate_series(1, {n}) n"
    ));
    api.database().await.execute(AssertSqlSafe(strangers)).await.unwrap();
}

#[tokio::test]
async fn an_idle_worker_gets_a_plain_job_at_once_beside_a_hundred_thousand_classes_that_nobody_can_run() {
    let api = TestApi::with(|config| config.limits.queue_depth = "200000".parse().unwrap()).await;
    fill(&api, 100_000).await;
    // The worker's first claim causes these classes to be tidied up.
    assert!(api.claim("q", "w", 1, "0s").await.is_empty());
    eventually("the classes are tidied up", || async {
        let offered = "select count(*) from asman.waiting_class where offered_qid is not null";
        (api.count(offered).await == 0).then_some(())
    })
    .await;
    let mut times = Vec::new();
    for n in 0..100 {
        let waiting = spawn_claim(&api, &claim_body("w", 1, "20s"));
        tokio::time::sleep(Duration::from_millis(5)).await;
        let id = api.submit("q", n).await;
        let start = Instant::now();
        let claim = in_time(waiting).await.unwrap();
        times.push(start.elapsed());
        let (claimed, epoch) = held(&claim["jobs"][0]);
        assert_eq!(claimed, id);
        api.finish(&id, epoch).await;
    }
    times.sort();
    println!("from the answer to the submission to the claim: p50 {:?}, p99 {:?}, max {:?}", times[50], times[98], times[99]);
    assert!(times[50] < Duration::from_millis(200), "{times:?}");
}

#[tokio::test]
async fn a_waiting_worker_gets_the_plain_job_behind_310_that_nobody_can_run_without_a_poll() {
    let api = TestApi::with(|config| config.poll = "5m".parse().unwrap()).await;
    fill(&api, 310).await;
    assert!(api.claim("q", "w", 1, "0s").await.is_empty());
    let waiting = spawn_claim(&api, &claim_body("w", 1, "15s"));
    let id = api.submit("q", 1).await;
    let start = Instant::now();
    assert_eq!(held(&in_time(waiting).await.unwrap()["jobs"][0]).0, id);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_no_worker_has_is_named_while_a_job_waits_for_it() {
    let api = TestApi::new().await;
    let mut body = claim_body("w", 0, "0s");
    body["worker"]["tags"] = json!(["lab"]);
    body["worker"]["secrets"] = json!(["OTHER"]);
    body["worker"]["builds"] = json!(false);
    api.claim_with("q", body).await;
    for (definition, why) in [
        (json!({"image": "a", "secrets": ["KEY"]}), "no connected worker has the secret KEY"),
        (json!({"image": "none", "command": "a.sh"}), "no connected worker runs scripts: its job names a script and no image"),
        (json!({"image": "a", "tags": ["other"]}), "no connected worker carries the tag other"),
        (json!({"image": "a", "build": {"dockerfile": "FROM a"}}), "no connected worker builds images"),
        (
            json!({"build": {"dockerfile": "FROM a", "platform": "linux/arm/v7"}}),
            "no connected worker runs the platform linux/arm/v7",
        ),
    ] {
        let id = api.submit_job("q", json!({"definition": definition})).await;
        let (_, status) = api.get("/q/q/status").await;
        let waiting = status["waiting"].as_array().unwrap().iter().find(|entry| entry["jobId"] == *id).unwrap();
        let said = waiting["why"].as_str().unwrap();
        assert!(said == why || said == "no connected worker builds images", "{said}");
        api.post(&format!("/q/q/j/{id}/cancel"), json!({})).await;
    }
    let (_, tagged) = api.get("/q/q/status").await;
    assert_eq!(tagged["waiting"], json!([]));
}

#[tokio::test]
async fn tags_that_clients_see_are_their_authors_own() {
    let api = TestApi::new().await;
    let definition = json!({"image": "none", "command": "a.sh", "secrets": ["KEY"], "tags": ["mine"]});
    let id = api.submit_job("q", json!({"definition": definition})).await;
    let (_, jobs) = api.get("/q/q/j").await;
    assert!(jobs.to_string().contains(r#""tags":["mine"]"#), "{id}: {jobs}");
}
