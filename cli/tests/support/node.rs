//! Node on the files of `web/tests`, which are tests of their own.

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

/// Runs one file of tests, with options of node's, against a stack of its own or one that runs at `url` already.
pub fn run(options: &[&str], file: &str, url: &str) {
    let file = format!("tests/{file}.test.mjs");
    let mut node = command(&[options, &["--test", "--test-reporter=spec", &file]].concat());
    let output = node.env("ASMAN_URL", url).output().unwrap();
    print!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "web/{file} failed; what it said is above");
}
