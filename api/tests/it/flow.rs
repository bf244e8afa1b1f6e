//! A job from its submission to its result, as a client and a worker see it.

use serde_json::json;

use crate::test_api::{TestApi, claim_body, definition};

#[tokio::test]
async fn a_job_goes_from_submission_to_result() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, listed) = api.get("/q/q").await;
    assert_eq!(listed["data"][&id]["state"], "Queued");

    let claimed = api.claim("q", "w", 4, "0s").await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0]["jobId"], *id);
    assert_eq!(claimed[0]["definition"], definition(1));
    let epoch = claimed[0]["epoch"].clone();

    let lines = json!({"epoch": epoch, "seq": 0, "step": "Running", "lines": [["one", 1], ["two", 2, true]]});
    assert_eq!(api.post(&format!("/q/q/j/{id}/logs"), lines.clone()).await.0, 200);
    assert_eq!(api.post(&format!("/q/q/j/{id}/logs"), lines).await.0, 200, "a repeated chunk is harmless");

    let finish = json!({"epoch": epoch, "reason": "Success", "result": {"StatusCode": 3, "duration": 12, "isTimedOut": false,
        "outputs": {"a/b.txt": {"type": "base64", "value": "aGk="}}}});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), finish.clone()).await.0, 200);
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), finish).await.0, 200, "a repeated finish is harmless");

    let (_, result) = api.get(&format!("/q/q/j/{id}/result.json")).await;
    assert_eq!(result["data"]["finishedReason"], "Success");
    assert_eq!(result["data"]["finished"]["result"]["StatusCode"], 3);
    assert_eq!(result["data"]["finished"]["result"]["logs"], json!([["one", 1], ["two", 2, true]]));
    let output = api.http.get(format!("{}/q/q/j/{id}/outputs/a/b.txt", api.url)).send().await.unwrap();
    assert_eq!(output.text().await.unwrap(), "hi");
    let (_, history) = api.get(&format!("/q/q/j/{id}/history.json")).await;
    let events: Vec<_> = history["data"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["queued", "claimed", "finished"]);
}

#[tokio::test]
async fn a_waiting_worker_gets_a_job_the_moment_it_is_submitted() {
    let api = TestApi::new().await;
    let wait = api.http.post(format!("{}/q/q/claim", api.url)).json(&claim_body("w", 1, "20s")).send();
    let waiting = tokio::spawn(wait);
    // When the worker is registered, its request is being served.
    while api.get("/q/q/status").await.1["localWorkers"].as_object().unwrap().is_empty() {}
    let id = api.submit("q", 1).await;
    let body: serde_json::Value = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(body["jobs"][0]["jobId"], *id);
}
