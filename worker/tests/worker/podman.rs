//! Podman as the engine, alone and beside a Docker engine, in separate network and mount namespaces.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use protocol::Reason;
use rustix::process::{Pid, Signal, kill_process};
use worker::{Config, Finding};

use crate::engine::socket;
use crate::harness::{IMAGE, TestWorker, docker, ready_sandboxes, script};
use crate::neighbours::{belongings, passed, test_command, until_ended};
use crate::world::{PUBLIC, World, probe};

/// A server process that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_raw(self.0.id().cast_signed()).unwrap(), Signal::TERM);
        let _ = self.0.wait();
    }
}

async fn until_there(socket: &Path) {
    let answers = || {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", socket.display())).arg("version").output().unwrap().status.success()
    };
    crate::harness::eventually("an engine that answers", answers).await;
}

/// Podman's Docker-compatible service with separate storage.
async fn podman(folder: &Path, socket: &Path) -> Server {
    std::fs::create_dir_all(folder).unwrap();
    let settings = "[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\nruntime=\"runc\"\n";
    std::fs::write(folder.join("containers.conf"), settings).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("podman");
    for (option, place) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(option).arg(folder.join(place));
    }
    command
        .args(["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "system", "service", "--time=0"])
        .arg(format!("unix://{}", socket.display()));
    command.env("CONTAINERS_CONF", folder.join("containers.conf")).stdout(log.try_clone().unwrap()).stderr(log);
    let server = Server(command.spawn().unwrap());
    until_there(socket).await;
    server
}

async fn dockerd(folder: &Path, socket: &Path) -> Server {
    std::fs::create_dir_all(folder).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("dockerd");
    command.arg("--host").arg(format!("unix://{}", socket.display())).arg("--data-root").arg(folder.join("root"));
    command.arg("--exec-root").arg(folder.join("exec")).arg("--pidfile").arg(folder.join("pid"));
    let server = Server(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    until_there(socket).await;
    server
}

/// Runs an ignored test of this file in separate namespaces, in which its engine is at the usual socket.
fn run_apart(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = test_command(test, "ip link set lo up && exec", Some(&["unshare", "--net", "--mount"]), folder.path());
    command.env("DOCKER_HOST", format!("unix://{}", folder.path().join("engine.sock").display()));
    passed(&command.output().unwrap());
}

fn folder() -> PathBuf {
    socket().parent().unwrap().to_owned()
}

/// The short form of the tests that `just test-podman` runs.
#[test]
fn podman_runs_builds_and_guards_jobs_and_its_restart_loses_none() {
    run_apart("podman::serving");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by podman_runs_builds_and_guards_jobs_and_its_restart_loses_none"]
async fn serving() {
    let engine = podman(&folder().join("podman"), &socket()).await;
    is_examined().await;
    let world = World::new();
    let worker = TestWorker::start().await;
    // Podman's lists use another word than Docker's for a stopped container.
    let other = docker(&["create", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", IMAGE, "sh", "-c", "sleep 60"]);
    docker(&["start", &other]);
    docker(&["stop", "--time", "0", &other]);
    runs_jobs(&worker).await;
    docker(&["rm", &other]);
    let addresses: Vec<_> = world.guarded().into_iter().chain([format!("{PUBLIC}:80")]).collect();
    let (job, _) = worker.run(&script(&probe(&addresses))).await;
    let text = worker.api.text(&job, false);
    let reached: Vec<_> = text.lines().filter(|line| line.ends_with(" open")).collect();
    assert_eq!(reached, [format!("{PUBLIC}:80 open")], "{text}");
    let job = worker.api.submit(&script("echo up; sleep 120"));
    worker.api.until_logged(&job, "up").await;
    drop(engine);
    worker.api.until("a release", |heard| heard.released.get(&job).map(|_| ())).await;
    let _engine = podman(&folder().join("podman"), &socket()).await;
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
    worker.drain().await;
}

/// Checks what the worker finds out about the engine at its start.
async fn is_examined() {
    let name = worker::engine_version().await.unwrap();
    assert!(name.starts_with("Podman ") && !name.contains("rootless"), "{name}");
    let mut config = Config::for_queue("q".parse().unwrap(), "http://localhost:1");
    config.data_directory = Some(folder().join("data"));
    let found = worker::examine(&config).await.unwrap();
    let all = found.needs.iter().map(|(_, found)| found).chain([&found.guard]);
    assert!(all.into_iter().all(|found| matches!(found, Finding::Fine(_))), "{found:?}");
    config.isolation.untrusted = true;
    let error = worker::run(config, worker::Shutdown::new()).await.unwrap_err().to_string();
    assert!(error.contains("default runtime (runc)") && error.contains("runtime = \"runsc\""), "{error}");
}

async fn runs_jobs(worker: &TestWorker) {
    let (job, finish) = worker.run(&script("echo hello; mkdir -m 700 /outputs/a; echo x > /outputs/a/b")).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    assert_eq!(worker.api.text(&job, false), "hello\n");
    assert!(finish.result.outputs.contains_key("a/b"));
    let missing = serde_json::json!({ "image": IMAGE, "command": "no-such-program" });
    let (_, finish) = worker.run(&missing).await;
    assert!(finish.message.is_some_and(|text| text.contains("has no program")), "the init's own exit code is 1");
    let text = format!("FROM {IMAGE}\nRUN echo made > /made");
    let (job, finish) = worker.run(&serde_json::json!({ "build": { "dockerfile": text }, "command": "cat /made" })).await;
    let said = worker.api.text(&job, false);
    assert!(finish.reason == Reason::Success && said.ends_with("made\n"), "{:?}: {said}", finish.message);
    let failing = serde_json::json!({ "build": { "dockerfile": format!("FROM {IMAGE}\nRUN exit 7") }, "command": "true" });
    let message = worker.run(&failing).await.1.message.unwrap();
    assert!(message.contains(" : RUN exit 7") && message.contains("exit status 7"), "{message}");
}

/// The list contains names of tests, each with the reason why the test cannot pass.
#[test]
fn what_podman_cannot_do_is_listed_with_tests_that_exist_and_a_reason_each() {
    let listed = Command::new(std::env::current_exe().unwrap()).args(["--list", "--format", "terse"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let list = include_str!("../podman.txt");
    let mut names: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(' ')).collect();
    assert!(!names.is_empty());
    for entry in &names {
        let (name, reason) = entry.expect("a name and a reason");
        assert!(listed.contains(&format!("{name}: test\n")), "{name} is not a test");
        assert!(reason.trim().len() > 10, "{name} needs a reason");
    }
    let n = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), n, "each is named once");
}

#[test]
fn a_worker_on_a_second_engine_leaves_the_rules_of_the_first_ones_workers_alone() {
    run_apart("podman::beside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_worker_on_a_second_engine_leaves_the_rules_of_the_first_ones_workers_alone"]
async fn beside() {
    let other = folder().join("podman.sock");
    let _docker = dockerd(&folder().join("docker"), &socket()).await;
    let _podman = podman(&folder().join("podman"), &other).await;
    let worker = TestWorker::start().await;
    ready_sandboxes(&worker.data()).await;
    let before = belongings(&worker.data());
    assert!(before[1].contains("asman jobs"), "{before:?}");
    let own = tempfile::tempdir().unwrap();
    let mut command = test_command("neighbours::neighbour", "exec", None, own.path());
    let child = command.env("DOCKER_HOST", format!("unix://{}", other.display())).spawn().unwrap();
    passed(&until_ended(child, &worker.data(), &before).await);
    worker.drain().await;
}
