//! Sandboxes: networks that are prepared before jobs need them.

use std::path::Path;

use protocol::Reason;
use worker::Network;

use crate::api::FakeApi;
use crate::harness::{
    IMAGE, TestWorker, Victim, containers_of, docker, ensure_image, eventually, networks_of, ready_sandboxes, rules_of,
    sandboxes_of, script,
};

/// A job that prints its name, runs until the test lets it end, and then says whether it still has its network.
const WAITING: &str = "echo on $(hostname); until [ -e /job-cache/go ]; do sleep 0.05; done; cat /sys/class/net/eth0/operstate";

/// The ids of the sandboxes that the containers of jobs have joined. For a container without a sandbox, its network.
fn joined(data: &Path) -> Vec<String> {
    let mode = |id: &str| docker(&["inspect", "--format", "{{.HostConfig.NetworkMode}}", id]);
    containers_of(data).lines().map(|id| mode(id).trim_start_matches("container:").to_owned()).collect()
}

fn open_gate(worker: &TestWorker) {
    std::fs::write(worker.job_cache().join("go"), "").unwrap();
}

#[tokio::test]
async fn jobs_get_networks_made_ahead_each_its_own_which_go_with_them() {
    let worker = TestWorker::start_with(|config| config.jobs = Some(3)).await;
    let data = worker.data();
    let ready = ready_sandboxes(&data).await;
    let small = |n: u32| {
        let mut definition = script(&format!("{WAITING} # {n}"));
        definition["requirements"] = serde_json::json!({ "cpus": 0.5 });
        definition
    };
    let jobs = [1, 2, 3].map(|n| worker.api.submit(&small(n)));
    for job in &jobs {
        worker.api.until_logged(job, "on ").await;
    }
    let taken = joined(&data);
    assert_eq!(taken.iter().filter(|one| ready.contains(one)).count(), 2, "{taken:?} of {ready:?}");
    assert!(taken[0] != taken[1] && taken[1] != taken[2] && taken[0] != taken[2], "{taken:?}");
    open_gate(&worker);
    for job in &jobs {
        assert_eq!(worker.api.finish_of(job).await.reason, Reason::Success);
        assert!(worker.api.text(job, false).ends_with("up\n"), "{}", worker.api.text(job, false));
    }
    eventually("the end of the used ones", || !sandboxes_of(&data).lines().any(|id| taken.iter().any(|one| one == id))).await;
    ready_sandboxes(&data).await;
    worker.drain().await;
}

#[tokio::test]
async fn one_that_somebody_removed_costs_no_job() {
    let worker = TestWorker::start().await;
    for id in ready_sandboxes(&worker.data()).await {
        docker(&["rm", "--force", &id]);
    }
    let (_, finish) = worker.run(&script("true")).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    worker.drain().await;
}

#[tokio::test]
async fn a_container_that_cannot_be_made_leaves_its_network_to_the_next_job() {
    let worker = TestWorker::start().await;
    let ready = ready_sandboxes(&worker.data()).await;
    let mut definition = script("true");
    definition["workdir"] = "/bin/busybox".into();
    let (_, finish) = worker.run(&definition).await;
    assert_eq!(finish.reason, Reason::Error, "a file cannot be the working directory");
    assert_eq!(ready_sandboxes(&worker.data()).await, ready);
    worker.drain().await;
}

#[tokio::test]
async fn a_container_that_cannot_be_started_takes_its_network_with_it() {
    let worker = TestWorker::start_with(|config| config.init = worker::Init::Never).await;
    let ready = ready_sandboxes(&worker.data()).await;
    let definition = serde_json::json!({ "image": IMAGE, "command": "/no/such/program" });
    let (_, finish) = worker.run(&definition).await;
    assert_eq!(finish.reason, Reason::Error, "{:?}", finish.message);
    eventually("the end of its own", || ready.iter().any(|id| !sandboxes_of(&worker.data()).contains(id))).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_job_that_is_taken_over_keeps_its_network_and_the_unused_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let api = FakeApi::start().await;
    let victim = Victim::start(&api, &data).await;
    let ready = ready_sandboxes(&data).await;
    let job = api.submit(&script(WAITING));
    api.until_logged(&job, "on ").await;
    victim.kill();
    let own = joined(&data).pop().unwrap();
    assert!(ready.contains(&own));
    let unused: Vec<_> = sandboxes_of(&data).lines().filter(|id| *id != own).map(str::to_owned).collect();
    let worker = TestWorker::start_on(api.clone(), |config| config.data_directory = Some(data.clone())).await;
    eventually("the end of the unused ones", || !unused.iter().any(|id| sandboxes_of(&data).contains(id))).await;
    open_gate(&worker);
    assert_eq!(api.finish_of(&job).await.reason, Reason::Success);
    assert!(api.text(&job, false).ends_with("up\n"));
    worker.drain().await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_on_the_machine() {
    ensure_image().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // The worker checks the folder of kept inputs after it has made the network.
    std::fs::write(data.join("content"), "no folder").unwrap();
    let mut config = worker::Config::for_queue("q".parse().unwrap(), &FakeApi::start().await.url);
    config.data_directory = Some(data.clone());
    let failed = worker::run(config.clone(), worker::Shutdown::new()).await.unwrap_err();
    assert!(failed.to_string().contains("content"), "{failed}");
    assert_eq!((sandboxes_of(&data), networks_of(&data), rules_of(&data)), Default::default());
    // The worker finds that a port is in use before it makes anything.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.life.health_address = Some(taken.local_addr().unwrap());
    let failed = worker::run(config, worker::Shutdown::new()).await.unwrap_err();
    assert!(failed.to_string().contains("for health and metrics"), "{failed}");
}

#[tokio::test]
async fn a_worker_without_network_makes_none() {
    let worker = TestWorker::start_with(|config| config.isolation.network = Network::None).await;
    let (_, finish) = worker.run(&script("true")).await;
    assert_eq!((finish.reason, sandboxes_of(&worker.data())), (Reason::Success, String::new()));
    worker.drain().await;
}
