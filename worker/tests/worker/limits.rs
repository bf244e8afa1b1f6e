//! The limits of a job, as the engine received them.

use std::time::Duration;

use protocol::Reason;
use serde_json::{Value, json};

use crate::harness::{TestWorker, containers_of, docker, script};

async fn host_config(definition: &Value) -> Value {
    let worker = TestWorker::start().await;
    let job = worker.api.submit(definition);
    worker.api.until_logged(&job, "up").await;
    let inspected: Value = serde_json::from_str(&docker(&["inspect", &containers_of(&worker.data())])).unwrap();
    std::fs::write(worker.job_cache().join("go"), "").unwrap();
    worker.api.finish_of(&job).await;
    worker.drain().await;
    inspected[0]["HostConfig"].clone()
}

#[tokio::test]
async fn fractions_of_cpus_memory_and_shared_memory_reach_the_engine() {
    let mut definition = script("echo up; until [ -e /job-cache/go ]; do sleep 0.05; done");
    definition["requirements"] = json!({ "cpus": 0.25, "memory": "96m" });
    definition["shmSize"] = json!("3m");
    let config = host_config(&definition).await;
    assert_eq!(
        (&config["NanoCpus"], &config["Memory"], &config["MemorySwap"]),
        (&250_000_000.into(), &(96 << 20).into(), &(96 << 20).into())
    );
    assert_eq!(config["ShmSize"], 3 << 20);
    let mounts = config["Mounts"].as_array().unwrap();
    let is_read_only = |target: &str| mounts.iter().find(|mount| mount["Target"] == target).unwrap()["ReadOnly"] == true;
    assert!(is_read_only("/inputs") && !is_read_only("/outputs") && !is_read_only("/job-cache"));
}

#[tokio::test]
async fn a_job_that_asks_for_nothing_gets_one_cpu_and_at_most_the_workers_memory() {
    let config = host_config(&script("echo up; until [ -e /job-cache/go ]; do sleep 0.05; done")).await;
    assert_eq!((&config["NanoCpus"], &config["Memory"]), (&1_000_000_000.into(), &(1_u64 << 30).into()));
    assert!(config["DeviceRequests"].is_null());
}

#[tokio::test]
async fn the_shorter_of_the_claims_and_the_workers_time_counts() {
    let worker = TestWorker::start_with(|config| config.max_job_duration = "30s".parse().unwrap()).await;
    let job = worker.api.submit_for(&script("sleep 600"), "400ms");
    let finish = worker.api.finish_of(&job).await;
    assert_eq!((finish.reason, finish.message.unwrap().as_str()), (Reason::TimedOut, "ran longer than 400ms"));
    let duration = Duration::from_secs_f64(finish.result.duration.unwrap() / 1000.0);
    assert!(duration < Duration::from_secs(25), "{duration:?}");
    worker.drain().await;
}
