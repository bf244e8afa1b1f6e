//! `GET /q/:queue/j/:id/stream`: the whole log and every state, live and resumed.

use serde_json::json;

use crate::events::{Events, lines_of};
use crate::test_api::TestApi;

#[tokio::test]
async fn an_unknown_job_has_no_stream() {
    let api = TestApi::new().await;
    assert_eq!(api.get("/q/q/j/nope/stream").await, (404, json!({"error": "Job not found", "code": "no-job"})));
}

#[tokio::test]
async fn a_finished_job_is_replayed_whole_and_the_stream_ends() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.log(&id, epoch, 0, "docker build", &["b1", "b2"]).await;
    api.log(&id, epoch, 1, "Running", &["r1"]).await;
    api.log(&id, epoch, 2, "Running", &["r2", "r3"]).await;
    api.finish(&id, epoch).await;
    let events = Events::follow(&api, &id, None).await.rest().await;
    assert_eq!(lines_of(&events, "build-log"), ["b1", "b2"]);
    assert_eq!(lines_of(&events, "run-log"), ["r1", "r2", "r3"]);
    let finals: Vec<_> = events.iter().filter(|event| event.name == "final").collect();
    assert_eq!(finals.len(), 1);
    assert_eq!(finals[0].data, json!({"state": "Finished", "reason": "Success"}));
    assert_eq!(events.last(), Some(finals[0]));
    assert_eq!(events[events.len() - 3].data["cursor"], 3);
    assert_eq!(states_of(&events), ["Queued", "Running", "Finished"], "every state, in order, the last before the end");
}

fn states_of(events: &[crate::events::Event]) -> Vec<&str> {
    events.iter().filter(|event| event.name == "state").map(|event| event.data["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_job_that_an_idle_worker_takes_at_once_is_told_queued_first_and_again_when_it_is_given_back() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, first) = api.claim_one("q", "w").await;
    let mut events = Events::follow(&api, &id, None).await;
    let state = |event: crate::events::Event| event.data["state"].as_str().unwrap().to_owned();
    assert_eq!(state(events.next().await.unwrap()), "Queued");
    assert_eq!(state(events.next().await.unwrap()), "Running");
    api.post(&format!("/q/q/j/{id}/release"), json!({"epoch": first})).await;
    let (_, second) = api.claim_one("q", "w").await;
    api.finish(&id, second).await;
    let rest = events.rest().await;
    assert_eq!(states_of(&rest), ["Queued", "Running", "Finished"], "{rest:?}");
}

#[tokio::test]
async fn proxies_are_told_to_pass_events_on_as_they_come() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let response = api.fetch(&format!("/q/q/j/{id}/stream")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
}

#[tokio::test]
async fn states_and_lines_come_live_and_final_once() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let mut events = Events::follow(&api, &id, None).await;
    let state = |event: crate::events::Event| (event.name, event.data["state"].as_str().unwrap().to_owned());
    assert_eq!(state(events.next().await.unwrap()), ("state".into(), "Queued".into()));
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(state(events.next().await.unwrap()), ("state".into(), "Running".into()));
    for (seq, line) in ["one", "two", "three"].iter().enumerate() {
        api.log(&id, epoch, i32::try_from(seq).unwrap(), "Running", &[line]).await;
        let event = events.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.lines()), ("run-log", vec![(*line).to_owned()]));
    }
    api.post(&format!("/q/q/j/{id}/release"), json!({"epoch": epoch})).await;
    assert_eq!(state(events.next().await.unwrap()), ("state".into(), "Queued".into()));
    api.post(&format!("/q/q/j/{id}/cancel"), json!({})).await;
    assert_eq!(state(events.next().await.unwrap()), ("state".into(), "Finished".into()));
    let last = events.next().await.unwrap();
    assert_eq!((last.name.as_str(), &last.data), ("final", &json!({"state": "Finished", "reason": "Cancelled"})));
    assert_eq!(events.next().await, None, "the stream is closed");
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_exactly_the_rest() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.log(&id, epoch, 0, "docker build", &["b1"]).await;
    api.log(&id, epoch, 1, "Running", &["r1", "r2"]).await;
    let mut events = Events::follow(&api, &id, None).await;
    let mut seen = Vec::new();
    while lines_of(&seen, "run-log").is_empty() {
        seen.push(events.next().await.unwrap());
    }
    let last_id = seen.last().unwrap().id.clone();
    drop(events);
    api.log(&id, epoch, 2, "docker build", &["b2"]).await;
    api.log(&id, epoch, 3, "Running", &["r3"]).await;
    api.finish(&id, epoch).await;
    let rest = Events::follow(&api, &id, Some(&last_id)).await.rest().await;
    assert_eq!(lines_of(&rest, "build-log"), ["b2"]);
    assert_eq!(lines_of(&rest, "run-log"), ["r3"]);
    assert_eq!(rest.last().unwrap().name, "final");
    // If a client resumes after the last event, it gets only the state and the end.
    let end = rest.last().unwrap().id.clone();
    let nothing_new = Events::follow(&api, &id, Some(&end)).await.rest().await;
    assert_eq!(nothing_new.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["state", "final"]);
    assert_eq!(states_of(&nothing_new), ["Finished"]);
}

#[tokio::test]
async fn a_long_log_is_replayed_whole() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    for seq in 0..150 {
        api.log(&id, epoch, seq, "Running", &[&format!("{seq} \u{e9}\r\n")]).await;
    }
    api.finish(&id, epoch).await;
    let events = Events::follow(&api, &id, Some("nonsense")).await.rest().await;
    assert_eq!(lines_of(&events, "run-log"), (0..150).map(|n| format!("{n} \u{e9}\r\n")).collect::<Vec<_>>());
}

#[tokio::test]
async fn joined_texts_are_what_the_program_wrote() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.log(&id, epoch, 0, "Running", &["10%\r20%\rdone\r\n", "\n", "no", " end"]).await;
    api.finish(&id, epoch).await;
    let events = Events::follow(&api, &id, None).await.rest().await;
    assert_eq!(lines_of(&events, "run-log").concat(), "10%\r20%\rdone\r\n\nno end");
}
