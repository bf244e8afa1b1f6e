//! The machine's disk: what a worker removes when it is full, what stays, and that the worker claims nothing without free space.

use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::{Reason, sha256_hex};
use serde_json::json;
use worker::{Config, Mark};

use crate::harness::{IMAGE, TestWorker, docker, ensure_image, eventually, names_in, rootfs, script};
use crate::registry::Registry;
use crate::start::refused;

/// Settings with frequent checks. With them, the worker does not remove the build cache of others.
fn watchful(config: &mut Config) {
    config.disk.check_every = "100ms".parse().unwrap();
    config.disk.build_cache_min_age = "720h".parse().unwrap();
    // With these marks, the test does not depend on how full the disk of this machine is.
    (config.disk.disk_high, config.disk.disk_low) = (Mark::Used(100.0), Mark::Used(100.0));
}

fn has_image(name: &str) -> bool {
    Command::new("docker").args(["image", "inspect", name]).output().unwrap().status.success()
}

#[tokio::test]
async fn a_full_disk_costs_the_images_that_jobs_pulled_and_no_others() {
    ensure_image().await;
    let registry = Registry::start();
    let name = |own: &str| format!("{}/{own}:v1", registry.address);
    for own in ["mine", "shared"] {
        worker::import_image(&name(own), rootfs(&format!("{own} {}", registry.address))).await.unwrap();
        docker(&["push", &name(own)]);
        docker(&["rmi", &name(own)]);
    }
    let worker = TestWorker::start_with(|config| {
        watchful(config);
        // With these marks, every disk counts as too full.
        (config.disk.disk_high, config.disk.disk_low) = (Mark::Used(0.0), Mark::Used(0.0));
        config.disk.image_min_age = "0s".parse().unwrap();
    })
    .await;
    let wait = "until [ -e /job-cache/go ]; do sleep 0.05; done";
    let shared = worker.api.submit(&json!({ "image": name("shared"), "command": format!("sh -c 'echo up; {wait}'") }));
    worker.api.until_logged(&shared, "up").await;
    let container = docker(&["create", &name("shared"), "true"]);
    assert!(has_image(&name("shared")), "a job runs in it");
    std::fs::write(worker.job_cache().join("go"), "").unwrap();
    worker.api.finish_of(&shared).await;
    let (_, finish) = worker.run(&json!({ "image": name("mine"), "command": "cat /mark" })).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    worker.run(&script("true")).await;
    eventually("the image goes", || !has_image(&name("mine"))).await;
    assert!(has_image(&name("shared")), "somebody's container has it");
    assert!(has_image(IMAGE), "it was here before");
    docker(&["rm", &container]);
    eventually("the other goes too", || !has_image(&name("shared"))).await;
    worker.drain().await;
}

/// A small separate disk.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(parent: &Path, mebibytes: u32) -> Self {
        let path = parent.join("disk");
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={mebibytes}m,mode=777");
        let text = path.to_str().unwrap();
        assert!(run_as_root(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", text]), "a tmpfs can be mounted by root");
        Self(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run_as_root(&["umount", "-l", self.0.to_str().unwrap()]);
    }
}

fn run_as_root(words: &[&str]) -> bool {
    let is_done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    is_done(Command::new(words[0]).args(&words[1..])) || is_done(Command::new("sudo").arg("-n").args(words))
}

#[tokio::test]
async fn no_job_is_taken_while_the_disk_lacks_room_and_claims_begin_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path(), 64);
    let fill = disk.0.join("fill");
    let worker = TestWorker::start_with(|config| {
        watchful(config);
        config.data_directory = Some(disk.0.join("data"));
        config.disk.disk_reserve = 16 << 20;
    })
    .await;
    worker.run(&script("exit 0")).await;
    std::fs::write(&fill, vec![1; 56 << 20]).unwrap();
    let n_claims = worker.api.with(|heard| heard.claims.len());
    let beats = worker.api.with(|heard| heard.heartbeats.len());
    worker.api.until("more heartbeats", |heard| (heard.heartbeats.len() > beats + 15).then_some(())).await;
    let job = worker.api.submit(&script("true"));
    let beats = worker.api.with(|heard| heard.heartbeats.len());
    worker.api.until("heartbeats", |heard| (heard.heartbeats.len() > beats + 5).then_some(())).await;
    worker.api.with(|heard| assert!(heard.claims.len() == n_claims && heard.waiting.len() == 1));
    std::fs::remove_file(&fill).unwrap();
    assert_eq!(worker.api.finish_of(&job).await.reason, Reason::Success);
    // The disk fills up again while a claim waits, so the worker drops the claim.
    worker
        .api
        .until("a claim that waits", |heard| heard.heartbeats.last().is_some_and(|b| b.jobs.is_empty()).then_some(()))
        .await;
    std::fs::write(&fill, vec![1; 56 << 20]).unwrap();
    let n_claims = worker.api.with(|heard| heard.claims.len());
    let beats = worker.api.with(|heard| heard.heartbeats.len());
    worker.api.until("more heartbeats", |heard| (heard.heartbeats.len() > beats + 15).then_some(())).await;
    worker.api.with(|heard| assert_eq!(heard.claims.len(), n_claims));
    worker.drain().await;
}

#[tokio::test]
async fn a_disk_without_room_keeps_a_worker_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path(), 64);
    let fill = disk.0.join("fill");
    std::fs::write(&fill, vec![1; 56 << 20]).unwrap();
    let said = refused(&disk.0.join("data"), |config| config.disk.disk_reserve = 16 << 20).await;
    assert!(said.contains(" free; make room at ") && said.contains(&disk.0.display().to_string()), "{said}");
    assert!(said.contains("--disk-reserve"), "{said}");
}

#[tokio::test]
async fn a_full_disk_costs_the_least_recently_used_input() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path(), 64);
    let worker = TestWorker::start_with(|config| {
        watchful(config);
        config.data_directory = Some(disk.0.join("data"));
        (config.disk.disk_high, config.disk.disk_low) = (Mark::Free(30 << 20), Mark::Free(40 << 20));
        config.disk.disk_reserve = 0;
    })
    .await;
    let contents = [b'a', b'b'].map(|byte| vec![byte; 20 << 20]);
    let keys = contents.each_ref().map(|bytes| sha256_hex(bytes));
    for (key, bytes) in keys.iter().zip(contents) {
        worker.api.with(|heard| heard.blobs.insert(key.clone(), bytes.into()));
        let mut definition = script("wc -c < /inputs/a");
        definition["inputs"] = json!({ "a": { "type": "key", "value": key } });
        let (_, finish) = worker.run(&definition).await;
        assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    }
    let kept = worker.data().join("content");
    eventually("one goes", || names_in(&kept) == [keys[1].clone()]).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_job_cache_above_its_bound_loses_what_was_used_longest_ago() {
    let worker = TestWorker::start_with(|config| {
        watchful(config);
        config.disk.job_cache_max = 2 << 20;
    })
    .await;
    let text = "cd /job-cache; mkdir -p old; dd if=/dev/zero of=old/a bs=1M count=1 2>/dev/null; touch -d '2001-01-01 00:00' old/a; \
                dd if=/dev/zero of=b bs=1M count=1 2>/dev/null; echo up; until [ -e go ]; do sleep 0.05; done; \
                dd if=/dev/zero of=c bs=512k count=1 2>/dev/null; ls";
    let job = worker.api.submit(&script(text));
    worker.api.until_logged(&job, "up").await;
    std::fs::write(worker.job_cache().join("go"), "").unwrap();
    worker.api.finish_of(&job).await;
    assert!(worker.api.text(&job, false).contains("old"), "nothing goes while a job runs");
    let cache = worker.job_cache();
    eventually("the oldest goes", || !cache.join("old").exists()).await;
    assert!(cache.join("b").exists() && cache.join("c").exists());
    worker.drain().await;
}

#[tokio::test]
async fn marks_that_make_no_sense_are_refused() {
    let mut config = Config::for_queue("q".parse().unwrap(), "http://127.0.0.1:1");
    (config.disk.disk_high, config.disk.disk_low) = (Mark::Used(50.0), Mark::Used(80.0));
    let error = worker::run(config, worker::Shutdown::new()).await.unwrap_err();
    assert!(matches!(&error, worker::Error::Config(sentence) if sentence.contains("--disk-low")), "{error}");
}
