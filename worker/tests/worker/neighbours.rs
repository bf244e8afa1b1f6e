//! Workers that start beside other workers that they cannot see. They must not change anything of a live worker.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::harness::{TestWorker, eventually, networks_of, ready_sandboxes, rules_of, sandboxes_of, script};

/// Runs an ignored test of this program as `$test` after the shell commands `before`; with `within`, inside another command.
pub(crate) fn test_command(name: &str, before: &str, within: Option<&[&str]>, temporary: &Path) -> Command {
    let line = format!("{before} $test --exact {name} --ignored --nocapture");
    let words: Vec<_> = within.unwrap_or_default().iter().copied().chain(["sh", "-c", &line]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("test", std::env::current_exe().unwrap()).env("TMPDIR", temporary);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the end of another worker, and meanwhile checks that the objects of the first worker stay unchanged.
pub(crate) async fn until_ended(mut child: Child, data: &Path, before: &[String; 3]) -> Output {
    eventually("the end of a worker", || {
        assert_eq!(&belongings(data), before);
        child.try_wait().unwrap().is_some()
    })
    .await;
    child.wait_with_output().unwrap()
}

pub(crate) fn passed(output: &Output) {
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

#[test]
fn a_worker_that_is_not_root_reads_and_removes_what_a_root_wrote() {
    let own = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(own.path(), Some(65534), None).unwrap();
    passed(&test_command("neighbours::without_rights", &as_nobody(), None, own.path()).output().unwrap());
}

#[tokio::test]
#[ignore = "run by a_worker_that_is_not_root_reads_and_removes_what_a_root_wrote"]
async fn without_rights() {
    assert!(!rustix::process::geteuid().is_root());
    let worker = TestWorker::start().await;
    let text = "cd /outputs; mkdir -p -m 700 d/e; echo x > d/e/f; chmod 600 d/e/f; chmod 700 .; head -c 50000000 /dev/zero > big; \
                mkdir -p /job-cache/mine; echo kept > /job-cache/mine/tool; chmod 750 /job-cache/mine/tool; chmod 700 /job-cache/mine";
    let (job, finish) = worker.run(&script(text)).await;
    assert_eq!(finish.reason, protocol::Reason::Success, "{:?} {}", finish.message, worker.api.text(&job, true));
    assert_eq!(finish.result.outputs.keys().collect::<Vec<_>>(), ["big", "d/e/f"], "{}", worker.api.text(&job, true));
    // A job that fails before its outputs are read also leaves nothing. The rights of other jobs' files in the cache do not change.
    let (job, finish) =
        worker.run(&script("mkdir -m 700 /outputs/d; touch /outputs/d/f; stat -c %a /job-cache/mine; exit 3")).await;
    assert_eq!((finish.result.status_code, worker.api.text(&job, false)), (Some(3), "700\n".to_owned()));
    let stopped = worker.api.submit(&script("mkdir -m 700 /outputs/d; touch /outputs/d/f; echo up; sleep 600"));
    worker.api.until_logged(&stopped, "up").await;
    worker.stop().await;
}

/// The networks, rules and sandboxes that the worker of a data directory has made on the machine.
pub(crate) fn belongings(data: &Path) -> [String; 3] {
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
    // The other worker runs in its own namespaces, in which the first worker's data directory looks empty.
    let hide = format!("exec unshare --mount --pid --fork --mount-proc sh -c 'mount -t tmpfs none {folder} && exec \"$@\"' -");
    let own = tempfile::tempdir().unwrap();
    let child = test_command("neighbours::neighbour", &hide, None, own.path()).spawn().unwrap();
    passed(&until_ended(child, &worker.data(), &before).await);
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_another_user_leaves_a_live_worker_alone() {
    let (worker, before) = live_worker().await;
    let own = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(own.path(), Some(65534), None).unwrap();
    let child = test_command("neighbours::neighbour", &as_nobody(), None, own.path()).spawn().unwrap();
    passed(&until_ended(child, &worker.data(), &before).await);
    worker.drain().await;
}

/// A command that runs a program as a user without rights who may use the engine. The program is passed as an open file, because its
/// folder may be private.
fn as_nobody() -> String {
    let user = "setpriv --reuid=65534 --regid=$(stat -c %g /var/run/docker.sock) --clear-groups";
    format!("exec 9<$test; test=/proc/self/fd/9; exec {user}")
}
