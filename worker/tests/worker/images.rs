//! Images that are not there yet.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use protocol::{Reason, Step};
use serde_json::json;

use crate::harness::{IMAGE, TestWorker, docker, ensure_image, rootfs};

#[tokio::test]
async fn a_pull_that_fails_gives_the_registrys_words() {
    let worker = TestWorker::start().await;
    // Nothing listens there.
    let (job, finish) = worker.run(&json!({ "image": "127.0.0.1:1/none:v1", "command": "true" })).await;
    let message = finish.message.unwrap();
    assert!(finish.reason == Reason::Error && message.contains("connection refused"), "{message}");
    worker.api.with(|heard| {
        let chunks: Vec<_> = heard.logs[&job].values().collect();
        assert!(chunks.iter().all(|chunk| chunk.step == Step::Pull));
        let lines: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.lines).collect();
        assert!(lines[0].text.contains("pulling 127.0.0.1:1/none:v1"));
        assert!(lines.last().unwrap().text.contains("connection refused"));
    });
    worker.drain().await;
}

/// A registry on this machine, stopped when dropped.
pub(crate) struct Registry {
    process: std::process::Child,
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.path().join("config.yml");
        let root = folder.path().join("store");
        let text =
            format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n", root.display());
        std::fs::write(&config, text).unwrap();
        let mut command = std::process::Command::new("docker-registry");
        let mut process = command.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(process.stderr.take().unwrap()).lines();
        assert!(words.any(|line| line.unwrap().contains("listening on")), "the registry starts");
        std::thread::spawn(move || words.for_each(drop));
        Self { process, address, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn an_absent_image_is_pulled_once_for_two_jobs_with_its_progress_in_the_build_log() {
    ensure_image().await;
    let registry = Registry::start();
    let image = format!("{}/busy:v1", registry.address);
    docker(&["tag", IMAGE, &image]);
    docker(&["push", &image]);
    docker(&["rmi", &image]);
    let worker = TestWorker::start().await;
    let definition = json!({ "image": image, "command": "echo pulled" });
    let jobs = [worker.api.submit(&definition), worker.api.submit(&definition)];
    let mut n_pulls = 0;
    for job in &jobs {
        let finish = worker.api.finish_of(job).await;
        assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(0)), "{:?}", finish.message);
        let text = worker.api.text(job, false);
        n_pulls += text.matches("pulling ").count();
        assert!(text.ends_with("pulled\n"));
        assert!(!text.contains("pulling ") || text.contains("Digest: sha256:"), "{text}");
    }
    assert_eq!(n_pulls, 1);
    docker(&["rmi", &image]);
    worker.drain().await;
}

#[tokio::test]
async fn an_image_is_imported_again_only_when_it_differs() {
    let name = format!("asman-worker-test/import-{}:v1", std::process::id());
    let id = || docker(&["images", "-q", "--no-trunc", &name]);
    worker::import_image(&name, rootfs("one")).await.unwrap();
    let first = id();
    worker::import_image(&name, rootfs("one")).await.unwrap();
    assert_eq!(id(), first);
    worker::import_image(&name, rootfs("two")).await.unwrap();
    assert_ne!(id(), first);
    docker(&["rmi", &name, &first]);
}
