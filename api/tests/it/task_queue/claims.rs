//! Leases and ends of items, and claims in a queue that container workers use too.

use std::time::Duration;

use serde_json::{Value, json};

use super::{get, ok, post};
use crate::test_api::{TestApi, eventually};

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn ends_need_a_live_claim_and_its_epoch() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"a":1,"b":2}"#)).await;
    let conflict = |id: &str, stage: &str| (409, format!(r#"{{"detail":"Item '{id}' is in {stage}, not in PROCESSING"}}"#));
    assert_eq!(post(&api, "success/a", "").await, conflict("a", "WAITING"));
    assert_eq!(post(&api, "fail/x", "").await, (404, r#"{"detail":"x not in Queue"}"#.to_owned()));
    let claims = read(&ok(post(&api, "claim", r#"{"n_items":2,"worker_id":"w","lease_seconds":60}"#)).await);
    assert_eq!((&claims[0]["item_id"], &claims[0]["item_body"], &claims[0]["attempt"]), (&json!("a"), &json!(1), &json!(1)));
    let epoch = claims[0]["epoch"].as_i64().unwrap();
    let stale = (409, r#"{"detail":"this claim is no longer live"}"#.to_owned());
    assert_eq!(post(&api, "success/a", &json!({"epoch": epoch - 1}).to_string()).await, stale);
    let body = json!({"epoch": epoch, "result": {"score": 1}, "message": "fine"}).to_string();
    assert_eq!(ok(post(&api, "success/a", &body)).await, r#"{"item_id":"a","status":2}"#);
    assert_eq!(ok(post(&api, "success/a", &body)).await, r#"{"item_id":"a","status":2}"#, "a repeated end is harmless");
    assert_eq!(post(&api, "success/a", "").await, conflict("a", "SUCCESS"));
    assert_eq!(post(&api, "fail/a", &body).await, stale, "it cannot end in another way");
    let shown = read(&ok(get(&api, "item/a")).await);
    assert_eq!((&shown["result"], &shown["message"], &shown["worker_id"]), (&json!({"score": 1}), &json!("fine"), &json!("w")));
    ok(post(&api, "fail/b", r#"{"error":"broken"}"#)).await;
    assert_eq!(read(&ok(get(&api, "item/b")).await)["error"]["json"]["message"], "broken");
    ok(post(&api, "put", r#"{"c":3}"#)).await;
    ok(get(&api, "get/1")).await;
    ok(post(&api, "fail/c", r#"{"error":{"line":7},"message":"broken"}"#)).await;
    assert_eq!(read(&ok(get(&api, "item/c")).await)["error"]["json"], json!({"message": "broken", "error": {"line": 7}}));
    assert_eq!(api.get("/q/q/j/b/result.json").await.1["data"]["finishedReason"], "Error", "job routes show it too");
}

#[tokio::test]
async fn a_released_item_waits_at_its_old_place() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"a":1,"b":2}"#)).await;
    ok(get(&api, "get/1")).await;
    assert_eq!(ok(post(&api, "release/a", "")).await, r#"{"item_id":"a","status":0}"#);
    assert_eq!(ok(get(&api, "peek/9")).await, r#"[["a",1],["b",2]]"#);
    assert_eq!(post(&api, "release/a", "").await.0, 409);
}

#[tokio::test]
async fn a_lease_that_ends_puts_the_item_back_and_the_third_loss_fails_it() {
    let api = TestApi::with(|config| config.lease = protocol::Duration(Duration::from_secs(1))).await;
    ok(post(&api, "put", r#"{"a":1,"kept":2}"#)).await;
    let mut epoch = 0;
    for attempt in 1..=3 {
        let claim = eventually("the item waits again", || async {
            read(&ok(post(&api, "claim", r#"{"worker_id":"w","lease_seconds":0.2,"wait_seconds":1}"#)).await).get(0).cloned()
        })
        .await;
        assert_eq!((&claim["item_id"], &claim["attempt"]), (&json!("a"), &json!(attempt)));
        epoch = claim["epoch"].as_i64().unwrap();
        if attempt == 1 {
            ok(get(&api, "get/1")).await;
        }
        eventually("the lease ends", || async { (ok(get(&api, "status/a")).await != "1").then_some(()) }).await;
        api.execute("update asman.queued set not_before = null").await;
    }
    assert_eq!(ok(get(&api, "status/a")).await, "3");
    assert_eq!(ok(get(&api, "status/kept")).await, "1", "a claim without a lease is never lost");
    assert_eq!(post(&api, "success/a", &json!({"epoch": epoch}).to_string()).await.0, 409);
    assert_eq!(read(&ok(get(&api, "item/a")).await)["message"], "given up after 3 lost workers: it ran past its deadline");
    ok(post(&api, "requeue", "\"a\"")).await;
    assert_eq!(read(&ok(post(&api, "claim", "")).await)[0]["attempt"], 4, "attempts are kept");
}

#[tokio::test]
async fn a_heartbeat_moves_the_lease_and_names_the_lost() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"a":1}"#)).await;
    let claim = read(&ok(post(&api, "claim", r#"{"lease_seconds":60}"#)).await)[0].clone();
    let body =
        json!({"lease_seconds": 600, "items": [{"item_id": "a", "epoch": claim["epoch"]}, {"item_id": "a", "epoch": 999_999}]});
    let beat = read(&ok(post(&api, "heartbeat", &body.to_string())).await);
    assert_eq!(beat["lost"], json!([{"item_id": "a", "epoch": 999_999}]));
    let later = beat["held"][0]["deadline"].as_i64().unwrap() - claim["deadline"].as_i64().unwrap();
    assert!((500_000..700_000).contains(&later), "{later}");
    for body in [r#"{"lease_seconds":0}"#, r#"{"lease_seconds":-1}"#, r#"{"lease_seconds":"x"}"#, "[]", r#"{"n_items":0}"#] {
        assert_eq!(post(&api, "claim", body).await.0, 422, "{body}");
    }
}

#[tokio::test]
async fn a_waiting_claim_is_answered_by_a_put() {
    let api = std::sync::Arc::new(TestApi::new().await);
    let other = std::sync::Arc::clone(&api);
    let waiting = tokio::spawn(async move { ok(post(&other, "claim", r#"{"wait_seconds":15}"#)).await });
    ok(post(&api, "put", r#"{"a":1}"#)).await;
    assert_eq!(read(&crate::test_api::in_time(waiting).await.unwrap())[0]["item_id"], "a");
}

#[tokio::test]
async fn a_container_definition_is_claimed_by_either_kind_of_worker() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"a":{"image":"alpine","command":"true"},"b":{"image":"alpine"},"c":{"x":1}}"#)).await;
    let (id, epoch) = api.claim_one("q", "w").await;
    assert_eq!(id, "a");
    assert_eq!(ok(get(&api, "get/9")).await, r#"[["b",{"image":"alpine"}],["c",{"x":1}]]"#);
    assert_eq!(api.finish("a", epoch).await, 200);
    assert_eq!(ok(get(&api, "status/a")).await, "2");
    let job = api.submit("q", 1).await;
    assert_eq!(read(&ok(get(&api, "get/1")).await)[0][0], json!(job), "and a job that was submitted otherwise");
    assert_eq!(api.claim("q", "w", 1, "0s").await.len(), 0);
}
