//! Pages, filters, removal and events.

use reqwest::Method;
use serde_json::{Value, json};

use super::{exact, get, ok, post};
use crate::socket::Socket;
use crate::test_api::{TestApi, eventually};

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["item_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn items_come_in_pages_with_filters() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"b2":1,"a1":1,"b1":1,"b3":1,"B":1}"#)).await;
    ok(get(&api, "get/1")).await;
    let page = read(&ok(get(&api, "items?prefix=b&limit=2")).await);
    assert_eq!((ids(&page), &page["next"]), (vec!["b1".to_owned(), "b2".to_owned()], &json!("b2")));
    assert!(page["items"][0]["queued_at"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!((&page["items"][1]["status"], &page["items"][1]["attempt"]), (&json!(1), &json!(1)));
    let page = read(&ok(get(&api, "items?prefix=b&limit=2&after=b2")).await);
    assert_eq!((ids(&page), &page["next"]), (vec!["b3".to_owned()], &Value::Null));
    assert_eq!(ids(&read(&ok(get(&api, "items?stage=PROCESSING")).await)), ["b2"]);
    assert_eq!(get(&api, "items?stage=nope").await, (400, r#"{"detail":"nope not a Queue Item Stage"}"#.to_owned()));
    assert_eq!(get(&api, "items?limit=0").await.0, 422);
}

#[tokio::test]
async fn removed_items_free_their_ids_and_void_their_claims() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"a":1,"b":2,"c":3,"d":4}"#)).await;
    let claim = read(&ok(post(&api, "claim", r#"{"n_items":2}"#)).await)[0].clone();
    let delete = |id: &'static str| exact(&api, Method::DELETE, id, None);
    assert_eq!(delete("/q/q/api/v1/queue/item/a").await, (200, "null".to_owned()));
    assert_eq!(delete("/q/q/api/v1/queue/item/a").await, (404, r#"{"detail":"a not in Queue"}"#.to_owned()));
    assert_eq!(get(&api, "status/a").await.0, 400);
    assert_eq!(post(&api, "success/a", &json!({"epoch": claim["epoch"]}).to_string()).await.0, 404);
    ok(post(&api, "fail/b", "")).await;
    assert_eq!(ok(post(&api, "purge/FAIL", "")).await, r#"{"purged":1}"#);
    assert_eq!(ok(post(&api, "purge/WAITING", "")).await, r#"{"purged":2}"#);
    assert_eq!(ok(get(&api, "sizes")).await, r#"{"WAITING":0,"PROCESSING":0,"SUCCESS":0,"FAIL":0}"#);
    assert_eq!(ok(post(&api, "put", r#"{"a":9}"#)).await, "null");
    let history = read(&ok(get(&api, "history/a")).await);
    let events: Vec<_> = history.as_array().unwrap().iter().map(|e| (e["event"].as_str().unwrap(), &e["status"])).collect();
    assert_eq!(events, [("queued", &json!(0)), ("claimed", &json!(1)), ("removed", &Value::Null), ("queued", &json!(0))]);
}

#[tokio::test]
async fn a_cursor_over_events_sees_each_once() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"a":1,"b":2}"#)).await;
    ok(get(&api, "get/2")).await;
    ok(post(&api, "fail/a", "")).await;
    ok(post(&api, "requeue", "\"a\"")).await;
    let seen = std::sync::Mutex::new((String::new(), Vec::new()));
    eventually("all events are settled", || async {
        let since = seen.lock().unwrap().0.clone();
        let page = read(&ok(get(&api, &format!("events?limit=2&since={since}"))).await);
        let mut seen = seen.lock().unwrap();
        page["cursor"].as_str().unwrap().clone_into(&mut seen.0);
        let words = page["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| format!("{} {}", e["event"].as_str().unwrap(), e["item_id"].as_str().unwrap()));
        seen.1.extend(words);
        (seen.1.len() >= 6).then_some(())
    })
    .await;
    assert_eq!(seen.lock().unwrap().1, ["queued a", "queued b", "claimed a", "claimed b", "finished a", "requeued a"]);
    assert_eq!(get(&api, "events?since=x").await.0, 422);
}

#[tokio::test]
async fn browsers_see_items_that_are_container_jobs_come_and_go() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    ok(post(&api, "put", r#"{"number":1,"a":{"image":"alpine"},"b":{"image":"alpine","command":"date"}}"#)).await;
    socket.until_job("a", "Queued").await;
    ok(get(&api, "get/1")).await;
    ok(get(&api, "get/1")).await;
    socket.until_job("a", "Running").await;
    exact(&api, Method::DELETE, "/q/q/api/v1/queue/item/a", None).await;
    let is_gone = |m: &Value| {
        let jobs = &m["payload"]["state"]["jobs"];
        (m["type"] == "JobStates" && jobs.get("a").is_none() && jobs.get("b").is_some()).then(|| jobs.get("number").is_some())
    };
    assert!(
        !socket.until(is_gone).await,
        "items that are not container jobs are hidden from clients that would take them for jobs"
    );
    let (_, listed) = api.get("/q/q").await;
    assert_eq!(listed["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    let metrics = api.fetch("/q/q/metrics").await.text().await.unwrap();
    for line in ["queue_length 1", "asman_queue_items 1"] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{metrics}");
    }
}
