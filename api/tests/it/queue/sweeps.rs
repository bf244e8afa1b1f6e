//! Workers that fall silent, with one process and with two that sweep.

use std::time::Duration;

use api::Config;
use serde_json::{Value, json};

use crate::test_api::{TestApi, eventually, held};

/// A lease of one second, and a poll of the queue that is short enough to notice the end of a back-off.
fn hasty(config: &mut Config) {
    config.lease = protocol::Duration(Duration::from_secs(1));
    config.poll = protocol::Duration(Duration::from_millis(100));
}

/// Claims repeatedly, as a worker does, because one request waits for half a lease at most.
async fn patient_claim(api: &TestApi, worker: &str) -> Value {
    eventually("a job", || async { api.claim("q", worker, 1, "15s").await.pop() }).await
}

#[tokio::test]
async fn a_silent_worker_loses_its_job_to_another_and_comes_too_late() {
    let api = TestApi::with(hasty).await;
    let id = api.submit("q", 1).await;
    let (_, stale) = api.claim_one("q", "silent").await;
    let claim = patient_claim(&api, "other").await;
    assert_eq!((held(&claim).0, &claim["attempt"]), (id.clone(), &json!(2)));
    assert_eq!(api.finish(&id, stale).await, 409);
    assert_eq!(api.log(&id, stale, 0, "Running", &["late"]).await, 409);
    let (_, answer) = api.post("/q/q/heartbeat", json!({"workerId": "silent", "jobs": [{"jobId": id, "epoch": stale}]})).await;
    assert_eq!(answer["unknown"], json!([{"jobId": id, "epoch": stale}]));
    assert_eq!(api.finish(&id, held(&claim).1).await, 200);
}

#[tokio::test]
async fn a_worker_that_goes_on_beating_keeps_its_job_far_beyond_the_lease() {
    let api = TestApi::with(hasty).await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    for _ in 0..8 {
        let body = json!({"workerId": "w", "jobs": [{"jobId": id, "epoch": epoch}], "wait": "300ms"});
        assert_eq!(api.post("/q/q/heartbeat", body).await.1["unknown"], json!([]));
    }
    assert_eq!(api.finish(&id, epoch).await, 200);
}

#[tokio::test]
async fn the_third_lost_worker_ends_the_job_with_words() {
    let api = TestApi::with(hasty).await;
    let id = api.submit("q", 1).await;
    for attempt in 1..=3 {
        let claim = patient_claim(&api, &format!("silent-{attempt}")).await;
        assert_eq!(claim["attempt"], attempt);
        eventually("the claim is lost", || async { (api.state(&id).await != "running").then_some(()) }).await;
        api.execute("update asman.queued set not_before = null").await;
    }
    let (_, result) = api.get(&format!("/q/q/j/{id}/result.json")).await;
    assert_eq!(result["data"]["finishedReason"], "Error");
    let words = "given up after 3 lost workers: its worker stopped answering";
    assert_eq!(result["data"]["finished"]["message"], words);
    assert_eq!(result["data"]["finished"]["result"]["error"]["json"]["message"], words);
    let (_, history) = api.get(&format!("/q/q/j/{id}/history.json")).await;
    let lost = history["data"].as_array().unwrap().iter().filter(|entry| entry["reason"] == "WorkerLost").count();
    assert_eq!(lost, 2);
}

#[tokio::test]
async fn a_job_past_its_deadline_is_taken_back_from_a_worker_that_lives() {
    let api = TestApi::with(hasty).await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.execute("update asman.running set deadline = now() - interval '1 second'").await;
    let body = json!({"workerId": "w", "jobs": [{"jobId": id, "epoch": epoch}], "wait": "15s"});
    let (_, answer) = api.post("/q/q/heartbeat", body).await;
    assert_eq!(answer["unknown"], json!([{"jobId": id, "epoch": epoch}]), "reported at once");
    let (_, history) = api.get(&format!("/q/q/j/{id}/history.json")).await;
    assert_eq!(history["data"][2]["message"], "it ran past its deadline");
}

#[tokio::test]
async fn two_processes_that_sweep_take_each_job_back_once() {
    let one = TestApi::with(hasty).await;
    let _two = TestApi::over(&one.database_url, hasty).await;
    for n in 0..40 {
        one.submit("q", n).await;
    }
    let mut body = crate::test_api::claim_body("silent", 40, "5s");
    body["free"]["cpus"] = json!(40);
    assert_eq!(one.claim_with("q", body).await.len(), 40);
    eventually("all claims are lost", || async { (one.count("select count(*) from asman.queued").await == 40).then_some(()) })
        .await;
    let events = "select count(*) from report.event where kind = 'requeued'";
    assert_eq!(one.count(events).await, 40);
    assert_eq!(one.count("select count(*) from asman.queued where n_lost = 1 and attempt = 1").await, 40);
    assert_eq!(one.count("select count(*) from asman.running").await, 0);
}

#[tokio::test]
async fn a_process_that_starts_gives_workers_a_lease_to_come_back_first() {
    // The API was down for an hour. No heartbeat could be stored in this time, but every worker still works.
    let before = TestApi::new().await;
    let id = before.submit("q", 1).await;
    let (_, epoch) = before.claim_one("q", "w").await;
    let database_url = before.database_url.clone();
    drop(before);
    let after = TestApi::over(&database_url, |config| config.notifications = false).await;
    // A connected process has also run its maintenance, because it does both at its start.
    after.execute("update asman.worker set last_seen = last_seen - interval '1 hour'").await;
    let again = TestApi::over(&database_url, |_| {}).await;
    eventually("maintenance and sweeps have had their first turn", || async {
        let (status, _) = again.get("/readyz").await;
        (status == 200 && again.claim("q", "probe", 1, "1s").await.is_empty()).then_some(())
    })
    .await;
    let body = json!({"workerId": "w", "jobs": [{"jobId": id, "epoch": epoch}]});
    assert_eq!(again.post("/q/q/heartbeat", body).await.1["unknown"], json!([]));
    assert_eq!(again.finish(&id, epoch).await, 200);
}
