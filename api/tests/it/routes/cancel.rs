//! Cancelling: by namespace, by all, in both URL forms.

use reqwest::Method;
use serde_json::{Value, json};

use crate::test_api::{TestApi, body_of, definition};

async fn cancel(api: &TestApi, path: &str) -> (u16, Value) {
    api.post(&format!("/q/q/j/{path}"), json!({})).await
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_and_its_message_kept() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (status, body) = cancel(&api, &format!("{id}/cancel?message=not%20needed")).await;
    assert_eq!((status, body), (200, json!({"success": true, "jobId": id, "namespace": "_"})));
    assert!(api.claim("q", "w", 1, "0s").await.is_empty());
    let (_, result) = api.get(&format!("/q/q/j/{id}/result.json")).await;
    assert_eq!(result["data"]["finishedReason"], "Cancelled");
    assert_eq!(result["data"]["finished"]["message"], "not needed");
    assert_eq!(result["data"]["finished"]["namespace"], "_");
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_its_worker_comes_too_late() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(cancel(&api, &format!("{id}/cancel")).await.0, 200);
    assert_eq!(api.state(&id).await, "finished");
    assert_eq!(api.finish(&id, epoch).await, 409);
    assert_eq!(api.log(&id, epoch, 0, "Running", &["late"]).await, 409);
    api.submit("q", 1).await;
    assert_eq!(api.state(&id).await, "queued", "a cancelled job may run again");
}

#[tokio::test]
async fn a_finished_or_an_unknown_job_is_answered_with_the_known_words() {
    let api = TestApi::new().await;
    assert_eq!(cancel(&api, "nope/cancel").await, (200, json!({"message": "Job not found", "code": "no-job"})));
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&id, epoch).await;
    assert_eq!(cancel(&api, &format!("{id}/cancel")).await.1, json!({"message": "Job already Finished|Removed"}));
    assert_eq!(api.get(&format!("/q/q/j/{id}/result.json")).await.1["data"]["finishedReason"], "Success");
    let mut socket = crate::socket::Socket::connect(&api, "/q/q/client").await;
    socket.send(&crate::socket::ending(&id, "Deleted")).await;
    socket.ping().await;
    assert_eq!(cancel(&api, &format!("{id}/cancel")).await.1, json!({"message": "Job already Finished|Removed"}));
}

#[tokio::test]
async fn a_job_dies_when_the_last_of_its_three_namespaces_lets_go() {
    let api = TestApi::new().await;
    let mut id = String::new();
    for namespace in ["a", "b", "c"] {
        id = api.submit_job("q", json!({"definition": definition(1), "control": {"namespace": namespace}})).await;
    }
    let (_, answer) = cancel(&api, &format!("{id}/cancel?namespace=a")).await;
    assert_eq!(answer, json!({"success": true, "jobId": id, "namespace": "a"}));
    assert_eq!(cancel(&api, &format!("{id}/cancel")).await.0, 200, "a namespace that does not hold it");
    assert_eq!(api.state(&id).await, "queued");
    api.claim_one("q", "w").await;
    assert_eq!(cancel(&api, &format!("{id}/b/cancel?message=m")).await.1["namespace"], "b");
    assert_eq!(api.get(&format!("/q/q/j/{id}/namespaces.json")).await.1, json!({"data": ["c"]}));
    assert_eq!(api.state(&id).await, "running");
    cancel(&api, &format!("{id}/c/cancel")).await;
    assert_eq!(api.state(&id).await, "finished");
}

#[tokio::test]
async fn a_star_lets_go_for_all_in_both_forms() {
    let api = TestApi::new().await;
    for (n, form) in ["cancel?namespace=*", "*/cancel", "%2A/cancel"].iter().enumerate() {
        let body =
            |namespace: &str| json!({"definition": definition(u32::try_from(n).unwrap()), "control": {"namespace": namespace}});
        let id = api.submit_job("q", body("a")).await;
        api.submit_job("q", body("b")).await;
        assert_eq!(cancel(&api, &format!("{id}/{form}")).await, (200, json!({"success": true, "jobId": id, "namespace": "*"})));
        assert_eq!(api.state(&id).await, "finished", "{form}");
    }
}

#[tokio::test]
async fn a_bad_namespace_or_message_is_refused_and_the_job_lives_on() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let long = format!("{id}/cancel?message={}", "x".repeat(4097));
    for path in [format!("{id}/cancel?namespace="), format!("{id}/cancel?message=%00"), format!("{id}/a%0Ab/cancel"), long] {
        let (status, body) = cancel(&api, &path).await;
        assert_eq!(status, 400, "{path}: {body}");
        crate::test_api::assert_one_sentence(&body);
    }
    assert_eq!(api.state(&id).await, "queued");
}

async fn clear(api: &TestApi, path: &str) -> (u16, Value) {
    body_of(api.request(Method::DELETE, &format!("/q/q/j/{path}")).send().await.unwrap()).await
}

#[tokio::test]
async fn a_result_is_removed_by_a_request_that_may_be_repeated() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&id, epoch).await;
    for _ in 0..2 {
        assert_eq!(clear(&api, &id).await, (200, json!({"success": true, "jobId": id, "namespace": "_"})));
        assert_eq!(api.get(&format!("/q/q/j/{id}")).await.1["data"]["results"]["finishedReason"], "Deleted");
    }
    api.submit("q", 1).await;
    assert_eq!(api.state(&id).await, "queued", "its result is forgotten");
    let (status, answer) = clear(&api, "nope").await;
    assert_eq!((status, &answer["code"]), (404, &json!("no-job")));
}

#[tokio::test]
async fn a_job_that_has_not_ended_is_cleared_in_one_namespace() {
    let api = TestApi::new().await;
    let mut id = String::new();
    for namespace in ["a", "b"] {
        id = api.submit_job("q", json!({"definition": definition(1), "control": {"namespace": namespace}})).await;
    }
    assert_eq!(clear(&api, &format!("{id}?namespace=a")).await.0, 200);
    assert_eq!(api.state(&id).await, "queued");
    assert_eq!(clear(&api, &format!("{id}?namespace=b")).await.0, 200);
    assert!(api.claim("q", "w", 1, "0s").await.is_empty());
}
