//! Each namespace holds one live job: a newer job ends the older one.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::test_api::{TestApi, definition, eventually};

/// Shorter than the shortest grace, which is four seconds.
const AT_ONCE: Duration = Duration::from_secs(3);

async fn submit_in(api: &TestApi, n: u32, namespace: &str) -> String {
    api.submit_job("q", json!({"definition": definition(n), "control": {"namespace": namespace}})).await
}

async fn reason(api: &TestApi, id: &str) -> Option<String> {
    let (_, result) = api.get(&format!("/q/q/j/{id}/result.json")).await;
    result["data"]["finishedReason"].as_str().map(ToOwned::to_owned)
}

async fn until_replaced(api: &TestApi, id: &str) -> Duration {
    let start = Instant::now();
    let replaced = || async { (reason(api, id).await? == "JobReplacedByClient").then_some(()) };
    eventually("the older job is replaced", replaced).await;
    start.elapsed()
}

#[tokio::test]
async fn a_queued_and_a_young_running_job_end_at_once_on_whichever_process_the_newer_came() {
    let one = TestApi::new().await;
    let two = TestApi::over(&one.database_url, |_| {}).await;
    let queued = submit_in(&one, 1, "mine").await;
    let running = submit_in(&two, 2, "mine").await;
    assert!(until_replaced(&one, &queued).await < AT_ONCE);
    let (claimed, epoch) = one.claim_one("q", "w").await;
    assert_eq!(claimed, running);
    let newest = submit_in(&one, 3, "mine").await;
    assert!(until_replaced(&two, &running).await < AT_ONCE);
    assert_eq!(one.finish(&running, epoch).await, 409);
    assert_eq!(one.state(&newest).await, "queued");
}

#[tokio::test]
async fn a_job_that_ran_for_long_has_a_grace_and_is_told_to_stop_after_it() {
    let api = TestApi::new().await;
    for (n, age, grace) in [(1, "21 seconds", 4), (3, "61 seconds", 8)] {
        let old = submit_in(&api, n, "mine").await;
        api.claim_one("q", "w").await;
        let age = if age.starts_with("21") {
            "update asman.running set claimed_at = claimed_at - interval '21 seconds'"
        } else {
            "update asman.running set claimed_at = claimed_at - interval '61 seconds'"
        };
        api.execute(age).await;
        let newer = submit_in(&api, n + 1, "mine").await;
        assert_eq!(api.state(&old).await, "running", "not at once");
        let waited = until_replaced(&api, &old).await;
        assert!(waited + Duration::from_secs(1) > Duration::from_secs(grace), "{waited:?}");
        api.post(&format!("/q/q/j/{newer}/cancel?namespace=*"), json!({})).await;
    }
}

#[tokio::test]
async fn a_job_that_its_namespace_takes_up_again_within_the_grace_is_kept() {
    let api = TestApi::new().await;
    let old = submit_in(&api, 1, "mine").await;
    api.claim_one("q", "w").await;
    api.execute("update asman.running set claimed_at = claimed_at - interval '21 seconds'").await;
    let newer = submit_in(&api, 2, "mine").await;
    submit_in(&api, 1, "mine").await;
    until_replaced(&api, &newer).await;
    let none = "select count(*) from asman.supersession";
    eventually("nothing is due any more", || async { (api.count(none).await == 0).then_some(()) }).await;
    assert_eq!(api.state(&old).await, "running");
}

#[tokio::test]
async fn other_namespaces_keep_the_job_and_the_shared_one_may_hold_any_number() {
    let api = TestApi::new().await;
    let shared = submit_in(&api, 1, "mine").await;
    submit_in(&api, 1, "_").await;
    submit_in(&api, 1, "theirs").await;
    submit_in(&api, 2, "_").await;
    submit_in(&api, 3, "mine").await;
    let left = || async {
        let (_, held) = api.get(&format!("/q/q/j/{shared}/namespaces.json")).await;
        (held["data"] == json!(["_", "theirs"])).then_some(())
    };
    eventually("one namespace left", left).await;
    assert_eq!(api.state(&shared).await, "queued");
    assert_eq!(api.count("select count(*) from asman.queued").await, 3);
}

#[tokio::test]
async fn eight_clients_that_hammer_three_namespaces_at_two_processes_leave_one_live_job_each() {
    let one = TestApi::new().await;
    let two = TestApi::over(&one.database_url, |_| {}).await;
    let client = |c: u32| {
        let api = if c.is_multiple_of(2) { &one } else { &two };
        async move {
            for n in 0..40 {
                // Few jobs, so that some are submitted again.
                let body =
                    json!({"definition": definition((n * 7 + c) % 12), "control": {"namespace": format!("n{}", (n + c) % 3)}});
                let (status, answer) = api.post("/q/q", body).await;
                assert_eq!(status, 200, "{answer}");
                if n % 10 == 0 {
                    api.claim("q", &format!("w{c}"), 1, "0s").await;
                }
            }
        }
    };
    futures_util::future::join_all((0..8).map(client)).await;
    let due = "select count(*) from asman.supersession";
    eventually("all that is due has ended", || async { (one.count(due).await == 0).then_some(()) }).await;
    let held = "select count(*) from (select unnest(namespaces) as n from asman.queued_job \
        union all select unnest(namespaces) from asman.running_job) h where n like 'n_'";
    assert_eq!(one.count(held).await, 3);
    let distinct = "select count(distinct n) from (select unnest(namespaces) as n from asman.queued_job \
        union all select unnest(namespaces) from asman.running_job) h where n like 'n_'";
    assert_eq!(one.count(distinct).await, 3);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(one.count(deadlocks).await, 0);
}
