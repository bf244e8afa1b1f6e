//! Workers that start beside others which they cannot see: nothing of a live one is touched.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{TestWorker, networks_of, ready_sandboxes, rules_of, sandboxes_of};

/// Runs [`neighbour`] with a shell's words before it; `$test` is the program.
fn run_neighbour(before: &str, temporary: &Path) -> Output {
    let this = std::env::current_exe().unwrap();
    let line = format!("{before} $test --exact neighbours::neighbour --ignored --nocapture");
    Command::new("sh").args(["-c", &line]).env("test", this).env("TMPDIR", temporary).output().unwrap()
}

fn passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the others"]
async fn neighbour() {
    let worker = TestWorker::start().await;
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    worker.drain().await;
}

/// What the worker of a data directory has on the machine.
fn belongings(data: &Path) -> [String; 3] {
    [networks_of(data), rules_of(data), sandboxes_of(data)]
}

async fn live_worker() -> (TestWorker, [String; 3]) {
    let worker = TestWorker::start().await;
    ready_sandboxes(&worker.data()).await;
    let belongings = belongings(&worker.data());
    assert!(belongings.iter().all(|some| !some.is_empty()), "{belongings:?}");
    (worker, belongings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_sees_neither_lock_nor_process_leaves_a_live_worker_alone() {
    let (worker, before) = live_worker().await;
    let folder = worker.data().parent().unwrap().display().to_string();
    // Namespaces of its own, in which the other's data directory is empty.
    let hide = format!("exec unshare --mount --pid --fork --mount-proc sh -c 'mount -t tmpfs none {folder} && exec \"$@\"' -");
    let own = tempfile::tempdir().unwrap();
    passed(&run_neighbour(&hide, own.path()));
    assert_eq!(belongings(&worker.data()), before);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_another_user_leaves_a_live_worker_alone() {
    let (worker, before) = live_worker().await;
    let own = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(own.path(), Some(65534), None).unwrap();
    passed(&run_neighbour(&as_nobody(), own.path()));
    assert_eq!(belongings(&worker.data()), before);
    worker.drain().await;
}

/// As a user without rights who may use the engine. The program is named by an open file: its folder may be closed to others.
fn as_nobody() -> String {
    let user = "setpriv --reuid=65534 --regid=$(stat -c %g /var/run/docker.sock) --clear-groups";
    format!("exec 9<$test; test=/proc/self/fd/9; exec {user}")
}
