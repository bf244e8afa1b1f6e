//! `POST /j/:id/copy`.

use serde_json::json;

use crate::test_api::{TestApi, assert_one_sentence, definition};

#[tokio::test]
async fn a_job_is_queued_anew_in_the_other_queue_under_the_same_id_whatever_became_of_it() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&id, epoch).await;
    let body = json!({"queue": "other", "control": {"namespace": "n"}});
    let answer = api.post(&format!("/j/{id}/copy"), body).await;
    assert_eq!(answer, (200, json!({"success": true, "jobId": id})));
    let (_, copy) = api.get(&format!("/q/other/j/{id}")).await;
    assert_eq!((&copy["data"]["definition"], &copy["data"]["results"]["state"]), (&definition(1), &json!("Queued")));
    assert_eq!(copy["data"]["results"]["namespaces"], json!(["n"]));
    assert_eq!(api.state(&id).await, "finished", "the first one is as it was");
}

#[tokio::test]
async fn a_job_under_a_chosen_id_is_copied_by_who_knows_its_queue() {
    let api = TestApi::new().await;
    api.submit_job("q", json!({"id": "mine", "definition": definition(1)})).await;
    let unknown = (404, json!({"error": "Job definition not found", "code": "no-definition"}));
    assert_eq!(api.post("/j/mine/copy", json!({"queue": "other"})).await, unknown);
    assert_eq!(api.post("/j/mine/copy", json!({"queue": "other", "from": "wrong"})).await, unknown);
    let answer = api.post("/j/mine/copy", json!({"queue": "other", "from": "q"})).await;
    assert_eq!(answer, (200, json!({"success": true, "jobId": "mine"})));
    assert_eq!(api.get("/q/other/j/mine/definition.json").await.1["data"], definition(1));
}

#[tokio::test]
async fn a_copy_without_a_queue_or_with_a_bad_one_is_refused() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    for body in [
        json!({}),
        json!({"queue": ""}),
        json!({"queue": "a/b"}),
        json!({"queue": "x", "control": {"namespace": "*"}}),
        json!([]),
    ] {
        let (status, answer) = api.post(&format!("/j/{id}/copy"), body.clone()).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert_one_sentence(&answer);
    }
    assert_eq!(api.count("select count(*) from asman.queued").await, 1);
}
