//! `asman up` as a process: its port, its lock, its ends, in the foreground and in the background.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use support::house::free_port;
use support::{Running, address_of, asman, data_directory, is_alive, postmaster, text, until};

fn up(data: &Path, arguments: &[&str]) -> Command {
    let mut command = asman();
    command.args(["up", "--no-worker", "--data-directory"]).arg(data).args(arguments);
    command
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left_running() {
    let data = data_directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = up(data.path(), &["--port", &port]).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("port {port} is in use")), "{said}");
    assert_eq!(postmaster(data.path()), None);
}

#[test]
fn a_signal_stops_everything_and_gives_the_lock_back() {
    let data = data_directory();
    for _ in 0..2 {
        let mut running = Running::start(&mut up(data.path(), &["--port", "0"]));
        running.wait_for("Asman is up");
        let server = postmaster(data.path()).unwrap();
        assert_eq!(running.stop().code(), Some(0), "{:?}", running.said);
        assert!(!is_alive(server));
        assert!(!data.path().join("up.json").exists());
    }
}

#[test]
fn the_line_that_leads_to_the_private_database_does() {
    let data = data_directory();
    let mut running = Running::start(&mut up(data.path(), &["--port", "0"]));
    let line = running.wait_for("SQL       psql");
    let command = format!(
        "{} -XAtc \"select asman.enqueue('local', '{{\\\"image\\\": \\\"a\\\"}}')\"",
        line.trim_start_matches("  SQL").trim()
    );
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).trim().len()), (Some(0), 64), "{command} {output:?}");
    assert_eq!(running.stop().code(), Some(0));
}

#[test]
fn a_second_up_is_refused_in_one_sentence_with_the_address_of_the_first() {
    let data = data_directory();
    let mut first = Running::start(&mut up(data.path(), &["--port", "0"]));
    let api = address_of(&first.wait_for("Asman is up"));
    let other_port = free_port().to_string();
    for arguments in [&["--port", "0"][..], &["--detach", "--port", &other_port]] {
        let second = up(data.path(), arguments).output().unwrap();
        let said = text(&second.stderr);
        assert_eq!((second.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains(&api) && said.contains("down --data-directory"), "{said}");
    }
    assert_eq!(first.stop().code(), Some(0));
}

/// The answer to the question that the script `x` asks before it builds.
fn told(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = up(data, arguments).arg("--tell-running").output().unwrap();
    (output.status.code(), text(&output.stdout))
}

#[test]
fn up_in_the_background_does_nothing_where_it_is_up() {
    let data = data_directory();
    assert_eq!(told(data.path(), &["--detach"]), (Some(0), String::new()), "nothing runs");
    let start = || {
        let output = up(data.path(), &["--port", "0", "--detach", "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let (first, second) = (start(), start());
    assert_eq!(first, second, "the very same");
    let api = first["api"].as_str().unwrap();
    let (code, said) = told(data.path(), &["--detach", "--port", "0"]);
    assert!(code == Some(0) && said.starts_with(&format!("Asman is up already: {api}; stop it with")), "{code:?} {said}");
    let (code, said) = told(data.path(), &["--port", "0"]);
    assert!(code == Some(1) && said.contains("already running") && said.contains(api), "{code:?} {said}");
    let down = asman().arg("down").arg("--data-directory").arg(data.path()).output().unwrap();
    assert_eq!(down.status.code(), Some(0), "{down:?}");
    assert!(text(&down.stderr).contains(data.path().to_str().unwrap()), "what stays: {down:?}");
}

#[test]
fn the_hints_are_commands_that_work_as_they_stand() {
    let data = data_directory();
    for path in ["/usr/bin:/bin".to_owned(), format!("{}:/usr/bin:/bin", folder_of_program())] {
        let mut command = up(data.path(), &["--port", "0"]);
        let mut running = Running::start(command.env("PATH", &path));
        let line = running.wait_for("stop      ");
        let stop = line.split_once(", or ").unwrap().1;
        let stopped = Command::new("sh").args(["-c", stop]).env("PATH", &path).output().unwrap();
        assert_eq!(stopped.status.code(), Some(0), "{stop}: {stopped:?}");
        assert_eq!(running.wait().code(), Some(0));
    }
}

#[test]
fn the_script_of_a_checkout_is_named_where_it_was_used() {
    let data = data_directory();
    let mut command = up(data.path(), &["--port", "0"]);
    let mut running = Running::start(command.env("PATH", "/usr/bin:/bin").env("ASMAN_X", "a b/x"));
    assert!(running.wait_for("try       ").contains("'a b/.bin/asman' job add"), "{:?}", running.said);
    assert!(running.wait_for("stop      ").contains("or 'a b/x' down --data-directory"), "{:?}", running.said);
    assert_eq!(running.stop().code(), Some(0));
}

fn folder_of_program() -> String {
    Path::new(env!("CARGO_BIN_EXE_asman")).parent().unwrap().display().to_string()
}

#[test]
fn in_the_background_it_is_healthy_when_the_command_returns_and_gone_after_down() {
    let data = data_directory();
    let output = up(data.path(), &["--port", "0", "--detach", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let address = said["api"].as_str().unwrap().trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(&address).is_ok());
    let down = asman().args(["down", "--json", "--data-directory"]).arg(data.path()).output().unwrap();
    assert_eq!(down.status.code(), Some(0), "{down:?}");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&down.stdout).unwrap()["stopped"], said["pid"]);
    assert!(TcpStream::connect(&address).is_err());
    until(|| postmaster(data.path()).is_none().then_some(()));
    let again = asman().args(["down", "--data-directory"]).arg(data.path()).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(text(&again.stderr).contains("no asman uses"), "{again:?}");
}

#[test]
fn a_background_start_that_fails_says_why_here() {
    let data = data_directory();
    let output = up(data.path(), &["--detach"]).env("ASMAN_POSTGRES_BIN", "/nonexistent").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("PostgreSQL is not installed"), "{said}");
}
