//! The browser's socket.

use std::sync::Arc;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::compat::old_worker::OldWorker;
use crate::socket::{Socket, ending, submission};
use crate::test_api::{PROMPT, TestApi, definition, eventually, held};

#[tokio::test]
async fn workers_come_first_and_then_all_jobs_on_every_alias() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let running = api.claim_one("q", "w").await.0;
    assert_eq!(running, id);
    for path in ["/q/q/client", "/q/q/browser", "/q/client", "/q/browser"] {
        // The short paths also name a queue: here the queue `q`.
        let path = if path.starts_with("/q/q/") { path.to_owned() } else { path.replacen("/q/", "/long-name/", 1) };
        let mut socket = Socket::connect_raw(&api, &path).await;
        let workers = socket.next().await;
        let jobs = socket.next().await;
        assert_eq!((&workers["type"], &jobs["type"]), (&json!("Workers"), &json!("JobStates")), "{path}");
        assert_eq!(jobs["payload"]["isSubset"], false);
        if path.starts_with("/q/q/") {
            assert_eq!(workers["payload"]["workers"][0]["id"], "w");
            assert_eq!(workers["payload"]["workers"][0]["maxJobDuration"], "1h");
            assert_eq!(jobs["payload"]["state"]["jobs"][&id]["worker"], "w");
        } else {
            assert_eq!(jobs["payload"]["state"]["jobs"], json!({}));
        }
        socket.ping().await;
    }
}

#[tokio::test]
async fn a_job_is_followed_from_submission_to_its_end() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let id = api.submit("q", 1).await;
    let queued = socket.until_job(&id, "Queued").await;
    assert_eq!(queued["worker"], "");
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(socket.until_job(&id, "Running").await["worker"], "w");
    api.finish(&id, epoch).await;
    let finished = socket.until_job(&id, "Finished").await;
    assert_eq!(finished["finishedReason"], "Success");
    assert!(finished.get("finished").is_none(), "results are not broadcast");
}

/// The states of a job in the messages, in order, until the job has ended.
async fn states_of(socket: &mut Socket, id: &str) -> Vec<String> {
    let mut states: Vec<String> = Vec::new();
    while states.last().is_none_or(|last| last != "Finished") {
        let job = socket.until(|message| message["payload"]["state"]["jobs"].get(id).cloned()).await;
        let state = job["state"].as_str().unwrap().to_owned();
        assert_eq!(job["worker"] == "", state == "Queued", "{job}");
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
    states
}

#[tokio::test]
async fn every_state_is_told_in_order_although_an_idle_worker_takes_the_job_at_once() {
    let api = Arc::new(TestApi::new().await);
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    for n in 0..10 {
        let waiting = tokio::spawn({
            let api = Arc::clone(&api);
            async move {
                let (id, epoch) = api.claim_one("q", "idle").await;
                api.finish(&id, epoch).await;
            }
        });
        let id = format!("quick-{n}");
        socket.send(&submission(&id, &definition(n))).await;
        assert_eq!(states_of(&mut socket, &id).await, ["Queued", "Running", "Finished"], "{n}");
        waiting.await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_of_the_existing_kind_hears_of_no_work_that_is_gone() {
    let api = TestApi::new().await;
    let mut worker = OldWorker::connect(&api, "q", "old").await;
    let mut client = Socket::connect(&api, "/q/q/client").await;
    let shows = |message: &Value, id: &str| message["payload"]["state"]["jobs"].get(id).map(|job| job["state"].clone());
    let mut n_past = 0;
    for n in 0..100 {
        let (claimed, id) = tokio::join!(api.claim("q", "idle", 1, "15s"), api.submit("q", n));
        api.finish(&id, held(&claimed[0]).1).await;
        let heard = async |socket: &mut Socket| {
            let mut n_past = 0;
            loop {
                let message = socket.next().await;
                let state = shows(&message, &id);
                n_past += usize::from(state.is_some() && message["payload"]["isPast"] == true);
                if state.is_some_and(|state| state == "Finished") {
                    return n_past;
                }
            }
        };
        assert_eq!(heard(&mut worker.socket).await, 0);
        n_past += heard(&mut client).await;
        if n_past > 0 {
            return;
        }
    }
    panic!("clients get states that a job has left");
}

#[tokio::test]
async fn a_submission_is_acknowledged_by_a_broadcast_and_sending_it_again_is_harmless() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let mut other = Socket::connect(&api, "/q/q/client").await;
    for _ in 0..3 {
        socket.send(&submission("mine", &definition(1))).await;
    }
    socket.until_job("mine", "Queued").await;
    other.until_job("mine", "Queued").await;
    socket.ping().await;
    assert_eq!(api.count("select count(*) from asman.queued").await, 1);
    assert_eq!(api.get("/q/q/j/mine/definition.json").await.1["data"], definition(1));
}

#[tokio::test]
async fn every_submission_is_acknowledged_even_of_a_job_that_is_there_or_finished_long_ago() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    socket.send(&submission(&id, &definition(1))).await;
    let is_update = |message: &Value| (message["type"] == "JobStateUpdates").then(|| message["payload"]["state"]["jobs"].clone());
    assert_eq!(socket.until(is_update).await[&id]["state"], "Queued");
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&id, epoch).await;
    socket.until_job(&id, "Finished").await;
    api.execute("update asman.finished set finished_at = finished_at - interval '1 hour'").await;
    let mut late = Socket::connect(&api, "/q/q/client").await;
    late.send(&submission(&id, &definition(1))).await;
    assert_eq!(late.until_job(&id, "Finished").await["finishedReason"], "Success");
}

#[tokio::test]
async fn one_job_can_be_asked_for_whether_it_is_known_or_not() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&id, epoch).await;
    api.execute("update asman.finished set finished_at = finished_at - interval '1 hour'").await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let query = |id: &str| json!({"type": "QueryJob", "payload": {"jobId": id}});
    socket.send(&query(&id)).await;
    let answer = socket.until(|m| (m["type"] == "JobStateUpdates").then(|| m["payload"].clone())).await;
    assert_eq!(answer["state"]["jobs"][&id]["state"], "Finished");
    socket.send(&query("nope")).await;
    let answer = socket.until(|m| (m["type"] == "JobStateUpdates").then(|| m["payload"].clone())).await;
    assert_eq!(answer["state"]["jobs"], json!({}));
}

#[tokio::test]
async fn all_jobs_can_be_asked_for() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let id = api.submit("q", 1).await;
    socket.until_job(&id, "Queued").await;
    socket.send(&json!({"type": "QueryJobStates"})).await;
    let jobs = socket.until(|m| (m["type"] == "JobStates").then(|| m["payload"].clone())).await;
    assert_eq!((&jobs["isSubset"], &jobs["state"]["jobs"][&id]["state"]), (&json!(false), &json!("Queued")));
}

#[tokio::test]
async fn a_cancelled_job_stays_and_a_deleted_one_vanishes_from_the_next_snapshot() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let gone = |id: String| {
        move |m: &Value| (m["type"] == "JobStates" && m["payload"]["state"]["jobs"].get(&id).is_none()).then_some(())
    };
    let waiting = api.submit("q", 1).await;
    socket.until_job(&waiting, "Queued").await;
    socket.send(&ending(&waiting, "Cancelled")).await;
    assert_eq!(socket.until_job(&waiting, "Finished").await["finishedReason"], "Cancelled");
    socket.send(&json!({"type": "QueryJobStates"})).await;
    let listed = socket.until(|m| (m["type"] == "JobStates").then(|| m["payload"]["state"]["jobs"].clone())).await;
    assert_eq!(listed[&waiting]["finishedReason"], "Cancelled");
    let result = api.get(&format!("/q/q/j/{waiting}/result.json")).await.1;
    assert_eq!(result["data"]["finishedReason"], "Cancelled");

    let finished = api.submit("q", 2).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&finished, epoch).await;
    socket.until_job(&finished, "Finished").await;
    socket.send(&ending(&finished, "Deleted")).await;
    socket.until(gone(finished.clone())).await;
    api.submit("q", 2).await;
    assert_eq!(api.state(&finished).await, "queued", "its result is forgotten");
}

#[tokio::test]
async fn a_cancel_names_its_namespace_or_means_the_shared_one() {
    let api = TestApi::new().await;
    let body = json!({"definition": definition(1), "control": {"namespace": "mine"}});
    let id = api.submit_job("q", body).await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    socket.send(&ending(&id, "Cancelled")).await;
    socket.ping().await;
    assert_eq!(api.state(&id).await, "queued");
    let mut cancel = ending(&id, "Cancelled");
    cancel["payload"]["value"]["namespace"] = json!("mine");
    socket.send(&cancel).await;
    socket.ping().await;
    assert_eq!(api.state(&id).await, "finished");
}

#[tokio::test]
async fn junk_is_ignored_and_the_socket_lives() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let garbage = "\u{1f4a9}{[\"".repeat(15_000);
    let nested = "[".repeat(100_000);
    for junk in
        ["undefined", "", "{", "null", "[]", "\"PING\"", "ping", r#"{"type":"Hello"}"#, r#"{"type":5}"#, &garbage, &nested]
    {
        socket.send_text(junk).await;
    }
    for payload in [
        json!(null),
        json!({}),
        json!({"jobId": ""}),
        json!({"jobId": "a/b"}),
        json!({"job": "x", "state": "Exploded", "value": {}}),
    ] {
        socket.send(&json!({"type": "QueryJob", "payload": payload})).await;
        socket.send(&json!({"type": "StateChange", "payload": payload})).await;
    }
    for change in [submission("x", &json!({"command": "no image"})), ending("nope", "Cancelled"), ending("nope", "Success")] {
        socket.send(&change).await;
    }
    socket.stream.send(Message::binary(vec![0xff; 1000])).await.unwrap();
    socket.stream.send(Message::Ping(vec![1].into())).await.unwrap();
    socket.ping().await;
    assert_eq!(api.get("/q/q").await.1, json!({"data": {}}));
    let ignored = api.fetch("/metrics").await.text().await.unwrap();
    let counted = ignored.lines().find_map(|line| line.strip_prefix("asman_socket_messages_ignored_total ")?.parse::<u32>().ok());
    // Some refused messages are well-formed, such as a cancel of an unknown job. Another metric counts these.
    assert!(counted.unwrap_or_default() >= 20, "{counted:?}");
    let id = api.submit("q", 1).await;
    socket.until_job(&id, "Queued").await;
}

#[tokio::test]
async fn log_lines_come_in_order_with_their_step() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    let steps = ["docker image pull", "cloning repo", "docker build", "Running", "Running", "docker image push"];
    for (seq, step) in steps.iter().enumerate() {
        let lines = [format!("{seq} a"), format!("{seq} b")];
        api.log(&id, epoch, i32::try_from(seq).unwrap(), step, &[&lines[0], &lines[1]]).await;
    }
    api.finish(&id, epoch).await;
    let mut seen = Vec::new();
    loop {
        let message = socket.next().await;
        if message["type"] == "JobStatusPayload" {
            assert_eq!(message["payload"]["jobId"], *id);
            let step = message["payload"]["step"].as_str().unwrap().to_owned();
            seen.extend(
                message["payload"]["logs"].as_array().unwrap().iter().map(|l| (step.clone(), l[0].as_str().unwrap().to_owned())),
            );
        } else if message["payload"]["state"]["jobs"][&id]["state"] == "Finished" {
            break;
        }
    }
    let expected: Vec<_> = steps
        .iter()
        .enumerate()
        .flat_map(|(n, step)| ["a", "b"].map(|half| ((*step).to_owned(), format!("{n} {half}"))))
        .collect();
    assert_eq!(seen, expected, "every line came before the end");
}

#[tokio::test]
async fn workers_are_told_of_when_they_come() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    api.claim("q", "new", 1, "0s").await;
    let worker = socket.until(|m| m["payload"]["workers"].get(0).cloned()).await;
    assert_eq!((&worker["id"], &worker["cpus"]), (&json!("new"), &json!(16)));
}

#[tokio::test]
async fn a_whole_snapshot_comes_every_ten_seconds_to_clients_and_to_workers() {
    let api = TestApi::new().await;
    let mut client = Socket::connect(&api, "/q/q/client").await;
    let mut worker = Socket::connect(&api, "/q/q/worker").await;
    // A snapshot comes even if nothing happens: existing clients and workers reconnect after 20 s without one.
    let whole = |m: &Value| (m["type"] == "JobStates" && m["payload"]["isSubset"] == false).then_some(());
    tokio::join!(client.until(whole), worker.until(whole));
}

/// Submits three hundred jobs, so that a snapshot has two mebibytes, and asks for so many snapshots that no buffer on the way holds
/// the answers. Until the client reads, the socket takes no further message.
async fn choke(api: &TestApi, socket: &mut Socket) {
    let long = "t".repeat(200);
    let tags: Vec<_> = (0..32).map(|n| format!("{n}{long}")).collect();
    for n in 0..300 {
        api.submit_job("q", json!({"definition": {"image": "a", "command": n.to_string(), "tags": tags}})).await;
    }
    for _ in 0..20 {
        socket.send(&json!({"type": "QueryJobStates"})).await;
    }
}

#[tokio::test]
async fn a_client_that_lags_gets_a_snapshot_and_then_what_follows() {
    let api = TestApi::with(|config| config.send_timeout = "1m".parse().unwrap()).await;
    let mut slow = Socket::connect_raw(&api, "/q/q/client").await;
    choke(&api, &mut slow).await;
    let mut reader = Socket::connect(&api, "/q/q/client").await;
    // More messages than the ring holds. Waiting for each job makes each of them a separate message.
    for n in 0..80 {
        let id = api.submit("q", n).await;
        reader.until_job(&id, "Queued").await;
    }
    slow.ping().await;
    let metrics = api.fetch("/metrics").await.text().await.unwrap();
    assert!(metrics.lines().any(|line| line == "asman_socket_lags_total 1"), "{metrics}");
    let next = api.submit("q", 1_000).await;
    let seen = slow.until(|m| m["payload"]["state"]["jobs"].get(&next).map(|_| m["type"].clone())).await;
    assert_eq!(seen, "JobStateUpdates");
}

#[tokio::test]
async fn a_reader_that_never_reads_disturbs_nobody() {
    let api = TestApi::new().await;
    let mut stuck = Socket::connect_raw(&api, "/q/q/client").await;
    let mut reader = Socket::connect(&api, "/q/q/client").await;
    choke(&api, &mut stuck).await;
    let id = api.submit("q", 1).await;
    let start = tokio::time::Instant::now();
    reader.until_job(&id, "Queued").await;
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    assert_eq!(api.get("/q/q/status").await.1["clientCount"], 2);
}

#[tokio::test]
async fn a_change_behind_thousands_of_others_of_one_transaction_is_shown_at_once() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    // These events come without a notification; the next change causes all of them to be sent.
    api.execute(include_str!("many_events.sql")).await;
    let id = api.submit("q", 1).await;
    let start = tokio::time::Instant::now();
    socket.until_job(&id, "Queued").await;
    assert!(start.elapsed() < PROMPT, "not only by the snapshot of every ten seconds");
}

#[tokio::test]
async fn a_socket_that_leaves_is_no_longer_counted() {
    let api = TestApi::new().await;
    let socket = Socket::connect(&api, "/q/q/client").await;
    assert_eq!(api.get("/q/q/status").await.1["clientCount"], 1);
    drop(socket);
    eventually("the socket is gone", || async { (api.get("/q/q/status").await.1["clientCount"] == 0).then_some(()) }).await;
}

#[tokio::test]
async fn states_say_when_they_were_read_and_later_reads_have_larger_cursors() {
    let cursor = |payload: &Value| payload["cursor"].as_str().map(|cursor| cursor.parse::<u64>().unwrap());
    let api = TestApi::new().await;
    let mut socket = Socket::connect_raw(&api, "/q/q/client").await;
    let mut last = socket.until(|m| (m["type"] == "JobStates").then(|| cursor(&m["payload"]).unwrap())).await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.finish(&id, epoch).await;
    loop {
        let payload = socket.until(|m| m["payload"]["state"]["jobs"].get(&id).map(|_| m["payload"].clone())).await;
        let Some(read) = cursor(&payload) else {
            assert_eq!(payload["isPast"], true);
            continue;
        };
        assert!(read >= last, "{read} {last}");
        last = read;
        if payload["state"]["jobs"][&id]["state"] == "Finished" {
            break;
        }
    }
    let read = cursor(&api.get(&format!("/q/q/j/{id}")).await.1["data"]).unwrap();
    assert!(read >= last, "{read} {last}");
    api.submit("other", 2).await;
    socket.send(&json!({"type": "QueryJob", "payload": {"jobId": id}})).await;
    let asked = socket.until(|m| m["payload"]["state"]["jobs"].get(&id).map(|_| cursor(&m["payload"]).unwrap())).await;
    assert!(asked > read, "{asked} {read}");
}

#[tokio::test]
async fn a_client_that_closes_its_socket_gets_its_close_frame_back() {
    let api = TestApi::new().await;
    for path in ["/q/q/client", "/q/q/worker"] {
        let mut socket = Socket::connect_raw(&api, path).await;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        socket.stream.close(Some(frame)).await.unwrap();
        assert_eq!(socket.closed().await, Some(1000), "{path}");
    }
}
