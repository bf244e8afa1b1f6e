//! The worker API: claims that fit, heartbeats, and writes of stale claims, which are refused.

use serde_json::{Value, json};

use crate::test_api::{DEADLINE, PROMPT, TestApi, assert_one_sentence, claim_body, eventually, held, in_time};

/// The body of a claim by a worker that offers exactly this, all of it free.
fn offer(worker: &str, jobs: u32, cpus: f64, more: &Value) -> Value {
    let mut body = claim_body(worker, jobs, "0s");
    body["free"]["cpus"] = json!(cpus);
    for part in ["worker", "free"] {
        for (key, value) in more[part].as_object().into_iter().flatten() {
            body[part][key] = value.clone();
        }
    }
    body
}

fn commands(claims: &[Value]) -> Vec<&str> {
    claims.iter().map(|claim| claim["definition"]["command"].as_str().unwrap()).collect()
}

/// Queues a job that has this command and these requirements.
async fn submit_needing(api: &TestApi, name: &str, needs: Value) -> String {
    let mut definition = json!({"image": "a", "command": name});
    definition.as_object_mut().unwrap().extend(needs.as_object().unwrap().clone());
    api.submit_job("q", json!({"definition": definition})).await
}

#[tokio::test]
async fn a_claim_takes_what_fits_what_is_free_and_leaves_the_rest() {
    let api = TestApi::new().await;
    submit_needing(&api, "cpus", json!({"requirements": {"cpus": 3}})).await;
    submit_needing(&api, "gpus", json!({"requirements": {"gpus": 1}})).await;
    submit_needing(&api, "memory", json!({"requirements": {"memory": "2g"}})).await;
    submit_needing(&api, "tags", json!({"tags": ["lab", "fast"]})).await;
    submit_needing(&api, "long", json!({"requirements": {"maxDuration": "2h"}})).await;
    let nothing = json!({});
    assert!(api.claim_with("q", offer("w", 9, 0.5, &nothing)).await.is_empty());
    let halves = json!({"worker": {"tags": ["lab"], "maxJobDuration": "119m"}, "free": {"memory": (2_u64 << 30) - 1}});
    assert!(api.claim_with("q", offer("w", 9, 2.0, &halves)).await.is_empty(), "almost enough is not enough");
    assert_eq!(commands(&api.claim_with("q", offer("w", 9, 3.0, &nothing)).await), ["cpus"]);
    let one = |more: Value| offer("w", 9, 1.0, &more);
    assert_eq!(commands(&api.claim_with("q", one(json!({"free": {"gpus": 1}}))).await), ["gpus"]);
    assert_eq!(commands(&api.claim_with("q", one(json!({"free": {"memory": 2_u64 << 30}}))).await), ["memory"]);
    assert_eq!(commands(&api.claim_with("q", one(json!({"worker": {"tags": ["fast", "x", "lab"]}}))).await), ["tags"]);
    assert_eq!(commands(&api.claim_with("q", one(json!({"worker": {"maxJobDuration": "2h"}}))).await), ["long"]);
}

#[tokio::test]
async fn one_claim_never_takes_more_than_is_free_in_all() {
    let api = TestApi::new().await;
    for n in 0..4 {
        submit_needing(&api, &n.to_string(), json!({"requirements": {"cpus": 1.5}})).await;
    }
    assert_eq!(commands(&api.claim_with("q", offer("w", 9, 4.0, &json!({}))).await), ["0", "1"]);
    assert!(api.claim_with("q", offer("w", 0, 4.0, &json!({}))).await.is_empty(), "no jobs wanted");
}

#[tokio::test]
async fn jobs_come_first_in_first_out_whatever_they_need() {
    let api = TestApi::new().await;
    for n in 0..12 {
        let needs = [json!({}), json!({"requirements": {"cpus": 2}}), json!({"tags": ["t"]})][n % 3].clone();
        submit_needing(&api, &n.to_string(), needs).await;
    }
    let mut seen = Vec::new();
    for n in [1, 4, 3, 9] {
        let claims = api.claim_with("q", offer("w", n, 100.0, &json!({"worker": {"tags": ["t"]}}))).await;
        seen.extend(commands(&claims).into_iter().map(ToOwned::to_owned));
    }
    assert_eq!(seen, (0..12).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_long_poll_ends_empty_after_its_wait() {
    let api = TestApi::new().await;
    let start = tokio::time::Instant::now();
    assert!(api.claim("q", "w", 1, "300ms").await.is_empty());
    assert!(start.elapsed() >= std::time::Duration::from_millis(300) && start.elapsed() < DEADLINE / 4);
}

#[tokio::test]
async fn two_waiting_workers_share_what_comes() {
    let api = TestApi::new().await;
    let wait = |worker: &'static str| {
        let request = api.request(reqwest::Method::POST, "/q/q/claim").json(&claim_body(worker, 1, "20s"));
        tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap()["jobs"].clone() })
    };
    let (one, two) = (wait("one"), wait("two"));
    eventually("both workers are there", || async { (api.count("select count(*) from asman.worker").await == 2).then_some(()) })
        .await;
    let mut submitted = vec![api.submit("q", 1).await, api.submit("q", 2).await];
    let mut claimed = Vec::new();
    for task in [one, two] {
        let jobs = in_time(task).await.unwrap();
        assert_eq!(jobs.as_array().unwrap().len(), 1);
        claimed.push(held(&jobs[0]).0);
    }
    submitted.sort();
    claimed.sort();
    assert_eq!(claimed, submitted);
}

/// Waits until `n` claim statements have found no job.
async fn until_claims_were_tried(api: &TestApi, n: u32) {
    let tried = || async {
        let text = api.fetch("/metrics").await.text().await.unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("asman_claim_statement_seconds_count ")?.parse::<u32>().ok());
        (count >= Some(n)).then_some(())
    };
    eventually("the claims were tried", tried).await;
}

#[tokio::test]
async fn a_large_job_goes_to_the_waiting_worker_that_has_room_for_it() {
    let api = TestApi::new().await;
    let wait = |worker: &'static str, cpus: f64| {
        let mut body = offer(worker, 1, cpus, &json!({}));
        body["wait"] = json!("20s");
        let request = api.request(reqwest::Method::POST, "/q/q/claim").json(&body);
        tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap()["jobs"].clone() })
    };
    // The small worker's claim comes first, so its turn is first.
    let small = wait("small", 1.0);
    until_claims_were_tried(&api, 1).await;
    let large = wait("large", 8.0);
    until_claims_were_tried(&api, 2).await;
    let id = submit_needing(&api, "large", json!({"requirements": {"cpus": 4}})).await;
    let jobs = tokio::time::timeout(PROMPT, large).await.expect("the large worker got the job at once").unwrap();
    assert_eq!(held(&jobs[0]).0, id);
    small.abort();
}

#[tokio::test]
async fn a_claim_body_that_makes_no_sense_is_refused() {
    let api = TestApi::new().await;
    let mut bodies = vec![json!({}), json!({"worker": {"id": "w", "cpus": 1}})];
    for (path, value) in [
        ("/worker/id", json!("")),
        ("/worker/id", json!("a/b")),
        ("/worker/tags", json!(["a/b"])),
        ("/worker/version", json!("\u{0}")),
        ("/worker/cpus", json!(0)),
        ("/worker/cpus", json!(-1)),
        ("/free/cpus", json!(-1)),
        ("/free/jobs", json!(-1)),
        ("/wait", json!("soon")),
    ] {
        let mut body = claim_body("w", 1, "0s");
        body["worker"]["tags"] = json!([]);
        *body.pointer_mut(path).unwrap() = value;
        bodies.push(body);
    }
    for body in bodies {
        let (status, answer) = api.post("/q/q/claim", body.clone()).await;
        assert_eq!(status, 400, "{body}");
        assert_one_sentence(&answer);
    }
}

#[tokio::test]
async fn log_lines_keep_their_order_and_a_repeated_chunk_is_ignored() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    for (seq, lines) in [(0, vec!["a", "b"]), (1, vec!["c"]), (1, vec!["c"]), (0, vec!["a", "b"]), (2, vec![]), (2, vec!["d"])] {
        assert_eq!(api.log(&id, epoch, seq, "Running", &lines).await, 200);
    }
    let (_, log) = api.get(&format!("/q/q/j/{id}/run-logs.json")).await;
    assert_eq!(log["data"], json!([["a", 1], ["b", 1], ["c", 1], ["d", 1]]));
    assert_eq!(api.log(&id, epoch + 1, 3, "Running", &["x"]).await, 409);
    assert_eq!(api.log("nope", epoch, 3, "Running", &["x"]).await, 409);
    assert_eq!(api.log(&id, epoch, -1, "Running", &["x"]).await, 400);
    assert_eq!(api.log(&id, epoch, 3, "Dreaming", &["x"]).await, 400);
    assert_eq!(api.log(&id, epoch, 3, "Running", &["nul \u{0} and \u{1f600}"]).await, 200);
}

#[tokio::test]
async fn a_finish_is_idempotent_and_a_stale_one_refused() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.finish(&id, epoch + 1).await, 409);
    assert_eq!(api.finish(&id, epoch - 1).await, 409);
    assert_eq!(api.finish("nope", epoch).await, 409);
    assert_eq!(api.state(&id).await, "running");
    for _ in 0..3 {
        assert_eq!(api.finish(&id, epoch).await, 200);
    }
    let other = json!({"epoch": epoch, "reason": "Error", "message": "second thoughts"});
    let (status, body) = api.post(&format!("/q/q/j/{id}/finish"), other).await;
    assert_eq!(status, 409, "another end is not a repetition");
    assert_one_sentence(&body);
    assert_eq!(api.count("select count(*) from asman.finished").await, 1);
}

#[tokio::test]
async fn a_worker_cannot_cancel_or_leave_files_that_escape() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    let path = format!("/q/q/j/{id}/finish");
    for reason in ["Cancelled", "Deleted", "WorkerLost", "JobReplacedByClient", "Bored"] {
        let (status, body) = api.post(&path, json!({"epoch": epoch, "reason": reason})).await;
        assert_eq!(status, 400, "{reason}");
        assert_one_sentence(&body);
    }
    let escaping = json!({"epoch": epoch, "reason": "Success", "result": {"outputs": {"../x": {"value": ""}}}});
    assert_eq!(api.post(&path, escaping).await.0, 400);
    assert_eq!(api.state(&id).await, "running");
}

#[tokio::test]
async fn an_error_and_a_timeout_keep_their_words() {
    let api = TestApi::new().await;
    for (n, reason) in [(1, "Error"), (2, "TimedOut")] {
        let id = api.submit("q", n).await;
        let (_, epoch) = api.claim_one("q", "w").await;
        let result =
            json!({"isTimedOut": n == 2, "outputs": {}, "error": {"statusCode": 500, "json": {"message": "no image \u{0}"}}});
        let body = json!({"epoch": epoch, "reason": reason, "message": "no \u{0} image", "result": result});
        assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), body).await.0, 200);
        let (_, shown) = api.get(&format!("/q/q/j/{id}/result.json")).await;
        let finished = &shown["data"]["finished"];
        assert_eq!((&finished["reason"], &finished["message"]), (&json!(reason), &json!("no \u{fffd} image")));
        assert_eq!(finished["result"]["error"], result["error"]);
        assert_eq!(finished["result"]["isTimedOut"], n == 2);
    }
}

#[tokio::test]
async fn a_released_job_is_claimed_before_those_behind_it() {
    let api = TestApi::new().await;
    let first = api.submit("q", 1).await;
    api.submit("q", 2).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    for _ in 0..2 {
        assert_eq!(api.post(&format!("/q/q/j/{first}/release"), json!({"epoch": epoch})).await, (200, json!({})));
    }
    let again = api.claim("q", "other", 1, "0s").await.remove(0);
    assert_eq!((held(&again).0, held(&again).1 > epoch), (first.clone(), true));
    assert_eq!(api.post(&format!("/q/q/j/{first}/release"), json!({"epoch": epoch})).await.0, 200);
    assert_eq!(api.state(&first).await, "running", "a stale release changes nothing");
}
