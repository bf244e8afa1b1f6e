//! Tests of every executor: the same scripts run in containers and as processes of this machine.

use std::os::unix::fs::PermissionsExt;

use protocol::Reason;
use serde_json::{Value, json};
use worker::{Config, ExecutorKind};

use crate::api::Heard;
use crate::harness::{IMAGE, TestWorker, names_in};

/// Runs the tests of this file once for each executor.
macro_rules! on_each_executor {
    ($($name:ident),* $(,)?) => {
        mod docker {
            $(#[tokio::test] async fn $name() { super::$name(super::ExecutorKind::Docker).await; })*
        }
        mod process {
            $(#[tokio::test] async fn $name() { super::$name(super::ExecutorKind::Process).await; })*
        }
    };
}

on_each_executor!(
    the_exit_code_is_the_result,
    inputs_outputs_and_environment_are_there,
    every_line_of_both_streams_arrives_in_order,
    a_script_over_its_time_that_ignores_the_stop_signal_is_killed,
    a_cancelled_job_ends_with_all_its_processes,
    a_drain_waits_and_a_stop_releases,
    a_log_that_is_not_taken_blocks_its_writer,
    stderr_can_be_made_to_mean_failure,
    what_cannot_start_is_the_jobs_fault,
);

/// Sets the executor, and a folder of scripts that contains a shell, so that both executors run the same command lines.
fn choose(config: &mut Config, kind: ExecutorKind) {
    config.executor = kind;
    if kind == ExecutorKind::Process {
        let scripts = config.data_directory.clone().unwrap().with_file_name("scripts");
        std::fs::create_dir_all(&scripts).unwrap();
        let shell = scripts.join("sh");
        std::fs::write(&shell, "#!/bin/sh\nexec /bin/sh \"$@\"\n").unwrap();
        std::fs::set_permissions(&shell, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(scripts.join("plain.sh"), "echo plain $1").unwrap();
        std::fs::write(scripts.join("data.txt"), "no script").unwrap();
        std::os::unix::fs::symlink("/bin/sh", scripts.join("outside")).unwrap();
        config.scripts = Some(scripts);
    }
}

/// The image of a job: an image for containers, and a word that has no meaning for processes.
fn image(kind: ExecutorKind) -> &'static str {
    if kind == ExecutorKind::Process { "none" } else { IMAGE }
}

/// A definition that runs a shell script.
fn script(kind: ExecutorKind, text: &str) -> Value {
    let mut definition = crate::harness::script(text);
    definition["image"] = image(kind).into();
    definition
}

async fn start(kind: ExecutorKind) -> TestWorker {
    TestWorker::start_with(|config| choose(config, kind)).await
}

fn open_gate(worker: &TestWorker) {
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
}

async fn the_exit_code_is_the_result(kind: ExecutorKind) {
    let worker = start(kind).await;
    for code in [0, 3] {
        let (_, finish) = worker.run(&script(kind, &format!("exit {code}"))).await;
        assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(code)));
    }
    let (_, finish) = worker.run(&script(kind, "kill -KILL $$")).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(137)));
    worker.drain().await;
}

async fn inputs_outputs_and_environment_are_there(kind: ExecutorKind) {
    let worker = start(kind).await;
    let mut definition = script(kind, "echo $GREETING; cat $JOB_INPUTS/a/b > $JOB_OUTPUTS/c; echo $JOB_ID");
    definition["inputs"] = json!({ "a/b": { "value": "hello" } });
    definition["env"] = json!({ "GREETING": "hi" });
    let (job, finish) = worker.run(&definition).await;
    assert_eq!(worker.api.text(&job, false), format!("hi\n{job}\n"));
    assert_eq!(finish.result.outputs["c"].value, "aGVsbG8=");
    worker.drain().await;
}

async fn every_line_of_both_streams_arrives_in_order(kind: ExecutorKind) {
    let worker = start(kind).await;
    let (job, _) = worker.run(&script(kind, "for i in $(seq 1 3000); do echo $i; echo e$i >&2; done; printf last")).await;
    let out = (1..=3000).map(|i| i.to_string()).chain(["last".to_owned()]);
    assert!(worker.api.text(&job, false).lines().eq(out));
    assert!(worker.api.text(&job, true).lines().eq((1..=3000).map(|i| format!("e{i}"))));
    worker.drain().await;
}

async fn a_script_over_its_time_that_ignores_the_stop_signal_is_killed(kind: ExecutorKind) {
    let worker = start(kind).await;
    let definition = script(kind, "trap \"\" TERM; echo kept > $JOB_OUTPUTS/a; echo up; while :; do sleep 0.1; done");
    let job = worker.api.submit_for(&definition, "500ms");
    let finish = worker.api.finish_of(&job).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::TimedOut, Some(137)));
    assert!(finish.result.outputs.contains_key("a"));
    worker.drain().await;
}

async fn a_cancelled_job_ends_with_all_its_processes(kind: ExecutorKind) {
    let worker = start(kind).await;
    let program = "(while :; do echo x >> $JOB_CACHE/beat; sleep 0.05; done) & echo up; wait";
    let job = worker.api.submit(&script(kind, program));
    worker.api.until_logged(&job, "up").await;
    worker.api.with(|heard| heard.claims.clear());
    worker.api.cancel(&job);
    // The job's share of the machine becomes free when all its processes have ended.
    let whole = |heard: &mut Heard| heard.claims.last().is_some_and(|claim| claim.free.cpus > 1.5).then_some(());
    worker.api.until("a claim with all that the worker has", whole).await;
    let beat = worker.data().join("cache").join(worker.config.queue.qid().to_string()).join("beat");
    let length = || std::fs::metadata(&beat).unwrap().len();
    let at_the_end = length();
    worker.run(&script(kind, "sleep 0.3")).await;
    assert_eq!(length(), at_the_end, "no process of the cancelled job writes on");
    worker.drain().await;
}

async fn a_drain_waits_and_a_stop_releases(kind: ExecutorKind) {
    let worker = start(kind).await;
    let job = worker.api.submit(&script(kind, "echo up; until [ -e $JOB_CACHE/go ]; do sleep 0.05; done"));
    worker.api.until_logged(&job, "up").await;
    worker.shutdown.drain.cancel();
    open_gate(&worker);
    let api = worker.api.clone();
    worker.drain().await;
    assert_eq!(api.finish_of(&job).await.reason, Reason::Success);

    let worker = start(kind).await;
    let job = worker.api.submit(&script(kind, "echo up; sleep 600"));
    worker.api.until_logged(&job, "up").await;
    let (api, data) = (worker.api.clone(), worker.data());
    let _folder = {
        worker.shutdown.stop.cancel();
        worker.end().await
    };
    api.with(|heard| assert!(heard.released.contains_key(&job) && heard.finished.is_empty()));
    if kind == ExecutorKind::Process {
        assert_eq!(names_in(&data.join("processes")), Vec::<String>::new());
    }
}

async fn a_log_that_is_not_taken_blocks_its_writer(kind: ExecutorKind) {
    let worker = start(kind).await;
    worker.api.with(|heard| heard.holds_logs = true);
    let line = "x".repeat(1023);
    let job = worker.api.submit(&script(kind, &format!("yes {line} | head -n 8000; touch $JOB_CACHE/written")));
    worker.api.until("a log request", |heard| (heard.n_log_requests > 0).then_some(())).await;
    let beats = worker.api.with(|heard| heard.heartbeats.len());
    worker.api.until("some more heartbeats", |heard| (heard.heartbeats.len() > beats + 5).then_some(())).await;
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    assert!(!cache.join("written").exists(), "8 MiB do not fit in what is buffered on the way");
    worker.api.with(|heard| heard.holds_logs = false);
    worker.api.finish_of(&job).await;
    assert!(cache.join("written").exists());
    let lines = worker.api.lines(&job);
    assert!(lines.len() == 8_000 && lines.iter().all(|found| found.0 == line));
    worker.drain().await;
}

async fn stderr_can_be_made_to_mean_failure(kind: ExecutorKind) {
    let worker = TestWorker::start_with(|config| {
        choose(config, kind);
        config.stderr_fails = true;
    })
    .await;
    let (_, finish) = worker.run(&script(kind, "echo fine")).await;
    assert_eq!(finish.reason, Reason::Success);
    let (_, finish) = worker.run(&script(kind, "echo oh >&2")).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Error, Some(0)));
    assert!(finish.message.unwrap().contains("stderr"));
    worker.drain().await;
}

async fn what_cannot_start_is_the_jobs_fault(kind: ExecutorKind) {
    let worker = start(kind).await;
    let commands: &[&str] = match kind {
        ExecutorKind::Docker => &["'open quote"],
        ExecutorKind::Process => &["no-such-script", "../scripts/../sh2", "/bin/sh", "outside", "data.txt", "", "'open quote"],
    };
    for command in commands {
        let (_, finish) = worker.run(&json!({ "image": image(kind), "command": command })).await;
        assert_eq!(finish.reason, Reason::Error, "{command}");
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_script_without_execute_permission_runs_by_its_ending() {
    let worker = start(ExecutorKind::Process).await;
    let (job, finish) = worker.run(&json!({ "image": "none", "command": "plain.sh 1" })).await;
    assert_eq!((finish.result.status_code, worker.api.text(&job, false).as_str()), (Some(0), "plain 1\n"));
    worker.drain().await;
}

#[tokio::test]
async fn a_file_with_an_absolute_name_needs_a_container() {
    let worker = start(ExecutorKind::Process).await;
    let definition = json!({ "image": "none", "command": "plain.sh", "configFiles": { "/etc/x": { "value": "a" } } });
    let (_, finish) = worker.run(&definition).await;
    assert!(finish.message.unwrap().contains("without containers"));
    worker.drain().await;
}

#[tokio::test]
async fn a_container_job_whose_command_names_a_script_goes_back_to_the_queue_and_runs_nowhere() {
    let worker = start(ExecutorKind::Process).await;
    let job = worker.api.submit(&json!({ "image": IMAGE, "command": "plain.sh 1" }));
    worker.api.until("it goes back", |heard| heard.released.contains_key(&job).then_some(())).await;
    assert_eq!(worker.api.text(&job, false), "", "nothing of it ran");
    worker.stop().await;
}
