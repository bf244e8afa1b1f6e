//! Existing clients and workers together, step by step.

use std::time::Duration;

use serde_json::json;

use super::Release;
use super::client::Client;
use super::old_worker::OldWorker;
use crate::test_api::{TestApi, eventually};

#[tokio::test]
async fn a_job_goes_from_an_existing_client_through_an_existing_worker_and_back() {
    let api = TestApi::new().await;
    let mut client = Client::connect(&api, "q-long").await;
    let mut worker = OldWorker::connect(&api, "q-long", "old").await;
    for _ in 0..3 {
        client.submit("job", "echo", "_").await;
    }
    assert_eq!(client.until_state("job", "Queued").await["worker"], "");
    assert_eq!(worker.claim("job").await["worker"], "old");
    client.until_state("job", "Running").await;
    worker.finish("job", "Success", json!([["hello", 5]])).await;
    let job = client.until_state("job", "Finished").await;
    assert_eq!(job["finishedReason"], "Success");
    let (_, result) = api.get("/q/q-long/j/job/result.json").await;
    let finished = &result["data"]["finished"];
    assert_eq!((&finished["worker"], &finished["result"]["StatusCode"]), (&json!("old"), &json!(3)));
    assert_eq!(finished["result"]["logs"], json!([["hello", 5]]));
    // When the job is sent again, its result is returned and it does not run.
    client.submit("job", "echo", "_").await;
    worker.ping().await;
    assert_eq!(client.until_state("job", "Finished").await["finishedReason"], "Success");
    client.delete("job").await;
    client.until_state("job", "").await;
    client.submit("job", "echo", "_").await;
    client.until_state("job", "Queued").await;
}

#[tokio::test]
async fn clients_and_workers_of_either_release_understand_each_other_through_us() {
    for (asking, working) in Release::ALL.into_iter().flat_map(|one| Release::ALL.map(|other| (one, other))) {
        let api = TestApi::new().await;
        let mut client = Client::connect(&api, "q-long").await;
        let mut worker = OldWorker::connect_as(working, &api, "q-long", "old").await;
        let (id, definition) = asking.job("echo");
        // The queue stores the job under today's id, which workers see. Each client gets messages with the id that it sent.
        let (kept, _) = Release::V0_54_85.job("echo");
        client.submit_definition(&id, &definition).await;
        client.until_state(&id, "Queued").await;
        assert_eq!(worker.claim(&kept).await["worker"], "old", "{asking:?} {working:?}");
        worker.log(&kept, "docker image pull", &["pulled"]).await;
        worker.log(&kept, "Running", &["10%\r20%\rdone\r\nno", " end"]).await;
        worker.finish(&kept, "Success", json!([["10%\r20%\rdone\r\nno", 7], [" end", 7]])).await;
        client.until_state(&id, "Finished").await;
        let (_, result) = api.get(&format!("/q/q-long/j/{id}/result.json")).await;
        let logs = result["data"]["finished"]["result"]["logs"].as_array().unwrap();
        let text: String = logs.iter().map(|line| line[0].as_str().unwrap()).collect();
        assert_eq!(text, "10%\r20%\rdone\r\nno end", "{asking:?} {working:?}");
        assert_eq!(api.get(&format!("/q/q-long/j/{id}/definition.json")).await.1["data"], definition);
    }
}

#[tokio::test]
async fn one_job_in_three_namespaces_lives_until_the_last_lets_go_or_all_do() {
    let api = TestApi::new().await;
    let mut client = Client::connect(&api, "q-long").await;
    for namespace in ["a", "b", "c"] {
        client.submit("job", "echo", namespace).await;
    }
    client.until(|jobs| (jobs.get("job")?["namespaces"] == json!(["a", "b", "c"])).then_some(())).await;
    client.cancel("job", "b").await;
    client.until(|jobs| (jobs.get("job")?["namespaces"] == json!(["a", "c"])).then_some(())).await;
    client.cancel("job", "*").await;
    assert_eq!(client.until_state("job", "Finished").await["finishedReason"], "Cancelled");
    client.query("job").await;
    let (_, result) = api.get("/q/q-long/j/job/result.json").await;
    assert_eq!((&result["data"]["finishedReason"], &result["data"]["finished"]["namespace"]), (&json!("Cancelled"), &json!("*")));
}

#[tokio::test]
async fn a_newer_job_of_a_namespace_ends_the_older_and_its_worker_comes_too_late() {
    let api = TestApi::new().await;
    let mut client = Client::connect(&api, "q-long").await;
    let mut worker = OldWorker::connect(&api, "q-long", "old").await;
    client.submit("first", "echo 1", "mine").await;
    client.submit("shared", "echo 2", "_").await;
    client.until_state("first", "Queued").await;
    worker.claim("first").await;
    client.until_state("first", "Running").await;
    client.submit("second", "echo 3", "mine").await;
    client.until_state("first", "").await;
    client.until_state("second", "Queued").await;
    client.until_state("shared", "Queued").await;
    worker.ping().await;
    worker.finish("first", "Success", json!([])).await;
    assert_eq!(worker.answer("first").await, json!(null));
    let (_, result) = api.get("/q/q-long/j/first/result.json").await;
    assert_eq!(result["data"]["finishedReason"], "JobReplacedByClient");
}

#[tokio::test]
async fn a_worker_that_vanishes_loses_its_job_and_its_late_end_is_refused() {
    let api = TestApi::with(|config| config.lease = protocol::Duration(Duration::from_secs(1))).await;
    let mut client = Client::connect(&api, "q-long").await;
    client.submit("job", "echo", "_").await;
    client.until_state("job", "Queued").await;
    let mut lost = OldWorker::connect(&api, "q-long", "lost").await;
    assert_eq!(lost.claim("job").await["worker"], "lost");
    client.until_state("job", "Running").await;
    client.until_state("job", "Queued").await;
    let mut other = OldWorker::connect(&api, "q-long", "other").await;
    assert_eq!(other.claim("job").await["worker"], "other");
    lost.ping().await;
    lost.finish("job", "Success", json!([])).await;
    assert_eq!(lost.answer("job").await["worker"], "other");
    other.finish("job", "Success", json!([])).await;
    let finished =
        || async { (api.get("/q/q-long/j/job/result.json").await.1["data"]["finished"]["worker"] == "other").then_some(()) };
    eventually("the worker with the claim finishes the job", finished).await;
}

#[tokio::test]
async fn a_client_that_comes_back_asks_for_its_job_and_finds_how_it_ended() {
    let api = TestApi::new().await;
    let mut client = Client::connect(&api, "q-long").await;
    client.submit("job", "echo", "_").await;
    client.until_state("job", "Queued").await;
    drop(client);
    let mut worker = OldWorker::connect(&api, "q-long", "old").await;
    worker.claim("job").await;
    worker.finish("job", "Error", json!([])).await;
    worker.ping().await;
    let mut soon = Client::connect(&api, "q-long").await;
    assert_eq!(soon.until_state("job", "Finished").await["finishedReason"], "Error", "it is listed for an hour");
    api.execute("update asman.finished set finished_at = finished_at - interval '61 minutes'").await;
    let mut client = Client::connect(&api, "q-long").await;
    client.until_state("job", "").await;
    client.query("job").await;
    assert_eq!(client.until_state("job", "Finished").await["finishedReason"], "Error");
}
