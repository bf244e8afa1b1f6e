//! Watchers at one process see the changes that another process makes: at once with notifications, without them by polling.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::events::Events;
use crate::socket::Socket;
use crate::test_api::{PROMPT, TestApi, claim_body, eventually, held, in_time};

/// Two processes with notifications. They poll so rarely that polling has no effect within a test.
async fn with_notifications() -> (TestApi, TestApi) {
    let rarely = |config: &mut api::Config| config.poll = protocol::Duration(Duration::from_mins(1));
    let one = TestApi::with(rarely).await;
    let two = TestApi::over(&one.database_url, rarely).await;
    listening(&two, 2).await;
    (one, two)
}

/// Two processes that only poll.
async fn without_notifications() -> (TestApi, TestApi) {
    let polling = |config: &mut api::Config| {
        config.notifications = false;
        config.poll = protocol::Duration(Duration::from_millis(200));
    };
    let one = TestApi::with(polling).await;
    let two = TestApi::over(&one.database_url, polling).await;
    (one, two)
}

async fn listening(api: &TestApi, n: i64) {
    eventually("all processes listen", || async {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'";
        (api.count(sql).await == n).then_some(())
    })
    .await;
}

/// Submits on one process while a worker waits at the other.
async fn submit_reaches_a_waiting_worker(one: &TestApi, two: &TestApi) -> (String, i64, Duration) {
    let request = two.request(reqwest::Method::POST, "/q/q/claim").json(&claim_body("w", 1, "20s"));
    let waiting = tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() });
    eventually("the worker waits", || async { (one.count("select count(*) from asman.worker").await == 1).then_some(()) }).await;
    let start = Instant::now();
    one.submit("q", 1).await;
    let (id, epoch) = held(&in_time(waiting).await.unwrap()["jobs"][0]);
    (id, epoch, start.elapsed())
}

/// Cancels on one process while the worker's heartbeat waits at the other.
async fn cancel_reaches_a_waiting_heartbeat(one: &TestApi, two: &TestApi, id: &str, epoch: i64) -> Duration {
    one.execute("update asman.worker set last_seen = last_seen - interval '10 seconds'").await;
    let body = json!({"workerId": "w", "jobs": [{"jobId": id, "epoch": epoch}], "wait": "20s"});
    let request = two.request(reqwest::Method::POST, "/q/q/heartbeat").json(&body);
    let waiting = tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() });
    eventually("the heartbeat waits", || async {
        let seen = "select count(*) from asman.worker where last_seen > now() - interval '5 seconds'";
        (one.count(seen).await == 1).then_some(())
    })
    .await;
    let start = Instant::now();
    one.post(&format!("/q/q/j/{id}/cancel"), json!({})).await;
    assert_eq!(in_time(waiting).await.unwrap()["end"][0]["reason"], "Cancelled");
    start.elapsed()
}

/// Runs a job's whole life on one process, and watches it by a socket and an event stream of the other. Returns the longest delay.
async fn a_life_is_seen(one: &TestApi, two: &TestApi) -> Duration {
    let mut socket = Socket::connect(two, "/q/q/client").await;
    let mut slowest = Duration::ZERO;
    let mut start = Instant::now();
    let id = one.submit("q", 1).await;
    socket.until_job(&id, "Queued").await;
    slowest = slowest.max(start.elapsed());
    let mut events = Events::follow(two, &id, None).await;
    assert_eq!(events.next().await.unwrap().data["state"], "Queued");
    start = Instant::now();
    let (_, epoch) = one.claim_one("q", "w").await;
    socket.until_job(&id, "Running").await;
    assert_eq!(events.next().await.unwrap().data["state"], "Running");
    slowest = slowest.max(start.elapsed());
    start = Instant::now();
    one.log(&id, epoch, 0, "Running", &["line"]).await;
    socket.until(|m| (m["type"] == "JobStatusPayload" && m["payload"]["logs"][0][0] == "line").then_some(())).await;
    assert_eq!(events.next().await.unwrap().lines(), ["line"]);
    slowest = slowest.max(start.elapsed());
    start = Instant::now();
    one.finish(&id, epoch).await;
    socket.until_job(&id, "Finished").await;
    assert_eq!(events.next().await.unwrap().data["state"], "Finished");
    assert_eq!(events.next().await.unwrap().name, "final");
    slowest.max(start.elapsed())
}

#[tokio::test]
async fn a_workers_long_polls_on_one_process_hear_of_the_other_at_once() {
    let (one, two) = with_notifications().await;
    let (id, epoch, delay) = submit_reaches_a_waiting_worker(&one, &two).await;
    assert!(delay < PROMPT, "{delay:?}");
    let delay = cancel_reaches_a_waiting_heartbeat(&one, &two, &id, epoch).await;
    assert!(delay < PROMPT, "{delay:?}");
}

#[tokio::test]
async fn sockets_and_event_streams_on_one_process_hear_of_the_other_at_once() {
    let (one, two) = with_notifications().await;
    let delay = a_life_is_seen(&one, &two).await;
    assert!(delay < PROMPT, "{delay:?}");
}

#[tokio::test]
async fn without_notifications_a_workers_long_polls_hear_of_the_other_by_polling() {
    let (one, two) = without_notifications().await;
    let (id, epoch, _) = submit_reaches_a_waiting_worker(&one, &two).await;
    cancel_reaches_a_waiting_heartbeat(&one, &two, &id, epoch).await;
}

#[tokio::test]
async fn without_notifications_sockets_and_event_streams_hear_of_the_other_by_polling() {
    let (one, two) = without_notifications().await;
    let delay = a_life_is_seen(&one, &two).await;
    assert!(delay < PROMPT, "not only by the snapshot of every ten seconds: {delay:?}");
}

#[tokio::test]
async fn a_burst_of_log_lines_on_one_process_reaches_the_others_sockets_whole() {
    let one = TestApi::new().await;
    // This process reads rarely, so that it reports many changes at once.
    let two = TestApi::over(&one.database_url, |config| {
        config.notifications = false;
        config.poll = protocol::Duration(Duration::from_secs(2));
    })
    .await;
    let id = one.submit("q", 1).await;
    let (_, epoch) = one.claim_one("q", "w").await;
    let mut socket = Socket::connect(&two, "/q/q/client").await;
    for seq in 0..150 {
        one.log(&id, epoch, seq, "Running", &[&seq.to_string()]).await;
    }
    one.finish(&id, epoch).await;
    let mut seen = Vec::new();
    loop {
        let message = socket.next().await;
        if message["type"] == "JobStatusPayload" {
            seen.extend(message["payload"]["logs"].as_array().unwrap().iter().map(|line| line[0].as_str().unwrap().to_owned()));
        } else if message["payload"]["state"]["jobs"][&id]["state"] == "Finished" {
            break;
        }
    }
    assert_eq!(seen, (0..150).map(|n| n.to_string()).collect::<Vec<_>>());
}
