//! Several queues on one worker: their shares, their common ledger, and calls with the path of each queue.

use std::collections::HashMap;

use protocol::Reason;
use worker::Queues;

use crate::api::{FakeApi, Heard};
use crate::harness::{TestWorker, script};

pub(crate) fn queues(words: &[&str]) -> Queues {
    words.iter().map(|word| word.parse::<worker::QueueShare>().unwrap()).collect()
}

async fn start(api: &FakeApi, words: &[&str], jobs: u32) -> TestWorker {
    TestWorker::start_on(api.clone(), |config| {
        config.queue = queues(words);
        config.jobs = Some(jobs);
    })
    .await
}

fn taken_by_queue(heard: &Heard, n: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for (queue, _) in heard.taken.iter().take(n) {
        *counts.entry(queue.clone()).or_default() += 1;
    }
    counts
}

async fn until_taken(api: &FakeApi, n: usize) -> HashMap<String, usize> {
    api.until("claims", |heard| (heard.taken.len() >= n).then(|| taken_by_queue(heard, n))).await
}

#[tokio::test]
async fn while_all_queues_have_work_they_share_the_worker_by_weight() {
    let api = FakeApi::start().await;
    for _ in 0..9 {
        ["a", "b", "c"].iter().for_each(|queue| drop(api.submit_to(queue, &script("true"))));
    }
    let worker = start(&api, &["a", "b/3", "c/2"], 2).await;
    let taken = until_taken(&api, 12).await;
    assert_eq!(taken, HashMap::from([("a".to_owned(), 2), ("b".to_owned(), 6), ("c".to_owned(), 4)]));
    worker.drain().await;
    api.with(|heard| assert!(heard.released.is_empty(), "nothing was taken that did not fit"));
}

#[tokio::test]
async fn what_an_idle_queue_does_not_use_goes_to_the_others_and_is_not_saved_up() {
    let api = FakeApi::start().await;
    (0..8).for_each(|_| drop(api.submit_to("a", &script("true"))));
    let worker = start(&api, &["a", "b/100"], 1).await;
    assert_eq!(until_taken(&api, 4).await, HashMap::from([("a".to_owned(), 4)]));
    let late = api.submit_to("b", &script("true"));
    api.finish_of(&late).await;
    api.with(|heard| {
        let place = heard.taken.iter().position(|(_, job)| *job == late).unwrap();
        assert!(place < 7, "a queue that comes back is served at once: {place}");
    });
    worker.drain().await;
}

#[tokio::test]
async fn a_job_that_comes_to_an_idle_worker_finds_any_of_its_queues_waiting() {
    let api = FakeApi::start().await;
    let worker = start(&api, &["a", "b", "c"], 1).await;
    for queue in ["c", "a", "b", "b", "a"] {
        let job = api.submit_to(queue, &script("true"));
        assert_eq!(api.finish_of(&job).await.reason, Reason::Success);
        let path = format!("/q/{queue}/j/{job}/finish");
        api.with(|heard| assert!(heard.paths.contains(&path), "{:?}", heard.paths));
    }
    worker.drain().await;
    api.with(|heard| assert!(heard.released.is_empty()));
}

#[tokio::test]
async fn answers_that_cross_never_run_more_than_fits_and_nothing_is_lost() {
    let api = FakeApi::start().await;
    let worker = start(&api, &["a", "b", "c"], 1).await;
    // All three requests wait, and all are answered before the worker can drop one.
    api.until("three questions", |heard| {
        (heard.claims.iter().filter(|claim| !claim.wait.0.is_zero()).count() >= 3).then_some(())
    })
    .await;
    let jobs = api.with(|heard| {
        ["a", "b", "c"].map(|queue| {
            let id = heard.queue(&script("mkdir /job-cache/alone || exit 9; sleep 0.3; rmdir /job-cache/alone"), "1h");
            heard.waiting.back_mut().unwrap()["queue"] = queue.into();
            id
        })
    });
    let again = |heard: &mut Heard| {
        // The API queues a released job again, so both kinds of end count.
        let ends = jobs.iter().filter(|job| heard.finished.contains_key(*job) || heard.released.contains_key(*job)).count();
        (ends == jobs.len()).then(|| heard.finished.values().filter(|finish| finish.result.status_code != Some(0)).count())
    };
    assert_eq!(api.until("an end of each", again).await, 0);
    worker.drain().await;
}

#[tokio::test]
async fn a_queue_that_refuses_the_worker_does_not_hold_up_the_others() {
    let api = FakeApi::start().await;
    api.with(|heard| heard.refuses.insert("closed".to_owned()));
    let worker = start(&api, &["closed", "open"], 2).await;
    for _ in 0..3 {
        let job = api.submit_to("open", &script("true"));
        assert_eq!(api.finish_of(&job).await.reason, Reason::Success);
    }
    let n_asked = api.with(|heard| heard.paths.iter().filter(|path| *path == "/q/closed/claim").count());
    assert!(n_asked <= 4, "the worker waits after a refusal: {n_asked}");
    worker.drain().await;
}

#[tokio::test]
async fn results_of_a_queue_that_is_served_no_more_are_delivered_all_the_same() {
    let api = FakeApi::start().await;
    let worker = start(&api, &["a", "b"], 2).await;
    let job = api.submit_to("b", &script("until [ -e /job-cache/go ]; do sleep 0.05; done"));
    api.until("a held job", |heard| heard.heartbeats.iter().any(|beat| !beat.jobs.is_empty()).then_some(())).await;
    api.with(|heard| heard.is_down = true);
    let cache = worker.data().join("cache").join("b".parse::<protocol::QueueName>().unwrap().qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    let tried = format!("/q/b/j/{job}/finish");
    api.until("a try", |heard| heard.paths.contains(&tried).then_some(())).await;
    worker.shutdown.stop.cancel();
    let data = worker.data();
    let folder = worker.end().await;
    api.with(|heard| heard.is_down = false);
    let next = TestWorker::start_on(api.clone(), |config| {
        config.queue = queues(&["a"]);
        config.data_directory = Some(data);
    })
    .await;
    assert_eq!(api.finish_of(&job).await.reason, Reason::Success);
    next.drain().await;
    drop(folder);
}
