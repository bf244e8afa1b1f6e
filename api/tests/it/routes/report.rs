//! `/q/:queue/report.json`: one queue in numbers.

use serde_json::{Value, json};

use super::policy::{OWNER, put, send};
use crate::test_api::{PROMPT, TestApi, assert_one_sentence, eventually};

async fn report(api: &TestApi, queue: &str, span: &str) -> Value {
    let (status, body) = api.get(&format!("/q/{queue}/report.json{span}")).await;
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

/// Finishes the job that waits with an exit code.
async fn run(api: &TestApi, n: u32, status_code: i64) {
    let id = api.submit("q", n).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    let result = json!({"StatusCode": status_code, "isTimedOut": false, "outputs": {}, "duration": 1_500});
    let body = json!({"epoch": epoch, "reason": "Success", "result": result});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), body).await.0, 200);
}

fn sum(report: &Value, member: &str) -> i64 {
    report["intervals"].as_array().unwrap().iter().map(|one| one[member].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn a_report_counts_what_waits_runs_and_ended_and_how_long_it_took() {
    let api = TestApi::new().await;
    run(&api, 1, 0).await;
    run(&api, 2, 3).await;
    let cancelled = api.submit("q", 3).await;
    api.post(&format!("/q/q/j/{cancelled}/cancel"), json!({})).await;
    api.submit("q", 4).await;
    api.claim_one("q", "w").await;
    api.submit("q", 5).await;
    api.submit("q", 6).await;

    for (span, n, seconds) in [("?span=hour", 60, 60), ("?span=day", 24, 3600)] {
        let report = report(&api, "q", span).await;
        assert_eq!((&report["depth"]["queued"], &report["depth"]["running"]), (&json!(2), &json!(1)));
        assert_eq!((&report["depth"]["isCapped"], &report["paused"]), (&json!(false), &json!(false)));
        assert!(report["depth"]["oldestQueuedTime"].as_i64().unwrap() <= report["time"].as_i64().unwrap());
        let intervals = report["intervals"].as_array().unwrap();
        assert_eq!((intervals.len(), &report["intervalSeconds"]), (n, &json!(seconds)));
        let steps = intervals.windows(2).map(|two| two[1]["time"].as_i64().unwrap() - two[0]["time"].as_i64().unwrap());
        assert!(steps.into_iter().all(|step| step == seconds * 1_000), "{intervals:?}");
        assert_eq!((sum(&report, "finished"), sum(&report, "programFailures"), sum(&report, "sampled")), (3, 1, 3));
        let busy = intervals.iter().rev().find(|one| one["outcomes"]["Success"].is_number()).unwrap();
        assert_eq!(busy["running"]["p50"], 1.5, "{busy}");
        assert!(busy["waiting"]["max"].as_f64().unwrap() >= 0.0 && busy["isEstimate"] == false, "{busy}");
        let worker = &report["workers"][0];
        assert_eq!((&worker["id"], &worker["jobs"], &worker["cpusUsed"]), (&json!("w"), &json!(1), &json!(1.0)));
        assert_eq!((&worker["cpus"], &worker["isAlive"], &worker["maxJobDuration"]), (&json!(16.0), &json!(true), &json!("1h")));
    }
    assert_eq!(sum(&report(&api, "q", "").await, "finished"), 3, "an hour by default");
}

#[tokio::test]
async fn a_queue_that_nobody_ever_used_has_a_report_too() {
    let api = TestApi::new().await;
    let report = report(&api, "never-used", "").await;
    assert_eq!((sum(&report, "finished"), &report["workers"]), (0, &json!([])));
    assert_eq!(report["depth"]["oldestQueuedTime"], json!(null));
    assert!(report["intervals"].as_array().unwrap().iter().all(|one| one["waiting"].is_null()));
    assert!(!report.to_string().contains("never-used"), "a report contains no queue's name");
    for bad in ["?span=year", "?span=", "?span=hour&span=day"] {
        let (status, body) = api.get(&format!("/q/never-used/report.json{bad}")).await;
        assert_eq!(status, 400, "{bad}");
        assert_one_sentence(&body);
    }
}

#[tokio::test]
async fn a_report_is_renewed_soon_and_says_when_the_queue_is_paused() {
    let api = TestApi::new().await;
    assert_eq!(report(&api, "q", "").await["depth"]["queued"], 0);
    api.submit("q", 1).await;
    put(&api, json!({"paused": true})).await;
    let start = tokio::time::Instant::now();
    report(&api, "q", "").await;
    assert!(start.elapsed() < PROMPT);
    let renewed = || async {
        let report = report(&api, "q", "").await;
        (report["depth"]["queued"] == 1 && report["paused"] == true).then_some(())
    };
    eventually("the report knows of the job and the pause", renewed).await;
}

#[tokio::test]
async fn reports_of_two_queues_and_doors_are_apart() {
    let api = TestApi::new().await;
    run(&api, 1, 0).await;
    assert_eq!(sum(&report(&api, "q", "").await, "finished"), 1);
    assert_eq!(sum(&report(&api, "other", "").await, "finished"), 0);
    put(&api, json!({"readToken": "read-token-0123456789"})).await;
    assert_eq!(api.get("/q/q/report.json").await.0, 401, "a cached report still needs the permission");
    assert_eq!(send(&api, reqwest::Method::GET, "/q/q/report.json", OWNER, json!(null)).await.0, 200);
}
