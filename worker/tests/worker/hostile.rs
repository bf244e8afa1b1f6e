//! Jobs that use too much: each ends with a result that says what happened, and the jobs beside it continue.

use protocol::{FinishRequest, Reason};
use serde_json::json;

use crate::harness::{IMAGE, TestWorker, docker, script};

async fn filler(disk: &str, text: &str) -> (TestWorker, FinishRequest) {
    let worker = TestWorker::start_with(|config| disk.clone_into(&mut config.isolation.disk)).await;
    let (_, finish) = worker.run(&script(text)).await;
    (worker, finish)
}

fn sentence(finish: &FinishRequest) -> String {
    assert_eq!(finish.reason, Reason::Error);
    let message = finish.message.clone().unwrap();
    assert_eq!(finish.result.error.as_ref().unwrap()["json"]["message"], message);
    message
}

#[tokio::test]
async fn a_job_that_fills_its_outputs_is_stopped_and_its_neighbour_is_not() {
    let worker = TestWorker::start_with(|config| config.isolation.disk = "40m".to_owned()).await;
    let neighbour = worker.api.submit(&script("until [ -e /job-cache/go ]; do sleep 0.1; done; echo fine"));
    let (_, finish) = worker.run(&script("dd if=/dev/zero of=/outputs/x bs=1M count=300; sleep 600")).await;
    let message = sentence(&finish);
    assert!(
        message.contains("of 40.0 MiB, and was stopped: outputs ") && message.contains("root file system 0.0 MiB"),
        "{message}"
    );
    assert!(finish.result.outputs.is_empty());
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    assert_eq!(worker.api.finish_of(&neighbour).await.reason, Reason::Success);
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
    worker.drain().await;
}

#[tokio::test]
async fn a_job_that_fills_its_root_file_system_is_stopped() {
    let (worker, finish) = filler("40m", "dd if=/dev/zero of=/x bs=1M count=300; sleep 600").await;
    let message = sentence(&finish);
    assert!(message.contains("outputs 0.0 MiB, root file system ") && !message.contains("root file system 0.0"), "{message}");
    worker.drain().await;
}

#[tokio::test]
async fn a_job_that_fills_its_cache_is_stopped_and_the_next_one_is_not() {
    let (worker, finish) = filler("40m", "dd if=/dev/zero of=/job-cache/x bs=44M count=1; sleep 600").await;
    let message = sentence(&finish);
    assert!(message.contains("volumes 0.0 MiB, cache ") && !message.contains("cache 0.0"), "{message}");
    // Files that an earlier job left in the cache do not count for the next job.
    assert_eq!(worker.run(&script("sleep 1.5; ls -l /job-cache/x")).await.1.reason, Reason::Success);
    worker.drain().await;
}

#[tokio::test]
async fn a_job_that_fills_a_volume_of_its_image_is_stopped() {
    let image = image_with("volume", "VOLUME /data");
    let worker = TestWorker::start_with(|config| config.isolation.disk = "40m".to_owned()).await;
    let mut definition = script("dd if=/dev/zero of=/data/x bs=1M count=300; sleep 600");
    definition["image"] = json!(image);
    let message = sentence(&worker.run(&definition).await.1);
    assert!(message.contains("root file system 0.0 MiB, volumes ") && !message.contains("volumes 0.0"), "{message}");
    worker.drain().await;
    docker(&["rmi", &image]);
}

#[tokio::test]
async fn the_job_that_fills_a_small_disk_is_stopped_and_its_neighbour_is_not() {
    let disk = SmallDisk::mount();
    let worker = TestWorker::start_with(|config| {
        config.data_directory = Some(disk.0.path().join("data"));
        // With a reserve, the worker would claim no job on such a small disk.
        config.disk.disk_reserve = 0;
    })
    .await;
    let go = "until [ -e /job-cache/go ]; do sleep 0.1; done; echo fine > /outputs/y";
    let neighbour = worker.api.submit(&script(go));
    let (_, finish) = worker.run(&script("dd if=/dev/zero of=/outputs/x bs=1M count=300; sleep 600")).await;
    let message = sentence(&finish);
    assert!(message.contains("disk is nearly full") && message.contains("it wrote the most"), "{message}");
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    let finish = worker.api.finish_of(&neighbour).await;
    assert!(finish.reason == Reason::Success && finish.result.outputs.contains_key("y"), "{:?}", finish.message);
    worker.drain().await;
}

/// A file system of 64 MiB.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=64m", "asman-test", folder.path().to_str().unwrap()];
        assert!(std::process::Command::new("mount").args(mount).status().unwrap().success());
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_flood_of_empty_files_counts_too() {
    let (worker, finish) = filler("10m", "mkdir /outputs/d; cd /outputs/d; seq 1 15000 | xargs touch; sleep 600").await;
    assert!(sentence(&finish).contains("of 10.0 MiB"));
    worker.drain().await;
}

#[tokio::test]
async fn a_sparse_file_and_a_job_within_its_bound_are_let_be() {
    let text = "dd if=/dev/zero of=/outputs/x bs=1M count=5; truncate -s 1g /tmp/sparse; sleep 2; rm /tmp/sparse";
    let (worker, finish) = filler("40m", text).await;
    assert_eq!((finish.reason, finish.result.outputs.len()), (Reason::Success, 1));
    worker.drain().await;
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_limit_and_the_result_says_so() {
    let worker = TestWorker::start_with(|config| config.isolation.pids = 64).await;
    let neighbour = worker.api.submit(&script("sleep 1; echo fine"));
    let job = worker.api.submit_for(&script("bomb() { bomb | bomb & }; (bomb) 2>/dev/null & sleep 30"), "4s");
    let finish = worker.api.finish_of(&job).await;
    let message = finish.message.unwrap();
    assert_eq!(finish.reason, Reason::TimedOut);
    assert!(message.contains("ran longer than 4s; the job reached its limit of 64 processes"), "{message}");
    assert_eq!(worker.api.finish_of(&neighbour).await.message, None);
    worker.drain().await;
}

#[tokio::test]
async fn a_killed_job_is_told_from_one_that_ran_out_of_memory() {
    let worker = TestWorker::start().await;
    let (_, finish) = worker.run(&script("kill -9 $$")).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(137)));
    assert_eq!(
        finish.message.unwrap(),
        "exit code 137 means that signal 9 (SIGKILL) ended the program; the engine does not report that memory ran out"
    );
    let mut definition = script("tail /dev/zero");
    definition["requirements"] = json!({ "memory": "32m" });
    let (_, finish) = worker.run(&definition).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Error, Some(137)));
    assert!(finish.message.unwrap().contains("out of memory"));
    worker.drain().await;
}

#[tokio::test]
async fn in_gvisor_the_bounds_hold_too() {
    let worker = TestWorker::start_with(|config| {
        config.isolation.untrusted = true;
        config.isolation.disk = "60m".to_owned();
    })
    .await;
    let (job, finish) = worker.run(&script("dmesg | grep -i gvisor; cat /proc/version")).await;
    assert_eq!(finish.reason, Reason::Success);
    assert!(worker.api.text(&job, false).contains("gVisor"), "{}", worker.api.text(&job, true));
    for (text, place) in [("/outputs/x", "outputs"), ("/x", "root file system"), ("/job-cache/x", "cache")] {
        let (_, finish) = worker.run(&script(&format!("dd if=/dev/zero of={text} bs=1M count=400; sleep 600"))).await;
        let message = sentence(&finish);
        assert!(message.contains("of 60.0 MiB") && !message.contains(&format!("{place} 0.0")), "{message}");
    }
    let mut definition = script("tail /dev/zero; sleep 600");
    definition["requirements"] = json!({ "memory": "128m" });
    let (_, finish) = worker.run(&definition).await;
    let message = finish.message.unwrap();
    assert!(finish.reason == Reason::Error && message.contains("out of memory"), "{message}");
    worker.drain().await;
}

/// The test's image with one more line in its Dockerfile.
pub(crate) fn image_with(name: &str, line: &str) -> String {
    let image = format!("asman-worker-test:{name}-{}", std::process::id());
    let container = docker(&["create", IMAGE, "true"]);
    docker(&["commit", "--change", line, &container, &image]);
    docker(&["rm", &container]);
    image
}
