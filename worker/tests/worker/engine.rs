//! An engine that does not answer, or stops.
//!
//! The engine's address comes from the environment, so each test runs itself again in a process whose `DOCKER_HOST` is its own socket.

use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::Reason;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use worker::Error;

use crate::api::Heard;
use crate::harness::{TestWorker, script};
use crate::life::{free_address, until_state};
use crate::tampering::{self, Tamper};

/// Runs an ignored test of this file in a process whose engine is at the test's own socket.
pub(crate) fn run_apart(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("engine.sock").display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--ignored", "--nocapture"]).env("DOCKER_HOST", socket).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

pub(crate) fn socket() -> PathBuf {
    PathBuf::from(std::env::var("DOCKER_HOST").unwrap().strip_prefix("unix://").unwrap())
}

/// Passes everything to the real engine until it is dropped.
struct Proxy {
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(pass(client));
            }
        });
        Self { task }
    }
}

async fn pass(client: UnixStream) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = UnixStream::connect("/var/run/docker.sock").await?.into_split();
    let ask = async {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let n = from_client.read(&mut piece).await?;
            if n == 0 {
                return to_engine.shutdown().await;
            }
            to_engine.write_all(&piece[..n]).await?;
        }
    };
    let answer = async {
        tokio::io::copy(&mut from_engine, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(ask, answer).map(|_| ())
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
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
    let error = worker::engine_version().await.unwrap_err();
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
    let job = worker.api.submit(&script("echo up; sleep 600"));
    worker.api.until_logged(&job, "up").await;
    drop(proxy);
    worker.api.until("a release", |heard| heard.released.get(&job).map(|_| ())).await;
    worker.api.with(|heard| assert!(heard.finished.is_empty()));
    // The worker can now remove the container, and claims begin again.
    let _proxy = Proxy::start(&socket());
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
    worker.drain().await;
}

#[test]
fn a_job_with_gpus_is_given_its_own_by_the_names_that_the_worker_was_told() {
    run_apart("engine::gpus");
}

/// This test needs no GPU: it checks the requests, and the real engine does not get the part about GPUs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_job_with_gpus_is_given_its_own_by_the_names_that_the_worker_was_told"]
async fn gpus() {
    let proxy = tampering::Engine::start(Tamper::NoGpus);
    let worker = TestWorker::start_with(|config| config.gpus = "device=1,3,GPU-aa".parse().unwrap()).await;
    let claim = worker.api.until("a claim", |heard| heard.claims.first().cloned()).await;
    assert_eq!((claim.worker.gpus, claim.free.gpus), (3, 3));
    let mut definition = script("true");
    for (gpus, devices) in [(2, r#"["1","3"]"#), (3, r#"["1","3","GPU-aa"]"#)] {
        definition["requirements"] = json!({ "gpus": gpus });
        let is_free = |heard: &mut Heard| heard.claims.last().is_some_and(|claim| claim.free.gpus == 3).then_some(());
        worker.api.until("a claim with all gpus free", is_free).await;
        worker.api.with(|heard| heard.claims.clear());
        let (_, finish) = worker.run(&definition).await;
        assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
        let asked = proxy.asked();
        assert!(asked.contains(&format!(r#""DeviceIDs":{devices},"Capabilities":[["gpu"]]"#)), "{asked}");
    }
    assert!(proxy.asked().contains("CUDA_VISIBLE_DEVICES=0,1,2"));
    definition["requirements"] = json!({ "gpus": 0 });
    definition["env"] = json!({ "NVIDIA_VISIBLE_DEVICES": "all" });
    assert_eq!(worker.run(&definition).await.1.reason, Reason::Success);
    assert!(proxy.asked().contains("NVIDIA_VISIBLE_DEVICES=void") && !proxy.asked().contains("NVIDIA_VISIBLE_DEVICES=all"));
    worker.drain().await;
}

/// A separate engine, with its bridges and mounts in separate namespaces.
struct Engine {
    child: std::process::Child,
}

impl Engine {
    fn start(folder: &Path) -> Self {
        assert!(rustix::process::geteuid().is_root(), "only root can start an engine: run the tests as root");
        end_containerd(folder);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("dockerd.log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "dockerd", "--host"]).arg(format!("unix://{}", socket().display()));
        command.arg("--data-root").arg(folder.join("root")).arg("--exec-root").arg(folder.join("exec"));
        command.arg("--pidfile").arg(folder.join("pid")).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().unwrap() }
    }

    async fn until_ready() {
        let deadline = tokio::time::Instant::now() + crate::api::DEADLINE;
        while worker::engine_version().await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the engine comes up");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn end(&mut self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
        let deadline = tokio::time::Instant::now() + crate::api::DEADLINE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(tokio::time::Instant::now() < deadline, "the engine ends");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// Ends the containerd that a killed engine leaves, because a new engine would wait for it.
fn end_containerd(folder: &Path) {
    let Ok(text) = std::fs::read_to_string(folder.join("exec/containerd/containerd.pid")) else { return };
    let pid = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
    let deadline = std::time::Instant::now() + crate::api::DEADLINE;
    while kill_process(pid, Signal::KILL).is_ok() {
        assert!(std::time::Instant::now() < deadline, "containerd ends");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    std::fs::remove_file(folder.join("exec/containerd/containerd.pid")).unwrap();
}

#[test]
fn jobs_of_an_engine_that_restarts_go_back_and_claims_wait_for_it() {
    run_apart("engine::restarting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by jobs_of_an_engine_that_restarts_go_back_and_claims_wait_for_it"]
async fn restarting() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::start(folder.path());
    Engine::until_ready().await;
    let address = free_address();
    let worker = TestWorker::start_with(|config| config.life.health_address = Some(address)).await;
    for signal in [Signal::TERM, Signal::KILL] {
        let job = worker.api.submit(&script("echo up; sleep 120"));
        worker.api.until_logged(&job, "up").await;
        engine.end(signal).await;
        worker.api.until("a release", |heard| heard.released.get(&job).map(|_| ())).await;
        worker.api.with(|heard| assert!(!heard.finished.contains_key(&job), "the end of an engine is not a result"));
        // Jobs that are submitted in the meantime wait, because no worker claims what it cannot run.
        let waiting = worker.api.submit(&script("echo ran"));
        let said = until_state(address, "waiting").await;
        assert!(said["reason"].as_str().unwrap().starts_with("Docker does not answer"), "{said}");
        worker.api.with(|heard| assert!(!heard.released.contains_key(&waiting) && heard.waiting.len() == 1));
        engine = Engine::start(folder.path());
        assert_eq!(worker.api.finish_of(&waiting).await.reason, Reason::Success);
    }
    worker.drain().await;
    engine.end(Signal::TERM).await;
}

/// A program that ends itself with a signal has a normal result.
#[tokio::test]
async fn a_program_that_kills_itself_has_a_result() {
    let worker = TestWorker::start().await;
    let (_, finish) = worker.run(&script("exit 137")).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(137)));
    worker.drain().await;
}
