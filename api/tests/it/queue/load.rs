//! Two thousand jobs, eight workers, two processes: each job runs once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};

use crate::test_api::{TestApi, held, in_time};

const JOBS: u32 = 2_000;

/// Claims and finishes jobs through its own process until all are done. Returns its claims.
async fn work(api: Arc<TestApi>, worker: String, n_done: Arc<AtomicUsize>) -> Vec<(String, i64)> {
    let mut claims = Vec::new();
    while n_done.load(Ordering::Relaxed) < JOBS as usize {
        let jobs = api.claim("q", &worker, 16, "200ms").await;
        let finished = stream::iter(jobs.iter().map(held).collect::<Vec<_>>()).map(|(id, epoch)| {
            let api = Arc::clone(&api);
            async move {
                assert_eq!(api.finish(&id, epoch).await, 200);
                (id, epoch)
            }
        });
        let done: Vec<_> = finished.buffer_unordered(4).collect().await;
        n_done.fetch_add(done.len(), Ordering::Relaxed);
        claims.extend(done);
    }
    claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_runs_once_over_two_processes_and_eight_workers() {
    let one = Arc::new(TestApi::new().await);
    let two = Arc::new(TestApi::over(&one.database_url, |_| {}).await);
    let apis = [one, two];
    let n_done = Arc::new(AtomicUsize::new(0));
    let of = |n: usize| Arc::clone(&apis[n % 2]);
    let workers: Vec<_> = (0..8).map(|n| tokio::spawn(work(of(n), format!("w{n}"), Arc::clone(&n_done)))).collect();
    let submits = stream::iter(0..JOBS).map(|n| {
        let api = of(n as usize);
        async move { api.submit("q", n).await }
    });
    let submitted: HashSet<String> = submits.buffer_unordered(16).collect().await;
    let mut claims = Vec::new();
    for worker in workers {
        claims.extend(in_time(worker).await.unwrap());
    }
    assert_eq!(submitted.len(), JOBS as usize);
    assert_eq!(claims.len(), JOBS as usize, "none twice");
    assert_eq!(claims.iter().map(|(id, _)| id.clone()).collect::<HashSet<_>>(), submitted, "none lost");
    let api = &apis[0];
    for (kind, sql) in [
        ("epochs", "select count(distinct epoch) from asman.finished where reason = 'Success'"),
        ("finished", "select count(*) from report.event where kind = 'finished'"),
        // A claim is released if its request ended while the claim was being made.
        (
            "claimed",
            "select count(distinct epoch) filter (where kind = 'claimed') - count(*) filter (where kind = 'released') from report.event",
        ),
    ] {
        assert_eq!(api.count(sql).await, i64::from(JOBS), "{kind}");
    }
    assert_eq!(api.count("select (select count(*) from asman.queued) + (select count(*) from asman.running)").await, 0);
}
