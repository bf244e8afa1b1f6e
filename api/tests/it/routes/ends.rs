//! Whose fault an end was. It decides which ends are reused, what a release costs, and when a job is given up.

use serde_json::{Value, json};

use crate::test_api::{TestApi, assert_one_sentence, definition, eventually, held};

/// Finishes a claim with an error of this code. Returns the status of the answer.
async fn fail(api: &TestApi, job: &str, epoch: i64, why: Value) -> u16 {
    let mut body = json!({"epoch": epoch, "reason": "Error", "message": "words", "result": {"isTimedOut": false, "outputs": {}}});
    body.as_object_mut().unwrap().extend(why.as_object().unwrap().clone());
    api.post(&format!("/q/q/j/{job}/finish"), body).await.0
}

async fn finished(api: &TestApi, job: &str) -> Value {
    api.get(&format!("/q/q/j/{job}/result.json")).await.1["data"]["finished"].clone()
}

async fn give_back(api: &TestApi, job: &str, epoch: i64) {
    let body = json!({"epoch": epoch, "code": "pull-failed", "fault": "network", "message": "the registry answered 503"});
    assert_eq!(api.post(&format!("/q/q/j/{job}/release"), body).await.0, 200);
}

/// Ends the pause of every waiting job.
async fn skip_the_pause(api: &TestApi) {
    api.execute("update asman.queued set not_before = now() where not_before is not null").await;
}

#[tokio::test]
async fn only_a_failure_of_the_jobs_own_answers_a_later_submission() {
    let api = TestApi::new().await;
    for (n, why, answers) in [
        (1, json!({"code": "image-not-found"}), true),
        (2, json!({"code": "from-a-later-release", "fault": "job"}), true),
        (3, json!({"code": "image-platform-mismatch"}), false),
        (4, json!({"code": "released-too-often", "fault": "network"}), false),
        (5, json!({"code": "from-a-later-release"}), false),
        (6, json!({}), false),
        (7, json!({"reason": "TimedOut", "code": "timed-out"}), true),
        (8, json!({"reason": "TimedOut"}), false),
        (9, json!({"reason": "Success", "code": "engine-gone", "fault": "machine"}), true),
    ] {
        let id = api.submit("q", n).await;
        let (job, epoch) = api.claim_one("q", "w").await;
        assert_eq!((&job, fail(&api, &job, epoch, why.clone()).await), (&id, 200));
        api.submit("q", n).await;
        assert_eq!(api.state(&id).await, if answers { "finished" } else { "queued" }, "{why}");
        api.post(&format!("/q/q/j/{id}/cancel"), json!({})).await;
    }
}

#[tokio::test]
async fn code_and_fault_of_an_end_are_told_and_a_known_code_tells_its_fault_alone() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    for bad in ["No such image", "", "a_b", &"a".repeat(65)] {
        let (status, body) =
            api.post(&format!("/q/q/j/{id}/finish"), json!({"epoch": epoch, "reason": "Error", "code": bad})).await;
        assert_eq!(status, 400, "{bad}");
        assert_one_sentence(&body);
    }
    assert_eq!(fail(&api, &id, epoch, json!({"code": "image-not-found"})).await, 200);
    let end = finished(&api, &id).await;
    assert_eq!((&end["code"], &end["fault"]), (&json!("image-not-found"), &json!("job")));
    let (_, history) = api.get(&format!("/q/q/j/{id}/history.json")).await;
    let last = history["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["code"], &last["fault"], &last["event"]), (&json!("image-not-found"), &json!("job"), &json!("finished")));
}

#[tokio::test]
async fn a_job_that_workers_give_back_waits_behind_the_others_and_at_last_ends() {
    let api = TestApi::new().await;
    let bad = api.submit("q", 1).await;
    let other = api.submit("q", 2).await;
    let (job, epoch) = api.claim_one("q", "w").await;
    assert_eq!(job, bad);
    give_back(&api, &bad, epoch).await;
    // The release and the submission are sent a second time, which changes nothing.
    give_back(&api, &bad, epoch).await;
    api.submit("q", 1).await;
    assert_eq!(api.count("select n_released::int8 from asman.queued where not_before > now()").await, 1);
    skip_the_pause(&api).await;
    let order: Vec<String> = api.claim("q", "w", 2, "0s").await.iter().map(|claim| held(claim).0).collect();
    assert_eq!(order, [other.clone(), bad.clone()], "it is behind those that waited");
    let epoch = api.count("select epoch from asman.running where n_released = 1").await;
    give_back(&api, &bad, epoch).await;
    for n in 2..5 {
        let (_, status) = api.get("/q/q/status").await;
        assert_eq!(status["waiting"][0]["code"], "given-back", "{status}");
        assert_eq!(api.count("select n_released::int8 from asman.queued").await, n);
        skip_the_pause(&api).await;
        let (job, epoch) = api.claim_one("q", "another").await;
        give_back(&api, &job, epoch).await;
    }
    let end = finished(&api, &bad).await;
    assert_eq!((&end["reason"], &end["code"], &end["fault"]), (&json!("Error"), &json!("released-too-often"), &json!("machine")));
    assert!(end["message"].as_str().unwrap().ends_with("the registry answered 503"), "{end}");
    assert_eq!(end["result"]["error"]["json"]["code"], "pull-failed");
    api.submit("q", 1).await;
    assert_eq!(api.state(&bad).await, "queued", "it is not reused, and the count starts again");
    assert_eq!(api.count("select n_released::int8 from asman.queued").await, 0);
    let (_, history) = api.get(&format!("/q/q/j/{bad}/history.json")).await;
    let released = history["data"].as_array().unwrap().iter().filter(|entry| entry["event"] == "released");
    assert_eq!(released.map(|entry| entry["code"].clone()).collect::<Vec<_>>(), vec![json!("pull-failed"); 4]);
}

#[tokio::test]
async fn a_release_without_a_code_costs_a_job_nothing_however_often() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    api.submit("q", 2).await;
    for _ in 0..8 {
        let (job, epoch) = api.claim_one("q", "w").await;
        assert_eq!(job, id, "at its old position");
        assert_eq!(api.post(&format!("/q/q/j/{id}/release"), json!({"epoch": epoch})).await.0, 200);
    }
}

#[tokio::test]
async fn a_job_is_run_again_when_its_submitter_says_so_and_not_while_it_waits_or_runs() {
    let api = TestApi::new().await;
    let again = |n| json!({"definition": definition(n), "control": {"again": true}});
    let id = api.submit_job("q", again(1)).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.submit_job("q", again(1)).await;
    assert_eq!(api.state(&id).await, "running");
    assert_eq!(api.finish(&id, epoch).await, 200);
    api.submit("q", 1).await;
    assert_eq!(api.state(&id).await, "finished");
    // Many such submissions at once cause one run.
    futures_util::future::join_all((0..20).map(|_| api.submit_job("q", again(1)))).await;
    assert_eq!(api.count("select count(*) from asman.queued").await, 1);
    let (_, newer) = api.claim_one("q", "w").await;
    assert!(newer > epoch);
    assert_eq!(api.finish(&id, newer).await, 200);
    eventually("the second end", || async { (api.state(&id).await == "finished").then_some(()) }).await;
    api.execute("select asman.enqueue('q', (select body::jsonb from asman.definition), '{\"again\": true}')").await;
    assert_eq!(api.state(&id).await, "queued");
}
