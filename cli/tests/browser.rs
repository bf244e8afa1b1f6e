//! What a person sees: the web client in a real Chromium, against the real API, worker, PostgreSQL and Docker. Each test here runs
//! one file of `web/tests`, whose own tests say what they show.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::process::Command;

use support::house::{make_image, test_database};
use support::{asman, repository};

/// Gives one file of browser tests a migrated database and the image that they use, and runs it.
fn run(file: &str) {
    let database = test_database();
    let migrated = asman().args(["db", "migrate", "--database-url", &database]).output().unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    make_image();
    let web = repository().join("web");
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec"]).arg(format!("tests/{file}.test.mjs")).current_dir(web);
    node.env("DATABASE_URL", database).env("ASMAN_PROGRAM", env!("CARGO_BIN_EXE_asman"));
    let output = node.output().unwrap();
    print!("{}{}", support::text(&output.stdout), support::text(&output.stderr));
    assert!(output.status.success(), "web/tests/{file}.test.mjs failed; what it said is above");
}

#[test]
fn the_page_runs_jobs() {
    run("page");
}
