//! `/q/:queue/status` and `/q/:queue/metrics`.

use serde_json::{Value, json};

use crate::test_api::{PROMPT, TestApi, claim_body};

#[tokio::test]
async fn a_status_has_the_shape_that_existing_tools_read() {
    let api = TestApi::new().await;
    let running = api.submit("q", 1).await;
    api.claim_one("q", "w").await;
    let queued = api.submit_job("q", json!({"definition": {"image": "a", "requirements": {"cpus": 2.5}}})).await;
    let start = tokio::time::Instant::now();
    let (status, body) = api.get("/q/q/status").await;
    assert_eq!(status, 200);
    assert!(start.elapsed() < PROMPT, "answered from what is known, without asking workers: {:?}", start.elapsed());
    assert_eq!(body["jobs"], json!({&running: {"state": "Running"}, &queued: {"state": "Queued"}}));
    assert_eq!(body["otherServers"], json!({}));
    let worker = &body["localWorkers"]["w"];
    assert_eq!(
        (&worker["id"], &worker["cpus"], &worker["gpus"], &worker["maxJobDuration"]),
        (&json!("w"), &json!(16), &json!(0), &json!("1h"))
    );
    assert!(worker["time"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(worker["queue"], json!({&running: {"jobId": running, "finished": false}}));
    let info = &body["queueInfo"];
    assert_eq!((&info["jobCount"], &info["localWorkerCount"], &info["clientCount"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(info["jobStates"].as_array().unwrap().len(), 2);
    assert_eq!(info["address"], "q");
    assert!(!info["serverId"].as_str().unwrap().is_empty());
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&body), ["jobs", "otherServers", "localWorkers", "clientCount", "queueInfo", "demand", "waiting"]);
    let of_info = ["address", "serverId", "jobCount", "localWorkerCount", "otherWorkerCount", "clientCount", "jobStates"];
    assert_eq!(members(info), of_info);
    assert_eq!(body["demand"], json!(4), "1 and 2.5 cpus, rounded up, and a whole number has no point");
    assert_eq!(body["waiting"][0]["jobId"], *queued);
    assert_eq!(api.get("/q/status").await.0, 200);
    assert_eq!(api.get("/some-queue/status").await.1["jobs"], json!({}));
}

#[tokio::test]
async fn a_finished_job_shows_its_reason() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&id, epoch).await;
    let (_, body) = api.get("/q/q/status").await;
    assert_eq!(body["jobs"][&id], json!({"state": "Finished", "finishedReason": "Success"}));
    assert_eq!((&body["demand"], &body["waiting"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn each_waiting_job_is_told_its_place_and_what_it_waits_for() {
    let api = TestApi::new().await;
    let mut ids = Vec::new();
    for n in 0..9 {
        let needs = [json!({}), json!({"gpus": 1}), json!({"cpus": 100})][n % 3].clone();
        ids.push(
            api.submit_job("q", json!({"definition": {"image": "a", "command": n.to_string(), "requirements": needs}})).await,
        );
    }
    let waiting = |body: &Value| body["waiting"].as_array().unwrap().clone();
    let (_, alone) = api.get("/q/q/status").await;
    for (n, entry) in waiting(&alone).iter().enumerate() {
        assert_eq!((&entry["jobId"], &entry["position"]), (&json!(ids[n]), &json!(n + 1)), "in the order of the queue");
        assert_eq!((&entry["code"], &entry["why"]), (&json!("no-worker"), &json!("no worker is connected")));
    }
    let mut body = claim_body("w", 0, "0s");
    body["free"]["jobs"] = json!(0);
    api.claim_with("q", body).await;
    let (_, with_worker) = api.get("/q/q/status").await;
    let why: Vec<_> = waiting(&with_worker).iter().map(|entry| entry["why"].as_str().unwrap().to_owned()).collect();
    let gpus = "no connected worker has enough gpus: it needs 1, the most is 0";
    let cpus = "no connected worker has enough cpus: it needs 100, the most is 16";
    assert_eq!(why[..3], ["a worker that can run it takes it as soon as it has room", gpus, cpus]);
}

#[tokio::test]
async fn what_no_worker_has_is_named() {
    let api = TestApi::new().await;
    for (worker, tags, gpus) in [("tagged", json!(["lab"]), 0), ("strong", json!([]), 2)] {
        let mut body = claim_body(worker, 0, "0s");
        body["worker"]["tags"] = tags;
        body["worker"]["gpus"] = json!(gpus);
        body["worker"]["memory"] = json!(1 << 30);
        api.claim_with("q", body).await;
    }
    for (definition, code, why) in [
        (json!({"tags": ["lab", "moon"]}), "no-tag", "no connected worker carries the tag moon"),
        (json!({"requirements": {"gpus": 3}}), "no-gpus", "no connected worker has enough gpus: it needs 3, the most is 2"),
        (
            json!({"requirements": {"cpus": 16.5}}),
            "no-cpus",
            "no connected worker has enough cpus: it needs 16.5, the most is 16",
        ),
        (
            json!({"requirements": {"memory": "2g"}}),
            "no-memory",
            "no connected worker has enough memory: it needs 2147483648 bytes",
        ),
        (json!({"requirements": {"maxDuration": "2h"}}), "no-time", "no connected worker allows a run of this length"),
        (
            json!({"tags": ["lab"], "requirements": {"gpus": 1}}),
            "no-worker-fits",
            "no single connected worker has everything that it needs",
        ),
        (json!({"tags": ["lab"]}), "workers-busy", "a worker that can run it takes it as soon as it has room"),
    ] {
        let mut whole = definition.clone();
        whole["image"] = json!("a");
        let id = api.submit_job("q", json!({"definition": whole})).await;
        let (_, status) = api.get("/q/q/status").await;
        assert_eq!(status["waiting"], json!([{"jobId": id, "position": 1, "code": code, "why": why}]), "{definition}");
        api.post(&format!("/q/q/j/{id}/cancel"), json!({})).await;
    }
}

#[tokio::test]
async fn a_queues_metrics_have_the_line_that_autoscalers_read() {
    let api = TestApi::new().await;
    for n in 0..3 {
        api.submit("q", n).await;
    }
    let (_, epoch) = api.claim_one("q", "w").await;
    for path in ["/q/q/metrics"] {
        let text = api.fetch(path).await.text().await.unwrap();
        for line in ["queue_length 3", "asman_queue_queued_jobs 2", "asman_queue_running_jobs 1", "asman_queue_wanted_cpus 3"] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
    let first = api.get("/q/q/status").await.1["localWorkers"]["w"]["queue"].as_object().unwrap().keys().next().unwrap().clone();
    api.finish(&first, epoch).await;
    assert!(api.fetch("/q/q/metrics").await.text().await.unwrap().contains("\nqueue_length 2\n"));
    assert!(api.fetch("/an-empty-queue/metrics").await.text().await.unwrap().contains("\nqueue_length 0\n"));
}
