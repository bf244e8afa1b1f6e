//! The whole product on this machine: Postgres, API, worker and real containers, used only through the binary.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::process::Command;

use rustix::process::Signal;
use support::{Running, Stack, asman, data_directory, is_alive, postmaster, repository, text, until};

fn job(api: &str, arguments: &[&str]) -> Command {
    let mut command = asman();
    command.arg("job").args(arguments).env("ASMAN_API", api);
    command
}

/// The command lines of all containers, including ended ones.
fn containers() -> String {
    let output = Command::new("docker").args(["ps", "--all", "--no-trunc", "--format", "{{.Command}}"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[test]
fn a_demo_shows_its_log_and_its_output_and_leaves_everything_running() {
    let data = data_directory();
    let mut command = Stack::command(data.path());
    command.arg("--demo").arg(repository().join("Cargo.lock"));
    let mut running = Running::start(&mut command);
    // The lines come from two streams, so their order is not defined.
    for part in ["demo/packages-by-source.csv", "source,packages", "this workspace,"] {
        running.wait_until_said(part);
    }
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let found = format!("found {} packages", lock.matches("[[package]]").count());
    assert!(running.said.iter().any(|line| line.contains(&found)), "{found:?} in {:?}", running.said);
    let stored = std::fs::read_to_string(data.path().join("demo/packages-by-source.csv")).unwrap();
    assert!(stored.starts_with("source,packages\n"), "{stored}");
    assert_eq!(running.stop().code(), Some(0), "{:?}", running.said);
}

#[test]
fn a_demo_of_a_stack_in_the_background_is_shown_in_the_foreground() {
    let data = data_directory();
    let mut command = Stack::command(data.path());
    command.args(["--detach", "--demo"]).arg(repository().join("Cargo.lock"));
    let output = command.output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    let down = asman().args(["down", "--data-directory"]).arg(data.path()).output().unwrap();
    assert_eq!((output.status.code(), down.status.code()), (Some(0), Some(0)), "{said} {down:?}");
    for part in ["in the background", "  SQL       psql -h ", "packages-by-source.csv", "source,packages", "this workspace,"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

#[test]
fn a_job_exits_with_its_containers_code() {
    let mut stack = Stack::start();
    let folder = tempfile::tempdir().unwrap();
    let mut command =
        job(&stack.api, &["add", "local", "-i", "asman/demo", "-c", "sh -c 'echo out; echo err >&2; exit 3'", "--wait"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{log}");
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
    stack.stop();
}

#[test]
fn a_stop_leaves_no_container_and_no_server_and_the_next_start_finds_the_results() {
    let data = data_directory();
    let mut stack = Stack::start_on(data.path());
    let folder = tempfile::tempdir().unwrap();
    let first = job(&stack.api, &["add", "local", "-i", "asman/demo", "-c", "echo kept", "--wait", "--json"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let said: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();

    let token = format!("sleep 1000.{}", std::process::id());
    let mut endless = Running::start(&mut job(&stack.api, &["add", "local", "-i", "asman/demo", "-c", &token, "--wait"]));
    until(|| containers().contains(&token).then_some(()));
    endless.signal(Signal::INT);
    assert_eq!(endless.wait().code(), Some(130), "{:?}", endless.said);
    let server = postmaster(data.path()).unwrap();
    stack.stop();
    assert!(!containers().contains(&token), "the container outlived the stack");
    assert!(!is_alive(server));

    let mut stack = Stack::start_on(data.path());
    let result = job(&stack.api, &["result", "local", said["jobId"].as_str().unwrap()]).output().unwrap();
    assert!(text(&result.stdout).contains("kept"), "{result:?}");
    stack.stop();
}

#[test]
fn without_docker_the_rest_is_served_and_the_problem_is_said_once() {
    let data = data_directory();
    let missing = format!("unix://{}", data.path().join("no.sock").display());
    let mut running = Running::start(Stack::command(data.path()).env("DOCKER_HOST", &missing));
    let api = support::address_of(&running.wait_for("Asman is up"));
    let said = running.said.iter().filter(|line| line.contains("No worker here")).collect::<Vec<_>>();
    assert!(said.len() == 1 && said[0].contains("install and start"), "{:?}", running.said);
    let added = job(&api, &["add", "local", "-i", "asman/demo", "-c", "true"]).output().unwrap();
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let listed = job(&api, &["list", "local"]).output().unwrap();
    assert!(text(&listed.stdout).contains("Queued"), "{listed:?}");
    assert_eq!(running.stop().code(), Some(0));
    let mut alone = asman();
    alone.args(["worker", "run", "q", "--api", &api, "--data-directory"]).arg(data.path().join("alone"));
    let worker = alone.env("DOCKER_HOST", &missing).output().unwrap();
    assert_eq!(worker.status.code(), Some(3), "{worker:?}");
}

#[test]
fn a_broken_connection_to_the_api_is_waited_out() {
    let data = data_directory();
    let mut stack = Stack::start_on(data.path());
    let port = stack.api.rsplit(':').next().unwrap().to_owned();
    let mut waiting = Running::start(&mut job(
        &stack.api,
        &["add", "local", "-i", "asman/demo", "-c", "sh -c 'echo begun; sleep 2; echo over'", "--wait"],
    ));
    waiting.wait_for("begun");
    stack.stop();
    let mut stack = Stack::start_with(data.path(), &port);
    assert_eq!(waiting.wait().code(), Some(0), "{:?}", waiting.said);
    assert!(waiting.said.iter().any(|line| line.contains("over")), "{:?}", waiting.said);
    stack.stop();
}

#[tokio::test]
async fn up_on_a_database_of_ones_own_starts_no_server() {
    let admin = migrations::testing::server_url();
    let name = format!("up_{}", std::process::id());
    let (client, connection) = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("create database {name}")).await.unwrap();
    let url = admin.strip_suffix("/postgres").map(|base| format!("{base}/{name}")).unwrap();
    let data = data_directory();
    let mut running = Running::start(Stack::command(data.path()).args(["--no-worker", "--database-url", &url]));
    running.wait_for("Asman is up");
    assert!(!data.path().join("database").exists());
    assert_eq!(running.stop().code(), Some(0), "{:?}", running.said);
}
