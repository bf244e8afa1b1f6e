//! Heartbeats: their content, and how soon they answer.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::socket::Socket;
use crate::test_api::{PROMPT, TestApi, eventually, in_time};

fn beat(worker: &str, jobs: &[(&str, i64)], wait: &str) -> Value {
    let jobs: Vec<_> = jobs.iter().map(|(id, epoch)| json!({"jobId": id, "epoch": epoch})).collect();
    json!({"workerId": worker, "jobs": jobs, "wait": wait})
}

async fn heartbeat(api: &TestApi, body: Value) -> Value {
    let (status, answer) = api.post("/q/q/heartbeat", body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_held_claim_is_no_news() {
    let api = TestApi::new().await;
    api.submit("q", 1).await;
    let (id, epoch) = api.claim_one("q", "w").await;
    let answer = heartbeat(&api, beat("w", &[(&id, epoch)], "0s")).await;
    assert_eq!(answer, json!({"leaseSeconds": 30.0, "end": [], "unknown": [], "isUnknown": false}));
    let start = Instant::now();
    heartbeat(&api, beat("w", &[(&id, epoch)], "200ms")).await;
    assert!(start.elapsed().as_millis() >= 200, "it waits for news");
}

#[tokio::test]
async fn unknown_claims_and_unknown_workers_are_told_at_once() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let start = Instant::now();
    let answer = heartbeat(&api, beat("stranger", &[], "20s")).await;
    assert_eq!(answer["isUnknown"], true);
    let (_, epoch) = api.claim_one("q", "w").await;
    let answer = heartbeat(&api, beat("w", &[(&id, epoch), (&id, epoch + 7), ("nope", 1)], "20s")).await;
    assert_eq!(answer["unknown"], json!([{"jobId": id, "epoch": epoch + 7}, {"jobId": "nope", "epoch": 1}]));
    assert!(start.elapsed() < PROMPT);
}

#[tokio::test]
async fn a_cancel_reaches_the_waiting_worker_at_once() {
    let api = TestApi::new().await;
    api.submit("q", 1).await;
    let (id, epoch) = api.claim_one("q", "w").await;
    api.execute("update asman.worker set last_seen = last_seen - interval '10 seconds'").await;
    let request = api.request(reqwest::Method::POST, "/q/q/heartbeat").json(&beat("w", &[(&id, epoch)], "20s"));
    let waiting = tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() });
    eventually("the heartbeat has arrived", || async {
        let seen = "select count(*) from asman.worker where last_seen > now() - interval '5 seconds'";
        (api.count(seen).await == 1).then_some(())
    })
    .await;
    let start = Instant::now();
    api.post(&format!("/q/q/j/{id}/cancel?message=stop%20it"), json!({})).await;
    let answer = in_time(waiting).await.unwrap();
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    assert_eq!(answer["end"], json!([{"jobId": id, "epoch": epoch, "reason": "Cancelled", "message": "stop it"}]));
    // The answer contains the end again, until the worker stops naming the job.
    let answer = heartbeat(&api, beat("w", &[(&id, epoch)], "20s")).await;
    assert_eq!(answer["end"][0]["reason"], "Cancelled");
}

#[tokio::test]
async fn a_claim_that_never_reached_its_worker_is_put_back_after_its_grace() {
    let api = TestApi::new().await;
    api.submit("q", 1).await;
    let (id, epoch) = api.claim_one("q", "w").await;
    heartbeat(&api, beat("w", &[], "0s")).await;
    assert_eq!(api.state(&id).await, "running", "the answer may still be on its way");
    api.execute("update asman.running set claimed_at = claimed_at - interval '16 seconds'").await;
    heartbeat(&api, beat("other", &[], "0s")).await;
    heartbeat(&api, beat("w", &[(&id, epoch)], "0s")).await;
    assert_eq!(api.state(&id).await, "running", "named, or not of this worker");
    heartbeat(&api, beat("w", &[], "0s")).await;
    let again = api.claim("q", "other", 1, "0s").await.remove(0);
    assert_eq!((&again["jobId"], &again["attempt"]), (&json!(id), &json!(2)));
    assert_eq!(api.finish(&id, epoch).await, 409);
}

/// The last heartbeat of a worker that ends.
fn farewell(worker: &str, jobs: &[(&str, i64)]) -> Value {
    let mut body = beat(worker, jobs, "20s");
    body["isLeaving"] = json!(true);
    body
}

/// Ids of the workers that the queue's status counts.
async fn present(api: &TestApi) -> Vec<String> {
    let (_, status) = api.get("/q/q/status").await;
    status["localWorkers"].as_object().unwrap().keys().cloned().collect()
}

/// Waits until clients are shown exactly these workers.
async fn until_shown(client: &mut Socket, ids: &[&str]) {
    client
        .until(|message| {
            let workers = message["payload"]["workers"].as_array().filter(|_| message["type"] == "Workers")?;
            (workers.iter().map(|worker| worker["id"].as_str().unwrap()).collect::<Vec<_>>() == ids).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_worker_that_says_that_it_ends_is_gone_at_once() {
    let api = TestApi::new().await;
    let mut client = Socket::connect(&api, "/q/q/client").await;
    for worker in ["w", "other"] {
        api.claim("q", worker, 0, "0s").await;
    }
    until_shown(&mut client, &["w", "other"]).await;
    let start = Instant::now();
    for _ in 0..2 {
        let answer = heartbeat(&api, farewell("w", &[])).await;
        assert_eq!(answer, json!({"leaseSeconds": 30.0, "end": [], "unknown": [], "isUnknown": false}));
    }
    assert!(start.elapsed() < PROMPT, "it waits for nothing");
    assert_eq!(present(&api).await, ["other"]);
    until_shown(&mut client, &["other"]).await;
    let (_, report) = api.get("/q/q/report.json").await;
    assert!(!report["workers"].to_string().contains("\"w\""), "{report}");
    assert_eq!(heartbeat(&api, beat("w", &[], "0s")).await["isUnknown"], true, "if it still lives, it registers again");
}

#[tokio::test]
async fn a_worker_that_ends_is_kept_while_it_holds_a_claim_and_one_it_never_heard_of_goes_back() {
    let api = TestApi::new().await;
    api.submit("q", 1).await;
    api.submit("q", 2).await;
    let (held, epoch) = api.claim_one("q", "w").await;
    let (unheard, _) = api.claim_one("q", "w").await;
    heartbeat(&api, farewell("w", &[(&held, epoch)])).await;
    assert_eq!((api.state(&held).await, api.state(&unheard).await), ("running".to_owned(), "queued".to_owned()));
    assert_eq!(present(&api).await, ["w"], "its job lives as long as its lease");
    assert_eq!(api.finish(&held, epoch).await, 200);
    heartbeat(&api, farewell("w", &[])).await;
    assert!(present(&api).await.is_empty());
}

#[tokio::test]
async fn a_heartbeat_names_a_bounded_number_of_claims() {
    let api = TestApi::new().await;
    let jobs: Vec<_> = (0..4097).map(|_| ("x", 1)).collect();
    let (status, body) = api.post("/q/q/heartbeat", beat("w", &jobs, "0s")).await;
    assert_eq!(status, 400);
    crate::test_api::assert_one_sentence(&body);
}
