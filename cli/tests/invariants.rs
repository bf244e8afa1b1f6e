//! Checks that each invariant in `docs/architecture.md` names tests that exist, and tests the invariant about what a worker needs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use std::path::Path;

use support::house::{House, test_database};
use support::{Running, asman, repository, until};

fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_invariant_of_the_documentation_names_tests_that_exist() {
    let page = std::fs::read_to_string(repository().join("docs/architecture.md")).unwrap();
    let invariants = page.split("## Invariants").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut tests = String::new();
    for folder in ["api/tests", "cli/tests", "sql/tests"] {
        sources(&repository().join(folder), &mut tests);
    }
    let line = invariants.split_whitespace().collect::<Vec<_>>().join(" ");
    let items: Vec<&str> = line.split(". (`").collect();
    assert_eq!(items.len(), 9, "eight invariants, each with its tests: {items:?}");
    for item in &items[1..] {
        let names = item.split(')').next().unwrap();
        for name in names.split('`').filter(|name| name.contains('_')) {
            assert!(tests.contains(&format!("fn {name}(")), "no test is called {name}");
        }
    }
}

/// How many TCP ports a process listens on.
fn listening(pid: rustix::process::Pid) -> usize {
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let links = std::fs::read_dir(folder).unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let own: Vec<_> =
        links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())).collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| table.lines().skip(1)).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The fourth column is the state, where 0A means listening. The tenth column is the socket.
    sockets.filter(|socket| socket[3] == "0A" && own.iter().any(|inode| inode == socket[9])).count()
}

#[test]
fn a_worker_needs_only_an_address_and_a_queue() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let mut command = asman();
    // The worker gets no credentials: the environment contains only the path of programs, and a home for its files.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", house.folder.path());
    command.args(["worker", "run", "q", "--api", &house.api_url()]);
    let mut worker = Running::start(&mut command);
    let id = house.add("q", "echo done");
    until(|| (house.get(&format!("/q/q/j/{id}"))?["data"]["results"]["state"] == "Finished").then_some(()));
    assert_eq!(House::lines(&house.result("q", &id)), ["done"]);
    assert_eq!(listening(worker.pid()), 0, "no open port");
    assert_eq!(worker.stop().code(), Some(0), "{:?}", worker.said);
}
