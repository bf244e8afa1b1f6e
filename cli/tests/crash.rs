//! Processes are killed, stopped and restarted in the middle of a job: nothing is lost, and nothing comes twice.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use rustix::process::Signal;
use support::cluster::Cluster;
use support::house::{House, test_database};
use support::{Running, until};

/// A job that prints a line every tenth of a second: long enough to stop something while it runs.
const COUNTING: &str = "for i in $(seq 1 60); do echo line $i; sleep 0.1; done";

fn all_lines() -> Vec<String> {
    (1..=60).map(|n| format!("line {n}")).collect()
}

/// The job's lines that a follower printed, in order.
fn followed(follower: &Running) -> Vec<String> {
    let is_line = |line: &&String| line.contains("line ");
    follower.said.iter().filter(is_line).map(|line| line[line.find("line ").unwrap()..].trim_end().to_owned()).collect()
}

#[test]
fn a_job_whose_worker_is_killed_runs_again_elsewhere() {
    let house = House::over(test_database());
    let _api = house.start_api_with_lease("3s");
    let first = house.start_worker("q", "first");
    let id = house.add("q", "echo begun; sleep 3; echo done");
    assert_eq!(house.wait_until_running("q", &id), "first");
    let _second = house.start_worker("q", "second");
    first.signal(Signal::KILL);
    let result = house.result("q", &id);
    assert_eq!(result["finishedReason"], "Success", "{result}");
    assert_eq!(result["worker"], "second");
    assert_eq!(House::lines(&result), ["begun", "done"], "the result contains only the last attempt");
    assert_eq!(house.events("q", &id), ["queued", "claimed", "requeued", "claimed", "finished"]);
    // The killed worker may start again: then it removes its container and continues.
    let mut again = house.start_worker("q", "first");
    assert_eq!(house.events("q", &id).len(), 5);
    again.stop();
}

#[test]
fn a_worker_that_slept_beyond_its_lease_cannot_overwrite_the_result() {
    let house = House::over(test_database());
    let _api = house.start_api_with_lease("3s");
    let sleeper = house.start_worker("q", "sleeper");
    let id = house.add("q", "echo begun; sleep 4; echo done");
    assert_eq!(house.wait_until_running("q", &id), "sleeper");
    sleeper.signal(Signal::STOP);
    let _second = house.start_worker("q", "second");
    until(|| (house.wait_until_running("q", &id) == "second").then_some(()));
    sleeper.signal(Signal::CONT);
    let result = house.result("q", &id);
    assert_eq!((&result["worker"], &result["finishedReason"]), (&"second".into(), &"Success".into()));
    // Both processes continue, and the job has ended only once.
    for n in 0..4 {
        let next = house.add("q", &format!("echo next {n}"));
        assert_eq!(house.result("q", &next)["finishedReason"], "Success");
    }
    assert_eq!(house.events("q", &id), ["queued", "claimed", "requeued", "claimed", "finished"]);
}

#[test]
fn an_api_killed_mid_stream_loses_and_doubles_no_line() {
    let house = House::over(test_database());
    let api = house.start_api();
    let _worker = house.start_worker("q", "w");
    let id = house.add("q", COUNTING);
    let mut follower = Running::start(&mut house.job(&["logs", "-f", "q", &id]));
    follower.wait_for("line 10");
    api.signal(Signal::KILL);
    drop(api);
    let _api = house.start_api();
    let result = house.result("q", &id);
    assert_eq!(result["finishedReason"], "Success", "{result}");
    assert_eq!(House::lines(&result), all_lines());
    assert_eq!(follower.wait().code(), Some(0), "{:?}", follower.said);
    assert_eq!(followed(&follower), all_lines());
    assert_eq!(house.events("q", &id), ["queued", "claimed", "finished"], "the job continued meanwhile");
}

#[test]
fn a_restart_of_postgres_mid_job_loses_and_doubles_nothing() {
    let cluster = Cluster::start();
    let house = House::over(cluster.url());
    let _api = house.start_api();
    let _worker = house.start_worker("q", "w");
    let id = house.add("q", COUNTING);
    let mut follower = Running::start(&mut house.job(&["logs", "-f", "q", &id]));
    follower.wait_for("line 10");
    cluster.restart();
    let result = house.result("q", &id);
    assert_eq!(result["finishedReason"], "Success", "{result}");
    assert_eq!(House::lines(&result), all_lines());
    assert_eq!(follower.wait().code(), Some(0), "{:?}", follower.said);
    assert_eq!(followed(&follower), all_lines());
    // And everything still works.
    let next = house.add("q", "echo next");
    assert_eq!(House::lines(&house.result("q", &next)), ["next"]);
}

#[test]
fn a_crash_of_postgres_loses_no_job_and_no_state() {
    let cluster = Cluster::start();
    let house = House::over(cluster.url());
    let _api = house.start_api();
    let ids: Vec<String> = (0..20).map(|n| house.add("q", &format!("echo job {n}"))).collect();
    cluster.crash_and_start();
    let _worker = house.start_worker("q", "w");
    let slow = house.add("q", "echo begun; sleep 2; echo over");
    house.wait_until_running("q", &slow);
    cluster.crash_and_start();
    for id in &ids {
        let result = house.result("q", id);
        assert_eq!(result["finishedReason"], "Success", "{result}");
        assert_eq!(house.events("q", id).iter().filter(|event| *event == "finished").count(), 1);
    }
    assert_eq!(house.result("q", &slow)["finishedReason"], "Success");
}

#[test]
fn a_result_that_cannot_be_delivered_waits_on_disk_and_arrives() {
    let house = House::over(test_database());
    let mut api = house.start_api();
    let mut worker = house.start_worker("q", "w");
    // The job's lines must arrive before the API goes, because the worker writes a result to disk only after its log is delivered.
    let id = house.add("q", "echo begun; sleep 3");
    let log = format!("/q/q/j/{id}/run-logs.json");
    until(|| house.get(&log).filter(|body| body["nextCursor"] == 1));
    api.signal(Signal::KILL);
    api.wait();
    let spool = house.folder.path().join("w/spool");
    // The finish is completely on disk only when the file has its final name.
    let is_kept = |entry: std::io::Result<std::fs::DirEntry>| entry.is_ok_and(|e| e.path().extension() == Some("json".as_ref()));
    until(|| std::fs::read_dir(&spool).ok()?.any(is_kept).then_some(()));
    // Even a worker that was killed before it sent the result delivers it after a restart, if its claim still lives.
    worker.signal(Signal::KILL);
    worker.wait();
    let _api = house.start_api();
    let _worker = house.start_worker("q", "w");
    let result = house.result("q", &id);
    assert_eq!(result["finishedReason"], "Success", "{result}");
    assert_eq!(house.events("q", &id), ["queued", "claimed", "finished"], "it ran once");
}
