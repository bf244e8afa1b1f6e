//! Start, capacity, outages and end of a worker.

use protocol::Reason;
use serde_json::json;
use worker::{Error, Shutdown};

use crate::api::{FakeApi, Heard};
use crate::harness::{IMAGE, TestWorker, containers_of, data_label, docker, ensure_image, eventually, names_in, script};
use crate::queues::queues;

#[tokio::test]
async fn two_jobs_run_at_once_and_the_third_waits_for_room() {
    let worker = TestWorker::start().await;
    let meet =
        |own: &str, other: &str| script(&format!("touch /job-cache/{own}; until [ -e /job-cache/{other} ]; do sleep 0.05; done"));
    let jobs = [worker.api.submit(&meet("a", "b")), worker.api.submit(&meet("b", "a")), worker.api.submit(&script("true"))];
    for job in &jobs {
        assert_eq!(worker.api.finish_of(job).await.reason, Reason::Success);
    }
    worker.api.with(|heard| {
        let free: Vec<_> = heard.claims.iter().map(|claim| claim.free.cpus).collect();
        assert_eq!(free[..2], [2.0, 1.0]);
        assert_eq!(heard.introductions.len(), 1, "a full worker does not ask");
    });
    worker.drain().await;
}

#[tokio::test]
async fn room_that_comes_free_is_offered_at_once() {
    let worker = TestWorker::start().await;
    let job = worker.api.submit(&script("until [ -e /job-cache/go ]; do sleep 0.05; done"));
    let half = |heard: &mut Heard| heard.claims.last().is_some_and(|claim| claim.free.cpus < 1.5).then_some(());
    worker.api.until("a claim with what is left", half).await;
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    worker.api.finish_of(&job).await;
    // The worker drops the waiting claim long before its 30 s are over.
    let whole = |heard: &mut Heard| heard.claims.last().is_some_and(|claim| claim.free.cpus > 1.5).then_some(());
    worker.api.until("a claim with all", whole).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_full_worker_that_the_api_forgot_describes_itself_again() {
    let worker = TestWorker::start_with(|config| config.jobs = Some(1)).await;
    let job = worker.api.submit(&script("until [ -e /job-cache/go ]; do sleep 0.05; done"));
    worker.api.until("a held job", |heard| heard.heartbeats.last().is_some_and(|b| !b.jobs.is_empty()).then_some(())).await;
    worker.api.with(|heard| heard.is_worker_unknown = true);
    worker.api.until("a claim", |heard| (heard.introductions.len() > 1).then_some(())).await;
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    worker.api.finish_of(&job).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_finish_waits_for_the_api_and_stays_in_the_heartbeat() {
    let worker = TestWorker::start().await;
    let job = worker.api.submit(&script("until [ -e /job-cache/go ]; do sleep 0.05; done; exit 5"));
    worker.api.until("a held job", |heard| heard.heartbeats.last().is_some_and(|b| !b.jobs.is_empty()).then_some(())).await;
    worker.api.with(|heard| heard.is_down = true);
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    let tried = format!("/q/test%20queue/j/{job}/finish");
    worker.api.until("a finish that is refused", |heard| heard.paths.contains(&tried).then_some(())).await;
    // The file gets its final name only when it is complete.
    let is_kept = || names_in(&worker.data().join("spool")).iter().any(|name| !name.ends_with("new"));
    eventually("a finish on disk", is_kept).await;
    worker.api.with(|heard| {
        heard.is_down = false;
        heard.heartbeats.clear();
    });
    assert_eq!(worker.api.finish_of(&job).await.result.status_code, Some(5));
    worker.drain().await;
}

#[tokio::test]
async fn a_finish_that_outlives_its_worker_is_sent_by_the_next_one_first() {
    let worker = TestWorker::start().await;
    let (api, data) = (worker.api.clone(), worker.data());
    let job = api.submit(&script("until [ -e /job-cache/go ]; do sleep 0.05; done; exit 6"));
    api.until("a held job", |heard| heard.heartbeats.last().is_some_and(|b| !b.jobs.is_empty()).then_some(())).await;
    api.with(|heard| heard.is_down = true);
    let cache = data.join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    let tried = format!("/q/test%20queue/j/{job}/finish");
    api.until("a finish that is refused", |heard| heard.paths.contains(&tried).then_some(())).await;
    worker.shutdown.stop.cancel();
    api.with(|heard| heard.is_down_but_for_heartbeats = true);
    let _folder = worker.end().await;
    assert_eq!(names_in(&data.join("spool")).len(), 1);
    let named = |heard: &mut Heard| heard.heartbeats.last().is_some_and(|beat| beat.is_leaving && beat.jobs.len() == 1);
    assert!(api.with(named), "a job whose result is kept must not run again");

    api.with(|heard| {
        heard.is_down = false;
        heard.claims.clear();
        heard.paths.clear();
    });
    let next = TestWorker::start_on(api.clone(), |config| config.data_directory = Some(data.clone())).await;
    assert_eq!(api.finish_of(&job).await.result.status_code, Some(6));
    api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    api.with(|heard| {
        // The first claim request may only introduce the worker. The last one asks for jobs.
        let finish = heard.paths.iter().position(|path| path.ends_with("/finish")).unwrap();
        let claim = heard.paths.iter().rposition(|path| path.ends_with("/claim")).unwrap();
        assert!(finish < claim, "{:?}", heard.paths);
    });
    assert!(names_in(&data.join("spool")).is_empty());
    next.drain().await;
}

#[tokio::test]
async fn a_drain_lets_the_running_job_finish_and_takes_no_other() {
    let worker = TestWorker::start().await;
    let job = worker.api.submit(&script("echo up; until [ -e /job-cache/go ]; do sleep 0.05; done"));
    worker.api.until_logged(&job, "up").await;
    worker.shutdown.drain.cancel();
    let beats = worker.api.with(|heard| heard.heartbeats.len());
    worker.api.until("heartbeats while it drains", |heard| (heard.heartbeats.len() > beats + 2).then_some(())).await;
    let other = worker.api.submit(&script("true"));
    worker.api.until("more of them", |heard| (heard.heartbeats.len() > beats + 4).then_some(())).await;
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    let api = worker.api.clone();
    worker.drain().await;
    assert_eq!(api.finish_of(&job).await.reason, Reason::Success);
    api.with(|heard| assert!(heard.waiting.len() == 1 && !heard.finished.contains_key(&other)));
}

#[tokio::test]
async fn a_worker_says_that_it_ends_last_of_all_and_once_for_each_queue() {
    let worker = TestWorker::start_with(|config| config.queue = queues(&["one", "two"])).await;
    worker.api.until("both queues", |heard| (heard.heartbeats.len() > 2).then_some(())).await;
    let api = worker.api.clone();
    worker.drain().await;
    api.with(|heard| {
        let n_beats = heard.heartbeats.len();
        let (before, last) = heard.heartbeats.split_at(n_beats - 2);
        assert!(last.iter().all(|beat| beat.is_leaving && beat.jobs.is_empty()), "{last:?}");
        assert!(before.iter().all(|beat| !beat.is_leaving), "{before:?}");
        let mut paths = heard.paths[heard.paths.len() - 2..].to_vec();
        paths.sort();
        assert_eq!(paths, ["/q/one/heartbeat", "/q/two/heartbeat"]);
    });
}

#[tokio::test]
async fn an_api_that_does_not_answer_keeps_no_worker_from_its_end() {
    let worker = TestWorker::start().await;
    worker.api.until("a heartbeat", |heard| (!heard.heartbeats.is_empty()).then_some(())).await;
    worker.api.with(|heard| heard.answers_no_last_heartbeat = true);
    let start = std::time::Instant::now();
    worker.drain().await;
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_drain_that_takes_too_long_releases() {
    let worker = TestWorker::start_with(|config| config.drain_timeout = "300ms".parse().unwrap()).await;
    let job = worker.api.submit(&script("echo up; sleep 600"));
    worker.api.until_logged(&job, "up").await;
    let api = worker.api.clone();
    worker.drain().await;
    api.with(|heard| assert!(heard.released.contains_key(&job) && heard.finished.is_empty()));
}

#[tokio::test]
async fn a_stop_ends_containers_and_releases_their_claims() {
    let worker = TestWorker::start().await;
    let jobs = [(); 2].map(|()| worker.api.submit(&script("echo up; sleep 600")));
    for job in &jobs {
        worker.api.until_logged(job, "up").await;
    }
    let api = worker.api.clone();
    worker.stop().await;
    api.with(|heard| assert!(jobs.iter().all(|job| heard.released.contains_key(job)) && heard.finished.is_empty()));
}

#[tokio::test]
async fn a_fault_of_this_machine_releases_the_claim_and_pauses() {
    let worker = TestWorker::start().await;
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    let jobs = worker.data().join("jobs");
    std::fs::remove_dir(&jobs).unwrap();
    std::fs::write(&jobs, "no folder").unwrap();
    let job = worker.api.submit(&script("true"));
    worker.api.until("a release", |heard| heard.released.get(&job).map(|_| ())).await;
    worker.api.with(|heard| assert!(heard.finished.is_empty()));
    std::fs::remove_file(&jobs).unwrap();
    std::fs::create_dir(&jobs).unwrap();
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
    worker.drain().await;
}

#[tokio::test]
async fn a_container_that_somebody_removes_is_no_result() {
    let worker = TestWorker::start().await;
    let job = worker.api.submit(&script("echo up; sleep 600"));
    worker.api.until_logged(&job, "up").await;
    docker(&["rm", "-f", &containers_of(&worker.data())]);
    worker.api.until("a release", |heard| heard.released.get(&job).map(|_| ())).await;
    worker.api.with(|heard| assert!(heard.finished.is_empty()));
    worker.drain().await;
}

#[tokio::test]
async fn a_start_sweeps_what_a_crash_left() {
    ensure_image().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("jobs/left-1/outputs")).unwrap();
    let label = format!("asman.data={}", data_label(&data));
    docker(&["run", "-d", "--label", &label, IMAGE, "sleep", "60"]);
    docker(&["create", "--label", &label, IMAGE, "true"]);
    assert_eq!(containers_of(&data).lines().count(), 2);
    let worker = TestWorker::start_with(|config| config.data_directory = Some(data.clone())).await;
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    assert!(containers_of(&data).is_empty() && names_in(&data.join("jobs")).is_empty());
    worker.drain().await;
}

#[tokio::test]
async fn a_second_worker_in_the_same_directory_is_refused() {
    let worker = TestWorker::start().await;
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    let second = worker::run(worker.config.clone(), Shutdown::new()).await;
    assert!(matches!(second, Err(Error::DataDirectoryBusy(_))));
    worker.drain().await;
}

#[tokio::test]
async fn a_worker_describes_what_it_offers() {
    let worker = TestWorker::start_with(|config| {
        config.id = Some("my-worker".to_owned());
        config.tags = vec!["big".to_owned()];
        config.cpus = Some(1.5);
    })
    .await;
    let claim = worker.api.until("a claim", |heard| heard.claims.first().cloned()).await;
    let described = serde_json::to_value(&claim.worker).unwrap();
    let expected = json!({
        "id": "my-worker", "version": "0.1.0", "cpus": 1.5, "gpus": 0, "memory": 1 << 30, "tags": ["big"],
        "maxJobDuration": "1d", "executor": "docker", "secrets": [], "platforms": ["linux/amd64"], "builds": true,
    });
    assert_eq!(described, expected);
    assert_eq!((claim.free.jobs, claim.free.memory), (2, 1 << 30));
    worker.drain().await;
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let api = FakeApi::start().await;
    let config = worker::Config::for_queue("q".parse().unwrap(), &api.url);
    for change in [
        (|config| config.cpus = Some(0.0)) as fn(&mut worker::Config),
        |config| config.jobs = Some(0),
        |config| config.memory = Some("much".to_owned()),
        |config| config.api = "localhost:8000".to_owned(),
        |config| config.id = Some("a/b".to_owned()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config.clone();
        config.data_directory = Some(folder.path().to_owned());
        change(&mut config);
        assert!(matches!(worker::run(config, Shutdown::new()).await, Err(Error::Config(_))));
    }
}
