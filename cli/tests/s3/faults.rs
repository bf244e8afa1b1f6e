//! When the storage refuses something, one sentence reports it and says what to do.

use std::process::Command;

use crate::support::garage::Garage;
use crate::support::house::{free_port, test_database};
use crate::support::{Running, asman, text, until};

fn init(garage: &Garage) -> Command {
    let mut command = garage.asman("files");
    command.args(["blob", "init"]);
    command
}

/// Runs a command, which must fail. Returns its output about the last step.
fn error_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    text(&output.stdout).lines().last().unwrap().to_owned()
}

/// The same command with a clock that differs by this offset.
fn at(offset: &str, command: &Command) -> Command {
    let mut skewed = Command::new("faketime");
    skewed.args(["-f", offset]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => skewed.env(name, value),
            None => skewed.env_remove(name),
        };
    }
    skewed
}

#[test]
fn wrong_keys_keys_that_ran_out_and_missing_rights_are_told_apart() {
    let garage = Garage::start();
    assert!(init(&garage).output().unwrap().status.success());
    for (name, value) in [("ASMAN_S3_ACCESS_KEY_ID", "GK0123456789abcdef00000000"), ("ASMAN_S3_SECRET_ACCESS_KEY", "guess")] {
        let said = error_of(init(&garage).env(name, value));
        assert!(said.contains("refuses the credentials") && !said.contains("guess"), "{said}");
    }
    garage.forbid_writing("files");
    let said = error_of(&mut init(&garage));
    assert!(said.contains("its rights on the bucket"), "{said}");
    garage.expire_key();
    let said = error_of(&mut init(&garage));
    assert!(said.contains("have expired") && said.contains("renew them"), "{said}");
}

#[test]
fn a_clock_that_is_days_late_is_named() {
    let garage = Garage::start();
    assert!(init(&garage).output().unwrap().status.success());
    let said = error_of(&mut at("-2d", &init(&garage)));
    assert!(said.contains("clock") && said.contains("NTP"), "{said}");
    let database_url = test_database();
    assert!(asman().args(["db", "migrate", "--database-url", &database_url]).output().unwrap().status.success());
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = garage.asman("files");
    command.args(["api", "--database-url", &database_url, "--listen", &listen]);
    let mut api = Running::start(&mut at("-2d", &command));
    api.wait_for("set the clock");
    let ready = || {
        let asked = Command::new("curl").args(["-s", "-m", "5", &format!("http://{listen}/readyz")]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&asked.stdout).ok()
    };
    for _ in 0..3 {
        assert_eq!(until(ready), serde_json::json!({"ready": false, "missing": ["blob store"]}), "a wrong clock stays wrong");
    }
}
