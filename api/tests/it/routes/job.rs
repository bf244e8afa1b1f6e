//! Reading jobs: list, one job, definition, result, namespaces, history, and jobs found without their queue.

use reqwest::Method;
use serde_json::json;

use crate::test_api::{TestApi, assert_one_sentence, definition, eventually};

/// Has a worker run and finish the job that waits.
async fn run(api: &TestApi) -> String {
    let (id, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.finish(&id, epoch).await, 200);
    id
}

#[tokio::test]
async fn a_list_shows_waiting_running_and_just_ended_jobs_but_none_that_was_deleted_or_replaced() {
    let api = TestApi::new().await;
    api.submit("q", 1).await;
    let finished = run(&api).await;
    let running = api.submit("q", 2).await;
    api.claim_one("q", "w").await;
    let queued = api.submit("q", 3).await;
    let cancelled = api.submit("q", 4).await;
    api.post(&format!("/q/q/j/{cancelled}/cancel"), json!({})).await;
    let deleted = api.submit_job("q", json!({"definition": definition(5), "control": {"namespace": "n"}})).await;
    api.execute("update asman.job set priority = -1 where namespaces = '{n}'").await;
    api.execute("update asman.queued q set priority = -1 from asman.job j where j.key = q.job_key and j.namespaces = '{n}'")
        .await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&deleted, epoch).await;
    let mut socket = crate::socket::Socket::connect(&api, "/q/q/client").await;
    socket.send(&crate::socket::ending(&deleted, "Deleted")).await;
    socket.ping().await;
    let replaced = api.submit_job("q", json!({"definition": definition(6), "control": {"namespace": "m"}})).await;
    let newer = api.submit_job("q", json!({"definition": definition(7), "control": {"namespace": "m"}})).await;
    let gone = || async { (api.state(&replaced).await == "finished").then_some(()) };
    eventually("the older one is replaced", gone).await;
    api.post(&format!("/q/q/j/{newer}/cancel?namespace=*"), json!({})).await;
    let (_, list) = api.get("/q/q/j").await;
    let jobs = list["data"].as_object().unwrap();
    assert_eq!(jobs.len(), 5, "none that was deleted or replaced");
    for id in [&cancelled, &newer] {
        assert_eq!((&jobs[id]["state"], &jobs[id]["finishedReason"]), (&json!("Finished"), &json!("Cancelled")));
    }
    assert_eq!(jobs[&queued]["state"], "Queued");
    assert_eq!((&jobs[&queued]["worker"], &jobs[&queued]["namespaces"]), (&json!(""), &json!(["_"])));
    assert_eq!((&jobs[&running]["state"], &jobs[&running]["worker"]), (&json!("Running"), &json!("w")));
    assert_eq!((&jobs[&finished]["state"], &jobs[&finished]["finishedReason"]), (&json!("Finished"), &json!("Success")));
    assert!(jobs[&finished].get("finished").is_none(), "results are not in lists");
    assert!(jobs[&queued]["queuedTime"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(api.get("/q/other").await.1, json!({"data": {}}), "queues do not see each other");
}

#[tokio::test]
async fn a_job_that_finished_over_a_minute_ago_is_no_longer_listed_but_still_found() {
    let api = TestApi::new().await;
    api.submit("q", 1).await;
    let id = run(&api).await;
    api.execute("update asman.finished set finished_at = finished_at - interval '61 seconds'").await;
    assert_eq!(api.get("/q/q").await.1, json!({"data": {}}));
    assert_eq!(api.get(&format!("/q/q/j/{id}")).await.1["data"]["results"]["finishedReason"], "Success");
}

#[tokio::test]
async fn an_unknown_job_is_404_with_the_known_words() {
    let api = TestApi::new().await;
    for path in ["/q/q/j/nope", "/j/nope", "/j/nope.json"] {
        assert_eq!(api.get(path).await, (404, json!({"error": "Job not found", "code": "no-job"})), "{path}");
    }
    for path in ["/q/q/j/nope/definition.json", "/j/nope/definition.json", "/q/q/j/nope/result.json", "/j/nope/results.json"] {
        assert_eq!(api.get(path).await, (200, json!({"data": null})), "{path}");
    }
    for path in ["/q/q/j/nope/namespaces.json", "/q/q/j/nope/history.json"] {
        assert_eq!(api.get(path).await, (200, json!({"data": []})), "{path}");
    }
}

#[tokio::test]
async fn jobs_that_did_not_succeed_stay_listed_for_an_hour_each_where_it_stands_now() {
    let api = TestApi::new().await;
    let mut ids = Vec::new();
    for (n, reason) in ["Success", "Error", "TimedOut", "Error", "Error"].iter().enumerate() {
        let id = api.submit("q", u32::try_from(n).unwrap()).await;
        let (_, epoch) = api.claim_one("q", "w").await;
        let end = json!({"epoch": epoch, "reason": reason, "fault": "machine", "code": "engine-gone", "result": {"isTimedOut": false, "outputs": {}}});
        assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), end).await.0, 200);
        ids.push(id);
    }
    let listed = async || api.get("/q/q").await.1["data"].as_object().unwrap().clone();
    api.execute("update asman.finished set finished_at = finished_at - interval '50 minutes'").await;
    // One of the jobs waits again, and another one has run again and succeeded.
    api.submit("q", 3).await;
    assert_eq!(listed().await[&ids[3]]["state"], "Queued");
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&ids[3], epoch).await;
    api.execute("update asman.finished set finished_at = finished_at - interval '2 minutes' where reason = 'Success'").await;
    api.submit("q", 4).await;
    let jobs = listed().await;
    let seen = |id: &String| jobs.get(id).map(|job| (job["state"].clone(), job["finishedReason"].clone()));
    let ended = |reason: &str| Some((json!("Finished"), json!(reason)));
    let expected = [None, ended("Error"), ended("TimedOut"), None, Some((json!("Queued"), json!(null)))];
    assert_eq!(ids.iter().map(seen).collect::<Vec<_>>(), expected);
    api.execute("update asman.finished set finished_at = finished_at - interval '11 minutes'").await;
    assert_eq!(listed().await.len(), 1);
}

#[tokio::test]
async fn ids_that_no_job_can_have_are_refused_on_every_route() {
    let api = TestApi::new().await;
    for end in ["", "/definition.json", "/result.json", "/run-logs.json", "/inputs/x", "/outputs/x"] {
        for path in [format!("/j/%00{end}"), format!("/q/q/j/%00{end}"), format!("/j/%FF{end}"), format!("/q/q/j/%FF{end}")] {
            let (status, body) = api.get(&path).await;
            assert_eq!(status, 400, "{path}: {body}");
            assert_one_sentence(&body);
        }
    }
}

#[tokio::test]
async fn a_definition_comes_back_exactly_as_it_was_submitted() {
    let api = TestApi::new().await;
    let text = r#"{"zebra": 1.0, "image":"alpine","b":1e2,  "a":"\u00e9\/", "command":"x"}"#;
    let (_, body) = api.post_text("/q/q", format!(r#"{{"definition":{text}}}"#)).await;
    let id = body["jobId"].as_str().unwrap();
    let expected = format!(r#"{{"data":{text}}}"#);
    for path in [format!("/q/q/j/{id}/definition.json"), format!("/j/{id}/definition.json")] {
        let response = api.fetch(&path).await;
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.text().await.unwrap(), expected);
    }
    let shown = api.fetch(&format!("/q/q/j/{id}")).await.text().await.unwrap();
    assert!(shown.contains(text), "{shown}");
}

#[tokio::test]
async fn a_result_says_in_a_header_where_the_job_stands() {
    let api = TestApi::new().await;
    assert_eq!(api.state("nope").await, "unknown");
    let id = api.submit("q", 1).await;
    assert_eq!(api.state(&id).await, "queued");
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.state(&id).await, "running");
    assert_eq!(api.get(&format!("/q/q/j/{id}/result.json")).await.1, json!({"data": null}));
    assert_eq!(api.finish(&id, epoch).await, 200);
    assert_eq!(api.state(&id).await, "finished");
    let (_, result) = api.get(&format!("/q/q/j/{id}/result.json")).await;
    assert_eq!(result["data"]["finished"]["type"], "Finished");
    assert_eq!(result["data"]["finished"]["worker"], "w");
    for alias in [format!("/q/q/j/{id}/results.json"), format!("/j/{id}/result.json"), format!("/j/{id}/results.json")] {
        assert_eq!(api.get(&alias).await.1, result, "{alias}");
    }
}

#[tokio::test]
async fn a_history_has_one_entry_a_transition_oldest_first() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    api.submit_job("q", json!({"definition": definition(1), "control": {"namespace": "n"}})).await;
    let (_, epoch) = api.claim_one("q", "w1").await;
    api.post(&format!("/q/q/j/{id}/release"), json!({"epoch": epoch})).await;
    api.claim_one("q", "w2").await;
    api.post(&format!("/q/q/j/{id}/cancel?namespace=*&message=enough"), json!({})).await;
    let (_, history) = api.get(&format!("/q/q/j/{id}/history.json")).await;
    assert_eq!(api.get(&format!("/j/{id}/history.json")).await, (200, history.clone()), "the same without its queue");
    let entries = history["data"].as_array().unwrap();
    let states: Vec<_> = entries.iter().map(|e| e["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["Queued", "Queued", "Running", "Queued", "Running", "Finished"]);
    let last = &entries[5];
    assert_eq!((&last["reason"], &last["namespace"], &last["message"]), (&json!("Cancelled"), &json!("*"), &json!("enough")));
    assert_eq!((&entries[4]["worker"], &entries[4]["attempt"]), (&json!("w2"), &json!(2)));
    assert!(entries.windows(2).all(|pair| pair[0]["time"].as_i64() <= pair[1]["time"].as_i64()));
}

#[tokio::test]
async fn a_history_names_the_worker_that_was_lost_and_the_one_that_ended_it() {
    let api = TestApi::with(|config| config.lease = "1s".parse().unwrap()).await;
    let id = api.submit("q", 1).await;
    api.claim_one("q", "lost").await;
    let queued = || async { (api.state(&id).await == "queued").then_some(()) };
    eventually("the worker is lost", queued).await;
    let mut epoch = 0;
    while epoch == 0 {
        epoch = api.claim("q", "second", 1, "5s").await.first().map_or(0, |claim| claim["epoch"].as_i64().unwrap());
    }
    assert_eq!(api.finish(&id, epoch).await, 200);
    let mut socket = crate::socket::Socket::connect(&api, "/q/q/client").await;
    socket.send(&crate::socket::ending(&id, "Deleted")).await;
    socket.ping().await;
    let (_, history) = api.get(&format!("/q/q/j/{id}/history.json")).await;
    let entries: Vec<_> = history["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let mut entry = entry.clone();
            assert!(entry["time"].as_i64().unwrap() > 1_600_000_000_000);
            entry.as_object_mut().unwrap().remove("time");
            entry
        })
        .collect();
    assert_eq!(entries[0], json!({"state": "Queued", "event": "queued", "namespace": "_"}));
    assert_eq!(entries[1], json!({"state": "Running", "event": "claimed", "worker": "lost", "attempt": 1}));
    assert_eq!(
        (&entries[2]["state"], &entries[2]["event"], &entries[2]["worker"]),
        (&json!("Queued"), &json!("requeued"), &json!("lost"))
    );
    assert!(entries[2]["message"].is_string(), "{}", entries[2]);
    assert_eq!(entries[3], json!({"state": "Running", "event": "claimed", "worker": "second", "attempt": 2}));
    assert_eq!(
        entries[4],
        json!({"state": "Finished", "event": "finished", "reason": "Success", "worker": "second", "attempt": 2})
    );
    assert_eq!(
        (&entries[5]["event"], &entries[5]["reason"], &entries[5]["namespace"]),
        (&json!("deleted"), &json!("Deleted"), &json!("_"))
    );
    assert_eq!(entries.len(), 6);
}

#[tokio::test]
async fn a_job_is_found_without_its_queue_by_its_true_id_alone() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    for path in [format!("/j/{id}"), format!("/j/{id}.json")] {
        let (status, body) = api.get(&path).await;
        assert_eq!((status, &body["data"]["definition"]), (200, &definition(1)), "{path}");
        assert_eq!(body["data"]["results"]["state"], "Queued");
    }
    let other = api.submit("q", 2).await;
    let forged = json!({"id": "f".repeat(64), "definition": definition(3)});
    let forged = api.submit_job("q", forged).await;
    assert_eq!(api.get(&format!("/j/{forged}")).await.0, 404, "an id that is not the hash");
    assert_eq!(api.get(&format!("/q/q/j/{forged}")).await.0, 200);
    assert_eq!(api.get(&format!("/j/{other}/definition.json")).await.1["data"], definition(2));
}

#[tokio::test]
async fn a_job_in_several_queues_is_found_in_the_one_that_had_it_first() {
    let api = TestApi::new().await;
    // Somebody else has queued another definition under this id before.
    let id = api.submit("first", 1).await;
    api.submit_job("forger", json!({"id": id, "definition": definition(2)})).await;
    api.execute("update asman.job set queued_at = queued_at - interval '1 hour' where not is_true_id").await;
    api.submit("second", 1).await;
    api.claim_one("second", "late").await;
    let (_, body) = api.get(&format!("/j/{id}")).await;
    assert_eq!((&body["data"]["results"]["state"], &body["data"]["definition"]), (&json!("Queued"), &definition(1)));
}

#[tokio::test]
async fn a_browser_gets_the_page_of_a_job_and_a_program_its_json() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let as_browser = |path: String| api.request(Method::GET, &path).header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let page = as_browser(format!("/j/{id}")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers().get_all("vary").iter().any(|value| value == "accept"));
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let json = as_browser(format!("/j/{id}.json")).send().await.unwrap();
    assert_eq!(json.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn a_login_in_a_contexts_url_is_for_the_worker_alone() {
    let api = TestApi::new().await;
    let submitted = json!({"build": {"context": "https://TOKEN@host.example/a/b/tree/main"}, "command": "true"});
    let id = api.submit_job("q", json!({"definition": submitted})).await;
    assert_eq!(id, protocol::job_id_of(&submitted), "the id is of what was submitted");
    let shown = json!({"build": {"context": "https://host.example/a/b/tree/main"}, "command": "true"});
    for path in ["/q/q/j/{id}/definition.json", "/j/{id}/definition.json"] {
        assert_eq!(api.get(&path.replace("{id}", &id)).await.1["data"], shown, "{path}");
    }
    for path in ["/q/q/j/{id}", "/j/{id}"] {
        assert_eq!(api.get(&path.replace("{id}", &id)).await.1["data"]["definition"], shown, "{path}");
    }
    let claim = json!({"worker": {"id": "w", "cpus": 1}, "free": {"cpus": 1, "jobs": 1}, "wait": "0s"});
    let (_, claimed) = api.post("/q/q/claim", claim).await;
    assert_eq!(claimed["jobs"][0]["definition"], submitted);
}

#[tokio::test]
async fn a_job_with_a_login_is_copied_whole_for_those_who_may_be_its_worker() {
    let api = TestApi::new().await;
    let submitted = json!({"build": {"context": "https://TOKEN@host.example/a/b/tree/main"}, "command": "true"});
    let id = api.submit_job("q", json!({"definition": submitted})).await;
    let (path, body) = (format!("/j/{id}/copy"), json!({"queue": "other", "from": "q"}));
    assert_eq!(api.post(&path, body.clone()).await, (200, json!({"success": true, "jobId": id})));
    assert_eq!(api.claim("other", "w", 1, "15s").await[0]["definition"], submitted);
    let policy = json!({"ownerToken": "owner-0123456789", "workerToken": "worker-0123456789"});
    let put = api.request(reqwest::Method::PUT, "/q/q/policy").json(&policy).send().await.unwrap();
    assert_eq!(put.status(), 200);
    assert_eq!(api.post(&path, body.clone()).await.0, 401, "a reader must not be able to send the login to their own worker");
    let allowed = api.request(reqwest::Method::POST, &path).bearer_auth("worker-0123456789");
    assert_eq!(allowed.json(&body).send().await.unwrap().status(), 200);
}
