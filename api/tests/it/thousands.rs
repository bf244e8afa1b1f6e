//! A thousand of each thing that a stranger can make, in one database: every answer stays quick and bounded.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::test_api::{TestApi, claim_body, definition};

const MANY: u32 = 1_000;
/// A statement that reads one kind of these things once for each thing of another kind takes seconds. The statements here take
/// milliseconds on a quiet machine.
const QUICK: Duration = Duration::from_secs(3);
/// Most bytes of one answer.
const BOUND: usize = 8 * 1024 * 1024;

/// Sends one POST for each number, a few at a time. Returns the statuses.
async fn post_all(api: &TestApi, of: impl Fn(u32) -> (String, Value)) -> Vec<u16> {
    let posts = (0..MANY).map(|n| {
        let (path, body) = of(n);
        async move { api.post(&path, body).await.0 }
    });
    stream::iter(posts).buffer_unordered(16).collect().await
}

fn all_ok(statuses: &[u16]) -> bool {
    statuses.len() == MANY as usize && statuses.iter().all(|status| *status == 200)
}

/// Makes queues, namespaces of one job, classes, aliases, workers, items and deliveries.
async fn make(api: &TestApi) {
    let submit = |n: u32| (format!("/q/other-{n}"), json!({"definition": definition(n)}));
    assert!(all_ok(&post_all(api, submit).await), "queues");
    let join = |n: u32| ("/q/q".to_owned(), json!({"definition": definition(1), "control": {"namespace": format!("n{n}")}}));
    assert!(all_ok(&post_all(api, join).await), "namespaces of one job");
    let tagged =
        |n: u32| ("/q/q".to_owned(), json!({"definition": {"image": "a", "command": n.to_string(), "tags": [format!("t{n}")]}}));
    assert!(all_ok(&post_all(api, tagged).await), "classes");
    let page =
        |n: u32| ("/q/q".to_owned(), json!({"definition": {"image": "a", "command": n.to_string(), "env": {"channel": "c"}}}));
    assert!(all_ok(&post_all(api, page).await), "jobs with two ids");
    let claim = |n: u32| {
        let mut body = claim_body(&format!("w{n}"), 1, "0s");
        body["worker"]["tags"] = json!([format!("other{n}")]);
        ("/q/idle".to_owned() + "/claim", body)
    };
    assert!(all_ok(&post_all(api, claim).await), "workers");
    let item = |n: u32| ("/q/q/api/v1/queue/put".to_owned(), json!({format!("item-{n}"): n}));
    assert!(all_ok(&post_all(api, item).await), "items");
    let owed = |n: u32| {
        let control = json!({"callbacks": {"finished": {"url": format!("https://host-{n}.example/x")}}});
        ("/q/owed".to_owned(), json!({"definition": definition(n), "control": control}))
    };
    assert!(all_ok(&post_all(api, owed).await), "deliveries");
}

#[tokio::test]
async fn a_thousand_of_each_thing_that_a_stranger_can_make_leaves_every_answer_quick_and_bounded() {
    let api = TestApi::new().await;
    make(&api).await;
    let (status, refused) =
        api.post("/q/q", json!({"definition": definition(1), "control": {"namespace": "one-too-many"}})).await;
    assert_eq!((status, &refused["code"]), (400, &json!("too-many-namespaces")), "{refused}");
    let id = api.submit("quiet", 1).await;
    for path in [
        "/q/q/j",
        "/q/q/jobs",
        "/q/q/status",
        "/q/q/metrics",
        "/q/q/report.json",
        "/q/idle/status",
        "/q/idle/report.json",
        "/metrics",
        "/q/q/api/v1/queue/sizes",
        "/q/q/api/v1/queue/items",
        "/q/q/api/v1/queue/events",
        "/readyz",
        &format!("/j/{id}"),
        &format!("/q/quiet/j/{id}/history.json"),
    ] {
        let start = Instant::now();
        let answer = api.fetch(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let bytes = answer.bytes().await.unwrap().len();
        assert!(start.elapsed() < QUICK && bytes < BOUND, "{path}: {:?}, {bytes} bytes", start.elapsed());
    }
    // No worker has the tags of the waiting jobs; a job without tags that was queued after them is claimed at once.
    let start = Instant::now();
    let (claimed, _) = api.claim_one("quiet", "w").await;
    assert_eq!(claimed, id);
    api.claim("q", "w", 1, "0s").await;
    assert!(start.elapsed() < QUICK, "{:?}", start.elapsed());
    let start = Instant::now();
    api.execute("call asman.maintain()").await;
    assert!(start.elapsed() < QUICK, "{:?}", start.elapsed());
}
