//! An engine that is not there, or goes away.
//!
//! The engine's address is read from the environment, so these tests run again in a process whose `DOCKER_HOST` is a socket of
//! their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::Reason;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use worker::Error;

use crate::harness::{TestWorker, script};

/// Runs an ignored test of this file with its own socket as the engine.
fn run_apart(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("engine.sock").display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--ignored", "--nocapture"]).env("DOCKER_HOST", socket).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn socket() -> PathBuf {
    PathBuf::from(std::env::var("DOCKER_HOST").unwrap().strip_prefix("unix://").unwrap())
}

/// Passes everything on to the real engine until it is dropped.
struct Proxy(tokio::task::JoinHandle<()>);

impl Proxy {
    fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        Self(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let mut engine = UnixStream::connect("/var/run/docker.sock").await.unwrap();
                    tokio::io::copy_bidirectional(&mut client, &mut engine).await
                });
            }
        }))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.abort();
        let _ = std::fs::remove_file(socket());
    }
}

#[test]
fn without_an_engine_the_error_says_what_mends_it() {
    run_apart("engine::without_an_engine");
}

#[tokio::test]
#[ignore = "run by without_an_engine_the_error_says_what_mends_it"]
async fn without_an_engine() {
    let error = worker::docker_version().await.unwrap_err();
    assert!(matches!(error, Error::NoDocker { .. }));
    assert!(error.to_string().contains("DOCKER_HOST"), "{error}");
}

#[test]
fn an_engine_that_vanishes_gives_its_jobs_back() {
    run_apart("engine::vanishing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by an_engine_that_vanishes_gives_its_jobs_back"]
async fn vanishing() {
    let proxy = Proxy::start(&socket());
    let worker = TestWorker::start().await;
    let job = worker.api.submit(&script("echo up; sleep 60"));
    worker.api.until_logged(&job, "up").await;
    drop(proxy);
    worker.api.until("a release", |heard| heard.released.get(&job).map(|_| ())).await;
    worker.api.with(|heard| assert!(heard.finished.is_empty()));
    // The container that nobody could reach is removed now, and claims begin again.
    let _proxy = Proxy::start(&socket());
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
    worker.drain().await;
}
