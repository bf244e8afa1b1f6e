//! The private Postgres: it starts, stops, keeps its data, and comes back after every kind of end.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use support::{Running, asman, data_directory, is_alive, postmaster, run, text, until};
use tokio_postgres::NoTls;

fn db_run(data: &Path) -> Command {
    let mut command = asman();
    command.args(["db", "run", "--data-directory"]).arg(data);
    command
}

fn start(data: &Path) -> (Running, String) {
    let mut running = Running::start(&mut db_run(data));
    let url = running.wait_for("postgres://");
    (running, url)
}

async fn query(url: &str, statement: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let messages = client.simple_query(statement).await.unwrap();
    let row = |message: &tokio_postgres::SimpleQueryMessage| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

#[tokio::test]
async fn data_survives_a_stop_and_a_start() {
    let data = data_directory();
    let (mut running, url) = start(data.path());
    query(&url, "create table kept (n int); insert into kept values (7)").await;
    assert_eq!(query(&url, "show fsync").await, ["on"]);
    let server = postmaster(data.path()).unwrap();
    assert_eq!(running.stop().code(), Some(0), "{:?}", running.said);
    assert!(!is_alive(server));
    let (mut running, url) = start(data.path());
    assert_eq!(query(&url, "select n from kept").await, ["7"]);
    assert_eq!(running.stop().code(), Some(0));
}

#[tokio::test]
async fn the_server_of_a_killed_asman_is_stopped_and_started_anew() {
    let data = data_directory();
    let (mut running, url) = start(data.path());
    query(&url, "create table kept (n int); insert into kept values (7)").await;
    let orphan = postmaster(data.path()).unwrap();
    running.signal(Signal::KILL);
    running.wait();
    assert!(is_alive(orphan), "the server is in a separate group");
    let (mut running, url) = start(data.path());
    assert!(running.said.iter().any(|line| line.contains("left behind")), "{:?}", running.said);
    assert!(!is_alive(orphan));
    assert_eq!(query(&url, "select n from kept").await, ["7"]);
    assert_eq!(running.stop().code(), Some(0));
}

#[test]
fn a_stale_process_id_of_somebody_else_is_no_obstacle() {
    let data = data_directory();
    start(data.path()).0.stop();
    let ours = std::process::id();
    std::fs::write(data.path().join("database/postmaster.pid"), format!("{ours}\n/elsewhere\n")).unwrap();
    assert_eq!(start(data.path()).0.stop().code(), Some(0));
}

#[test]
fn a_killed_first_start_leaves_nothing_in_the_way() {
    let data = data_directory();
    let half = data.path().join("database.new/base");
    std::fs::create_dir_all(&half).unwrap();
    assert_eq!(start(data.path()).0.stop().code(), Some(0));
    assert!(!half.exists());
}

#[test]
fn a_second_one_on_the_same_data_is_refused_in_one_sentence() {
    let data = data_directory();
    let (mut first, _) = start(data.path());
    let second = db_run(data.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(said.contains("already running") && said.lines().count() == 1, "{said}");
    assert_eq!(first.stop().code(), Some(0));
}

#[test]
fn a_long_path_is_no_obstacle_to_the_socket() {
    let data = data_directory();
    let long = data.path().join("x".repeat(100));
    assert_eq!(start(&long).0.stop().code(), Some(0));
}

#[test]
fn a_server_that_dies_is_reported() {
    let data = data_directory();
    let (mut running, _) = start(data.path());
    let server = rustix::process::Pid::from_raw(postmaster(data.path()).unwrap()).unwrap();
    rustix::process::kill_process(server, Signal::QUIT).unwrap();
    assert_eq!(running.wait().code(), Some(1));
    assert!(running.said.iter().any(|line| line.contains("ended unexpectedly")), "{:?}", running.said);
}

#[test]
fn missing_binaries_are_named_with_the_command_that_installs_them() {
    let data = data_directory();
    let output = db_run(data.path()).env("ASMAN_POSTGRES_BIN", "/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.contains("PostgreSQL is not installed") && said.contains("apt-get install postgresql"), "{said}");
}

#[test]
fn down_stops_a_server_in_the_foreground_and_says_so_when_none_runs() {
    let data = data_directory();
    let (mut running, _) = start(data.path());
    let folder = data.path().to_str().unwrap();
    let down = run(&["down", "--data-directory", folder]);
    assert_eq!((down.status.code(), text(&down.stderr).contains("Stopped process")), (Some(0), true), "{down:?}");
    assert_eq!(running.wait().code(), Some(0));
    let down = run(&["down", "--data-directory", folder]);
    assert_eq!((down.status.code(), text(&down.stderr).contains("no asman uses")), (Some(1), true), "{down:?}");
    until(|| postmaster(data.path()).is_none().then_some(()));
}
