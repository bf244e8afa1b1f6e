//! Workers of both kinds on one queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::old_worker::OldWorker;
use crate::test_api::{TestApi, eventually, held};

const JOBS: usize = 200;

/// Each worker takes at most this many, so that two fast workers of one kind leave jobs to the other kind.
const SHARE: usize = 75;

/// Asks for the queued jobs that the worker sees, and runs those that it gets. Returns the jobs that it ran.
async fn old_loop(api: Arc<TestApi>, name: &'static str, n_done: Arc<AtomicUsize>) -> Vec<String> {
    let mut worker = OldWorker::connect(&api, "q", name).await;
    worker.socket.send(&json!({"type": "Hello", "payload": {}})).await;
    let mut ran = Vec::new();
    while ran.len() < SHARE && n_done.load(Ordering::SeqCst) < JOBS {
        let (_, list) = api.get("/q/q").await;
        let is_queued = |(id, job): (&String, &Value)| (job["state"] == "Queued").then(|| id.clone());
        let queued: Vec<String> = list["data"].as_object().unwrap().iter().filter_map(is_queued).take(3).collect();
        for id in queued {
            worker.register().await;
            worker.ask(&id).await;
            worker.ping().await;
            let (_, job) = api.get(&format!("/q/q/j/{id}")).await;
            if job["data"]["results"]["state"] == "Running" && job["data"]["results"]["worker"] == name {
                worker.finish(&id, "Success", json!([])).await;
                worker.ping().await;
                n_done.fetch_add(1, Ordering::SeqCst);
                ran.push(id);
            }
        }
    }
    ran
}

/// Claims over HTTP, finishes, claims again. Returns the jobs that it ran.
async fn new_loop(api: Arc<TestApi>, name: &'static str, n_done: Arc<AtomicUsize>) -> Vec<String> {
    let mut ran = Vec::new();
    while ran.len() < SHARE && n_done.load(Ordering::SeqCst) < JOBS {
        for claim in api.claim("q", name, 1, "100ms").await {
            let (id, epoch) = held(&claim);
            assert_eq!(api.finish(&id, epoch).await, 200);
            n_done.fetch_add(1, Ordering::SeqCst);
            ran.push(id);
        }
    }
    ran
}

#[tokio::test]
async fn two_workers_of_each_kind_share_two_hundred_jobs_and_none_is_lost_or_runs_twice() {
    let api = Arc::new(TestApi::new().await);
    let n_done = Arc::new(AtomicUsize::new(0));
    let mut loops = tokio::task::JoinSet::new();
    for name in ["old-1", "old-2"] {
        loops.spawn(old_loop(Arc::clone(&api), name, Arc::clone(&n_done)));
    }
    for name in ["new-1", "new-2"] {
        loops.spawn(new_loop(Arc::clone(&api), name, Arc::clone(&n_done)));
    }
    eventually("all workers are there", || async { (api.count("select count(*) from asman.worker").await == 4).then_some(()) })
        .await;
    for n in 0..JOBS {
        api.submit("q", u32::try_from(n).unwrap()).await;
    }
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for ran in loops.join_all().await {
        for id in ran {
            *runs.entry(id).or_default() += 1;
        }
    }
    assert_eq!(runs.len(), JOBS);
    assert!(runs.values().all(|n| *n == 1), "{runs:?}");
    assert_eq!(api.count("select count(*) from asman.finished where reason = 'Success'").await, 200);
    // If a claim was made for a request that had just been given up, it was released before a worker got it.
    let had = "select count(*) filter (where kind = 'claimed') - count(*) filter (where kind = 'released') from report.event";
    assert_eq!(api.count(had).await, 200);
    assert_eq!(api.count("select count(*) from report.event where kind = 'requeued'").await, 0);
    let by_old = api.count("select count(*) from asman.finished where worker_id like 'old-%'").await;
    assert!((50..=150).contains(&by_old), "each kind had its share: {by_old} by the old ones");
}
