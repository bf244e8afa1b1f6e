//! The socket of published workers.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};

use crate::compat::old_worker::OldWorker;
use crate::socket::Socket;
use crate::test_api::{TestApi, definition, eventually};

#[tokio::test]
async fn a_worker_is_greeted_and_known_by_its_name_once_it_registered_on_both_urls() {
    let api = TestApi::new().await;
    for path in ["/q/a-queue/worker", "/a-queue/worker"] {
        let mut socket = Socket::connect_raw(&api, path).await;
        let types: Vec<Value> = [socket.next().await, socket.next().await, socket.next().await].map(|m| m["type"].clone()).into();
        assert_eq!(types, ["Workers", "JobStates", "StatusRequest"]);
        socket.send_text("PING").await;
        socket.until(|message| (message == "PONG unknown").then_some(())).await;
    }
    let mut client = Socket::connect(&api, "/q/a-queue/client").await;
    let mut worker = OldWorker::connect(&api, "a-queue", "old").await;
    let seen = client.until(|m| m["payload"]["workers"].get(0).cloned()).await;
    assert_eq!((&seen["id"], &seen["maxJobDuration"], &seen["version"]), (&json!("old"), &json!("1d"), &json!("0.54.80")));
    worker.ping().await;
    let (_, status) = api.get("/q/a-queue/status").await;
    assert_eq!((&status["clientCount"], &status["queueInfo"]["localWorkerCount"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn the_first_who_asks_has_the_job_and_asking_again_is_harmless() {
    let api = TestApi::new().await;
    let mut first = OldWorker::connect(&api, "q", "first").await;
    let mut second = OldWorker::connect(&api, "q", "second").await;
    let id = api.submit("q", 1).await;
    assert_eq!(first.claim(&id).await["worker"], "first");
    assert_eq!(second.claim(&id).await["worker"], "first");
    assert_eq!(first.claim(&id).await["worker"], "first");
    assert_eq!(api.count("select count(*) from report.event where kind = 'claimed'").await, 1);
    second.finish(&id, "Success", json!([])).await;
    second.log(&id, "Running", &["not mine"]).await;
    second.ping().await;
    assert_eq!(api.state(&id).await, "running");
    assert_eq!(api.get(&format!("/q/q/j/{id}/run-logs.json")).await.1["data"], json!([]));
    assert_eq!(first.claim("nope").await, json!(null));
}

#[tokio::test]
async fn what_a_build_said_is_in_the_build_log_once_also_when_it_comes_again_with_the_end() {
    let api = TestApi::new().await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    let id = api.submit("q", 1).await;
    worker.claim(&id).await;
    worker.log(&id, "docker build", &["step 1", "no such file"]).await;
    let logs = json!([["step 1", 7], ["no such file", 7], ["Failure to build the docker image", 9, true]]);
    let result = json!({"logs": logs, "error": "Error building image", "isTimedOut": false, "outputs": {}});
    worker.end(&id, "Error", result).await;
    assert_eq!(worker.socket.until_job(&id, "Finished").await["finishedReason"], "Error");
    let (_, build) = api.get(&format!("/q/q/j/{id}/build-logs.json")).await;
    assert_eq!(build["data"], logs);
    assert_eq!(api.get(&format!("/q/q/j/{id}/run-logs.json")).await.1["data"], json!([]));
    let shown = &api.get(&format!("/q/q/j/{id}/result.json")).await.1["data"]["finished"]["result"];
    assert_eq!((&shown["logs"], &shown["logsOf"]), (&logs, &json!("build")));
}

#[tokio::test]
async fn references_without_a_type_reach_such_a_worker_as_text() {
    let api = TestApi::new().await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    let sent = json!({"image": "a", "inputs": {"a.txt": {"value": "x"}, "u": {"value": "http://h/u", "type": "url"}},
        "configFiles": {"/etc/b": {"value": "y"}}});
    let id = api.submit_job("q", json!({"definition": sent})).await;
    let definitions = |m: &Value| (m["type"] == "BroadcastJobDefinitions").then(|| m["payload"]["definitions"].clone());
    let got = worker.socket.until(definitions).await[&id].clone();
    assert_eq!(got["inputs"], json!({"a.txt": {"value": "x", "type": "utf8"}, "u": {"value": "http://h/u", "type": "url"}}));
    assert_eq!(got["configFiles"], json!({"/etc/b": {"value": "y", "type": "utf8"}}));
    assert_eq!(api.get(&format!("/j/{id}/definition.json")).await.1["data"], sent, "it is stored as it was sent");
}

#[tokio::test]
async fn two_that_ask_at_once_do_not_both_get_it() {
    let api = TestApi::new().await;
    let mut workers = Vec::new();
    for n in 0..4 {
        workers.push(OldWorker::connect(&api, "q", &format!("w{n}")).await);
    }
    for n in 0..10 {
        let id = api.submit("q", n).await;
        let answers = futures_util::future::join_all(workers.iter_mut().map(|worker| worker.claim(&id))).await;
        let own = answers.iter().enumerate().filter(|(n, job)| job["worker"] == format!("w{n}")).count();
        assert_eq!(own, 1, "{answers:?}");
    }
    assert_eq!(api.count("select count(*) from report.event where kind = 'claimed'").await, 10);
}

#[tokio::test]
async fn definitions_of_new_jobs_come_unasked_and_of_others_on_request_but_never_items() {
    let api = TestApi::new().await;
    let before = api.submit("q", 1).await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    let definitions = |m: &Value| (m["type"] == "BroadcastJobDefinitions").then(|| m["payload"]["definitions"].clone());
    worker.socket.send(&json!({"type": "RequestJobDefinitions", "payload": {"jobIds": [before, "nope"]}})).await;
    assert_eq!(worker.socket.until(definitions).await, json!({before.as_str(): definition(1)}));
    let new = api.submit("q", 2).await;
    assert_eq!(worker.socket.until(definitions).await, json!({new.as_str(): definition(2)}));
    worker.socket.until_job(&new, "Queued").await;
    for table in ["job", "queued", "waiting_class"] {
        api.database().await.execute(AssertSqlSafe(format!("update asman.{table} set class = 0"))).await.unwrap();
    }
    worker.socket.send(&json!({"type": "RequestJobDefinitions", "payload": {"jobIds": [before]}})).await;
    worker.ask(&before).await;
    worker.ping().await;
    assert_eq!(api.state(&before).await, "queued");
    let mut late = Socket::connect_raw(&api, "/q/q/worker").await;
    let jobs = late.until(|m| (m["type"] == "JobStates").then(|| m["payload"]["state"]["jobs"].clone())).await;
    assert_eq!(jobs, json!({}));
}

#[tokio::test]
async fn log_lines_reach_viewers_and_the_result_without_those_of_the_end_told_twice() {
    let api = TestApi::new().await;
    let mut viewer = Socket::connect(&api, "/q/q/client").await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    let id = api.submit("q", 1).await;
    worker.claim(&id).await;
    worker.log(&id, "docker image pull", &["pulled"]).await;
    worker.log(&id, "Running", &["one", "two"]).await;
    let line = viewer.until(|m| (m["payload"]["step"] == "Running").then(|| m["payload"]["logs"].clone())).await;
    assert_eq!(line, json!([["one", 7], ["two", 7]]));
    worker.log(&id, "Running", &["three"]).await;
    worker.finish(&id, "Success", json!([["one", 7], ["two", 7], ["three", 7]])).await;
    viewer.until_job(&id, "Finished").await;
    let (_, result) = api.get(&format!("/q/q/j/{id}/result.json")).await;
    let finished = &result["data"]["finished"]["result"];
    assert_eq!(finished["logs"], json!([["one", 7], ["two", 7], ["three", 7]]));
    assert_eq!(finished["outputs"]["out.txt"]["value"], "made");
    assert_eq!(api.get(&format!("/q/q/j/{id}/build-logs.json")).await.1["data"], json!([["pulled", 7]]));
}

#[tokio::test]
async fn a_cancelled_and_a_deleted_job_is_to_be_forgotten() {
    let api = TestApi::new().await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    let clear = |m: &Value| (m["type"] == "ClearJobCache").then(|| m["payload"].clone());
    let id = api.submit_job("q", json!({"definition": definition(1), "control": {"namespace": "n"}})).await;
    worker.claim(&id).await;
    api.post(&format!("/q/q/j/{id}/n/cancel"), json!({})).await;
    assert_eq!(worker.socket.until(clear).await, json!({"jobId": id, "namespace": "n"}));
    let id = api.submit("q", 2).await;
    worker.claim(&id).await;
    worker.finish(&id, "Success", json!([])).await;
    worker.ping().await;
    let mut client = Socket::connect(&api, "/q/q/client").await;
    client.send(&crate::socket::ending(&id, "Deleted")).await;
    assert_eq!(worker.socket.until(clear).await, json!({"jobId": id, "namespace": "_"}));
}

#[tokio::test]
async fn a_paused_queue_a_tag_and_too_many_gpus_are_not_for_it() {
    let api = TestApi::new().await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    let plain = api.submit("q", 1).await;
    let tagged = api.submit_job("q", json!({"definition": {"image": "a", "tags": ["special"]}})).await;
    let gpu = api.submit_job("q", json!({"definition": {"image": "a", "requirements": {"gpus": 1}}})).await;
    for id in [&tagged, &gpu] {
        worker.ask(id).await;
        worker.ping().await;
        assert_eq!(api.state(id).await, "queued");
    }
    api.execute("insert into asman.policy (qid, is_paused) values (asman.qid('q'), true)").await;
    worker.ask(&plain).await;
    worker.ping().await;
    assert_eq!(api.state(&plain).await, "queued");
    api.execute("update asman.policy set is_paused = false").await;
    assert_eq!(worker.claim(&plain).await["state"], "Running");
}

#[tokio::test]
async fn registrations_keep_the_claim_and_a_closed_socket_is_not_death() {
    let api = TestApi::with(|config| config.lease = protocol::Duration(Duration::from_secs(3))).await;
    let id = api.submit("q", 1).await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    worker.claim(&id).await;
    let start = tokio::time::Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    while start.elapsed() < Duration::from_secs(7) {
        tick.tick().await;
        // Each attempt uses a new socket, because the API counts by the worker's name and not by the connection.
        worker = OldWorker::connect(&api, "q", "old").await;
    }
    assert_eq!(api.state(&id).await, "running");
    worker.finish(&id, "Success", json!([])).await;
    let finished = || async { (api.state(&id).await == "finished").then_some(()) };
    eventually("it is finished", finished).await;
    assert_eq!(api.count("select count(*) from report.event where kind = 'requeued'").await, 0);
}

#[tokio::test]
async fn junk_is_ignored_and_the_workers_socket_lives() {
    let api = TestApi::new().await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    let id = api.submit("q", 1).await;
    for junk in ["undefined", "", "{", "null", "[]", r#"{"type":"Hello"}"#, r#"{"type":5}"#, &"[".repeat(100_000)] {
        worker.socket.send_text(junk).await;
    }
    for kind in
        ["WorkerRegistration", "StateChange", "JobStatusLogs", "RequestJobDefinitions", "WorkerStatusResponse", "QueryJob"]
    {
        for payload in [json!(null), json!({}), json!([1]), json!({"id": "a\u{0}b", "cpus": 1}), json!({"jobIds": ["a/b"]})] {
            worker.socket.send(&json!({"type": kind, "payload": payload})).await;
        }
    }
    worker.socket.send(&json!({"type": "WorkerRegistration", "payload": {"id": "x", "version": "a\u{0}", "cpus": 1}})).await;
    let forged = json!({"tag": "", "job": id, "state": "Running", "value": {"type": "Running", "worker": "somebody-else"}});
    worker.socket.send(&json!({"type": "StateChange", "payload": forged})).await;
    for reason in ["Cancelled", "Deleted", "WorkerLost"] {
        worker.finish(&id, reason, json!([])).await;
    }
    worker.ping().await;
    assert_eq!(api.state(&id).await, "queued");
    assert_eq!(worker.claim(&id).await["worker"], "old");
}

#[tokio::test]
async fn a_definition_with_a_login_goes_to_the_worker_that_holds_the_job_and_to_no_other() {
    let api = TestApi::new().await;
    let mut holder = OldWorker::connect(&api, "q", "holder").await;
    let mut other = OldWorker::connect(&api, "q", "other").await;
    let sent = json!({"build": {"context": "https://TOKEN@host.example/a/b"}, "command": "true"});
    let id = api.submit_job("q", json!({"definition": sent})).await;
    let plain = api.submit("q", 1).await;
    let request = json!({"type": "RequestJobDefinitions", "payload": {"jobIds": [id, plain]}});
    let definitions = |message: &Value| message["payload"]["definitions"].as_object().cloned();
    other.socket.send(&request).await;
    let seen = other.socket.until(|m| definitions(m).filter(|d| d.contains_key(&plain))).await;
    assert!(!seen.contains_key(&id), "{seen:?}");
    holder.ask(&id).await;
    let seen = holder.socket.until(|m| definitions(m).filter(|d| d.contains_key(&id))).await;
    assert_eq!(seen[&id], sent);
    holder.socket.send(&request).await;
    let seen = holder.socket.until(|m| definitions(m).filter(|d| d.len() == 2)).await;
    assert_eq!(seen[&id], sent, "claimed again, by the same worker");
    other.socket.send(&request).await;
    let seen = other.socket.until(|m| definitions(m).filter(|d| d.contains_key(&plain))).await;
    assert!(!seen.contains_key(&id), "{seen:?}");
}
