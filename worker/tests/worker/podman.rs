//! Podman as the engine, alone and beside a Docker engine, in separate network and mount namespaces.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use protocol::Reason;
use rustix::process::{Pid, Signal, kill_process};
use worker::{Config, Finding};

use crate::engine::socket;
use crate::harness::{TestWorker, docker, ready_sandboxes, script};
use crate::neighbours::{belongings, passed, test_command, until_ended};

/// A server that ends with the test.
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
    // A root user that may not raise its own limits cannot set the limits that Podman asks for.
    let runtime = folder.join("runc");
    let text = r#"#!/bin/sh
previous=; for word; do case $previous in --bundle|-b) bundle=$word ;; esac; previous=$word; done
[ -z "$bundle" ] || sed -i 's/,\?{"type":"RLIMIT_NPROC"[^}]*}//' "$bundle/config.json"
exec runc "$@"
"#;
    std::fs::write(&runtime, text).unwrap();
    std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o755)).unwrap();
    let settings = format!(
        "[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\nruntime=\"here\"\n[engine.runtimes]\nhere=[{:?}]\n",
        runtime.display().to_string()
    );
    std::fs::write(folder.join("containers.conf"), settings).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("podman");
    for (option, place) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
        command.arg(option).arg(folder.join(place));
    }
    command.args(["--cgroup-manager", "cgroupfs", "system", "service", "--time=0"]).arg(format!("unix://{}", socket.display()));
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

/// Runs an ignored test of this file in separate namespaces, with its engine at the usual socket.
fn run_apart(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = test_command(test, "ip link set lo up && exec", Some(&["unshare", "--net", "--mount"]), folder.path());
    command.env("DOCKER_HOST", format!("unix://{}", folder.path().join("engine.sock").display()));
    passed(&command.output().unwrap());
}

fn folder() -> PathBuf {
    socket().parent().unwrap().to_owned()
}

#[test]
fn podman_runs_jobs_and_a_guard_that_it_does_not_give_is_not_claimed() {
    run_apart("podman::serving");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by podman_runs_jobs_and_a_guard_that_it_does_not_give_is_not_claimed"]
async fn serving() {
    let _podman = podman(&folder().join("podman"), &socket()).await;
    let mut config = Config::for_queue("q".parse().unwrap(), "http://localhost:1");
    config.data_directory = Some(folder().join("data"));
    let found = worker::examine(&config).await.unwrap();
    assert!(found.needs.iter().all(|(_, found)| matches!(found, Finding::Fine(_))), "{:?}", found.needs);
    assert!(matches!(&found.guard, Finding::Without(text) if text.contains("as Podman does")), "{:?}", found.guard);
    config.isolation.untrusted = true;
    config.isolation.runtime = Some("here".to_owned());
    let error = worker::run(config, worker::Shutdown::new()).await.unwrap_err();
    assert!(error.to_string().contains("as Podman does"), "{error}");
    let worker = TestWorker::start().await;
    // Podman's lists have their own word for a stopped container.
    let other = docker(&["create", "--ulimit", "nofile=1024:1024", crate::harness::IMAGE, "sh", "-c", "sleep 60"]);
    docker(&["start", &other]);
    docker(&["stop", "--time", "0", &other]);
    let (job, finish) = worker.run(&script("echo hello; mkdir -m 700 /outputs/a; echo x > /outputs/a/b")).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    assert_eq!(worker.api.text(&job, false), "hello\n");
    assert!(finish.result.outputs.contains_key("a/b"));
    docker(&["rm", &other]);
    worker.drain().await;
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
