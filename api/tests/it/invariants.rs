//! The invariants of `docs/architecture.md` that can be tested through the API. Each test has the name of its invariant.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::test_api::{TestApi, definition, eventually, held};

/// As many jobs as one worker can claim at once.
const JOBS: u32 = 16;

/// Ends every other session of the database, as happens when a server is stopped or promoted.
const END_SESSIONS: &str =
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";

#[tokio::test]
async fn an_acknowledged_job_is_never_lost() {
    let api = TestApi::new().await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..10 {
        let sent = (0..20).map(|n| {
            let request = api.request(reqwest::Method::POST, "/q/q").json(&json!({"definition": definition(round * 20 + n)}));
            async move {
                let answer = request.send().await.unwrap();
                if answer.status() != 200 {
                    return None;
                }
                let body: serde_json::Value = answer.json().await.unwrap();
                body["jobId"].as_str().map(ToOwned::to_owned)
            }
        });
        let (answers, ()) = tokio::join!(futures_util::future::join_all(sent), api.execute(END_SESSIONS));
        acknowledged.extend(answers.into_iter().flatten());
    }
    assert!(!acknowledged.is_empty(), "some were acknowledged while sessions ended");
    for id in &acknowledged {
        assert_eq!(api.state(id).await, "queued", "{id}");
    }
}

#[tokio::test]
async fn a_job_runs_on_at_most_one_live_claim() {
    let short = |config: &mut api::Config| config.lease = protocol::Duration(Duration::from_secs(10));
    let one = TestApi::with(short).await;
    let two = TestApi::over(&one.database_url, short).await;
    for n in 0..JOBS {
        one.submit("q", n).await;
    }
    // The workers that claim first stop answering, and lose their claims.
    let old: BTreeMap<String, i64> = one.claim("q", "paused", JOBS, "5s").await.iter().map(held).collect();
    assert_eq!(old.len(), JOBS as usize);
    one.execute("update asman.worker set last_seen = now() - interval '1 hour'").await;
    one.execute("update asman.running set claimed_at = now() - interval '1 hour'").await;
    let mut again = BTreeSet::new();
    while again.len() < JOBS as usize {
        // Each claim takes few jobs: on a busy machine, a claim of many jobs could lose its lease before its jobs are finished.
        let (a, b) = tokio::join!(one.claim("q", "a", 5, "1s"), two.claim("q", "b", 5, "1s"));
        for (id, epoch) in a.iter().chain(&b).map(held) {
            assert!(epoch > old[&id]);
            assert_eq!(two.finish(&id, old[&id]).await, 409, "the paused worker's write is refused");
            assert_eq!(one.finish(&id, epoch).await, 200);
            assert_eq!(two.finish(&id, old[&id]).await, 409);
            assert!(again.insert(id), "one live claim a job");
        }
    }
    assert_eq!(one.count("select count(*) from asman.finished where reason = 'Success'").await, i64::from(JOBS));
    assert_eq!(one.count("select count(distinct job_key) from asman.finished").await, i64::from(JOBS));
}

#[tokio::test]
async fn the_api_keeps_nothing_that_a_restart_can_lose() {
    let submitter = TestApi::new().await;
    let url = submitter.database_url.clone();
    let id = submitter.submit("q", 1).await;
    drop(submitter);
    let claimer = TestApi::over(&url, |_| {}).await;
    let (claimed, epoch) = claimer.claim_one("q", "w").await;
    assert_eq!(claimed, id);
    assert_eq!(claimer.log(&id, epoch, 0, "Running", &["first"]).await, 200);
    drop(claimer);
    let finisher = TestApi::over(&url, |_| {}).await;
    assert_eq!(finisher.log(&id, epoch, 1, "Running", &["second"]).await, 200);
    assert_eq!(finisher.finish(&id, epoch).await, 200);
    drop(finisher);
    let reader = TestApi::over(&url, |_| {}).await;
    assert_eq!(reader.state(&id).await, "finished");
    let (_, result) = reader.get(&format!("/q/q/j/{id}/result.json")).await;
    assert!(result.to_string().contains("first") && result.to_string().contains("second"), "{result}");
}

#[tokio::test]
async fn a_lost_notification_costs_time_and_never_a_job() {
    let api = TestApi::with(|config| config.notifications = false).await;
    let waiting = api.request(reqwest::Method::POST, "/q/q/claim").json(&crate::test_api::claim_body("w", 1, "15s"));
    let waiting = tokio::spawn(async move { waiting.send().await.unwrap().json::<serde_json::Value>().await.unwrap() });
    eventually("the worker waits", || async { (api.count("select count(*) from asman.worker").await == 1).then_some(()) }).await;
    // The function that notifies the processes does nothing here, so no process is notified of this job.
    api.execute(
        "begin; set local client_min_messages = warning; create or replace function asman.tell(qid uuid, kinds int) returns void \
                 language sql as 'select'; commit; select asman.enqueue('q', '{\"image\": \"a\"}')",
    )
    .await;
    assert_eq!(waiting.await.unwrap()["jobs"].as_array().unwrap().len(), 1);
}
