//! Runs the files of `web/tests`, which contain tests of their own, with Node.

use std::process::Command;

use super::house::{make_image, test_database};
use super::{asman, repository, text};

/// Runs node with a migrated database and the image that the jobs of the tests use.
pub fn command(arguments: &[&str]) -> Command {
    let database = test_database();
    let migrated = asman().args(["db", "migrate", "--database-url", &database]).output().unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    make_image();
    let web = repository().join("web");
    let mut node = Command::new("node");
    node.args(arguments).current_dir(web).env("DATABASE_URL", database).env("ASMAN_PROGRAM", env!("CARGO_BIN_EXE_asman"));
    node
}

/// Runs one file of tests with these options of Node. The tests use the stack at `url`, or one of their own if it is empty.
pub fn run(options: &[&str], file: &str, url: &str) {
    let file = format!("tests/{file}.test.mjs");
    let mut node = command(&[options, &["--test", "--test-reporter=spec", &file]].concat());
    let output = node.env("ASMAN_URL", url).output().unwrap();
    print!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "web/{file} failed; what it said is above");
}
