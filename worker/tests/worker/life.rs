//! When a worker ends by itself, and what it reports before that.

use std::net::SocketAddr;

use protocol::Reason;
use serde_json::{Value, json};

use crate::api::{FakeApi, Heard};
use crate::harness::{IMAGE, TestWorker, script};

/// A free port of this machine.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn health(address: SocketAddr) -> Value {
    let (status, body) = get(address, "/healthz").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Asks for the worker's health until it has this state. Returns the answer.
pub(crate) async fn until_state(address: SocketAddr, state: &str) -> Value {
    let deadline = tokio::time::Instant::now() + crate::api::DEADLINE;
    loop {
        let said = health(address).await;
        if said["state"] == state {
            return said;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {state}: {said}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_worker_without_work_ends_after_its_idle_time() {
    let worker = TestWorker::start_with(|config| config.life.exit_when_idle = Some("1500ms".parse().unwrap())).await;
    let started = std::time::Instant::now();
    let job = worker.api.submit(&script("sleep 2"));
    assert_eq!(worker.api.finish_of(&job).await.reason, Reason::Success);
    assert!(started.elapsed().as_secs_f64() >= 2.0, "a worker with a running job is not idle");
    let finished = std::time::Instant::now();
    worker.end().await;
    assert!(finished.elapsed().as_secs_f64() > 1.4);
}

#[tokio::test]
async fn a_worker_that_cannot_learn_whether_there_is_work_does_not_end_with_success() {
    let idle_after = |config: &mut worker::Config| config.life.exit_when_idle = Some("700ms".parse().unwrap());
    let api = FakeApi::start().await;
    api.with(|heard| {
        heard.refuses.insert("test queue".to_owned());
    });
    let refused = TestWorker::start_on(api, idle_after).await.failure().await;
    assert!(matches!(&refused, worker::Error::Unheard(why) if why.contains("ASMAN_WORKER_TOKEN")), "{refused}");
    let nowhere = TestWorker::start_with(|config| {
        idle_after(config);
        config.api = "http://127.0.0.1:1".to_owned();
    });
    let unheard = nowhere.await.failure().await;
    assert!(matches!(&unheard, worker::Error::Unheard(why) if why.contains("the API does not answer")), "{unheard}");
}

#[tokio::test]
async fn a_worker_takes_no_more_jobs_than_it_was_told_and_ends_with_the_last() {
    let api = FakeApi::start().await;
    let jobs: Vec<String> = (0..5).map(|_| api.submit(&script("true"))).collect();
    let worker = TestWorker::start_on(api.clone(), |config| {
        config.life.max_jobs = Some(3);
        config.drain_timeout = "1ms".parse().unwrap();
    })
    .await;
    worker.end().await;
    api.with(|heard| {
        assert_eq!((heard.finished.len(), heard.waiting.len(), heard.released.len()), (3, 2, 0));
        assert!(jobs[..3].iter().all(|job| heard.finished.contains_key(job)));
        assert!(heard.claims.iter().all(|claim| claim.free.jobs <= 2));
        assert_eq!(heard.claims.last().unwrap().free.jobs, 1, "the rest is all that is asked for");
    });
}

#[tokio::test]
async fn health_says_ready_waiting_and_draining() {
    let address = free_address();
    let worker = TestWorker::start_with(|config| config.life.health_address = Some(address)).await;
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    assert_eq!(health(address).await["state"], "ready");
    worker.api.with(|heard| heard.is_down = true);
    let said = until_state(address, "waiting").await;
    assert!(said["reason"].as_str().unwrap().starts_with("the API does not answer"), "{said}");
    worker.api.with(|heard| heard.is_down = false);
    until_state(address, "ready").await;
    let job = worker.api.submit(&script("echo up; until [ -e /job-cache/go ]; do sleep 0.05; done"));
    worker.api.until_logged(&job, "up").await;
    worker.shutdown.drain.cancel();
    assert_eq!(until_state(address, "draining").await["jobs"], 1);
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    worker.end().await;
    worker_is_gone(address).await;
}

async fn worker_is_gone(address: SocketAddr) {
    assert!(reqwest::get(format!("http://{address}/healthz")).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn a_refused_token_is_the_reason_of_the_wait() {
    let address = free_address();
    let api = FakeApi::start().await;
    api.with(|heard| {
        heard.refuses.insert("test queue".to_owned());
    });
    let worker = TestWorker::start_on(api, |config| config.life.health_address = Some(address)).await;
    // The port opens before the API refuses the worker.
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    let said = until_state(address, "waiting").await;
    let reason = said["reason"].as_str().unwrap();
    assert!(reason.contains("token") && !reason.contains("test queue"), "{reason}");
    worker.drain().await;
}

#[tokio::test]
async fn metrics_count_jobs_capacity_and_the_api_and_name_no_queue() {
    let address = free_address();
    let worker = TestWorker::start_with(|config| config.life.health_address = Some(address)).await;
    worker.run(&script("echo four")).await;
    worker.run(&json!({ "image": IMAGE, "inputs": { "../x": { "value": "" } } })).await;
    let job = worker.api.submit(&script("echo up; sleep 600"));
    worker.api.until_logged(&job, "up").await;
    let (_, text) = get(address, "/metrics").await;
    let value = |series: &str| {
        let line =
            text.lines().find(|line| line.starts_with(&format!("{series} "))).unwrap_or_else(|| panic!("{series}: {text}"));
        line.rsplit(' ').next().unwrap()
    };
    assert_eq!(value("asman_worker_claims_total"), "3");
    assert_eq!(value("asman_worker_jobs_total{outcome=\"success\"}"), "1");
    assert_eq!(value("asman_worker_jobs_total{outcome=\"error\"}"), "1");
    assert_eq!(value("asman_worker_jobs_running"), "1");
    assert_eq!(value("asman_worker_image_pulls_total"), "0");
    assert_eq!(
        (value("asman_worker_capacity{resource=\"cpus\"}"), value("asman_worker_capacity_free{resource=\"cpus\"}")),
        ("2", "1")
    );
    assert!(value("asman_worker_log_bytes_total").parse::<u64>().unwrap() >= 6);
    assert_eq!(value("asman_worker_ready"), "1");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let family = line.split(['{', ' ']).next().unwrap();
        assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
    }
    assert!(!text.contains("test") && !text.contains(&worker.config.queue.qid().to_string()), "{text}");
    let (status, _) = get(address, "/q").await;
    assert_eq!(status, 404);
    let mut other = worker.config.clone();
    other.data_directory = Some(worker.data().join("other"));
    let refused = worker::run(other, worker::Shutdown::new()).await.unwrap_err();
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
    worker.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_api_costs_no_result_and_a_claim_that_was_taken_meanwhile_is_dropped() {
    let worker = TestWorker::start().await;
    let jobs =
        [(); 2].map(|()| worker.api.submit(&script("echo up; until [ -e /job-cache/go ]; do sleep 0.05; done; echo kept")));
    for job in &jobs {
        worker.api.until_logged(job, "up").await;
    }
    worker.api.with(|heard| heard.is_down = true);
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    // Both jobs have ended while the API was down, and another worker has claimed the second job in the meantime.
    let tried = |heard: &mut Heard| heard.paths.iter().filter(|path| path.ends_with("/logs")).count().ge(&3).then_some(());
    worker.api.until("tries", tried).await;
    let lost = jobs[1].clone();
    worker.api.with(|heard| {
        heard.stale.insert(lost.clone());
        heard.is_down = false;
    });
    assert_eq!(worker.api.finish_of(&jobs[0]).await.reason, Reason::Success);
    assert_eq!(worker.api.text(&jobs[0], false), "up\nkept\n");
    // The worker sends nothing more about the lost claim, and takes the next job.
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
    worker.api.with(|heard| assert!(!heard.finished.contains_key(&lost) && !heard.released.contains_key(&lost)));
    let spool = worker.data().join("spool");
    worker.shutdown.drain.cancel();
    let folder = worker.end().await;
    assert_eq!(crate::harness::names_in(&spool), Vec::<String>::new());
    drop(folder);
}
