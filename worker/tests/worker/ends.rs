//! How a job ends.

use protocol::{EndFault, Reason};
use serde_json::json;

use crate::harness::{IMAGE, TestWorker, is_podman, script};

#[tokio::test]
async fn a_non_zero_exit_is_a_success_with_its_code() {
    let worker = TestWorker::start().await;
    let (_, finish) = worker.run(&script("exit 3")).await;
    assert_eq!((finish.reason, finish.result.status_code, finish.message), (Reason::Success, Some(3), None));
    assert!(finish.result.duration.is_some_and(|ms| ms > 0.0) && !finish.result.is_timed_out);
    worker.drain().await;
}

#[tokio::test]
async fn out_of_memory_is_an_error_that_says_the_limit() {
    let worker = TestWorker::start().await;
    let mut definition = script("echo kept > /outputs/a; head -c 200m /dev/zero | tail -c 200m | wc -c; exit 137");
    definition["requirements"] = json!({ "memory": "32m" });
    let (_, finish) = worker.run(&definition).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Error, Some(137)));
    assert!(finish.message.unwrap().contains("more than 32 MiB"));
    assert_eq!(finish.result.error.unwrap()["statusCode"], 137);
    assert!(finish.result.outputs.contains_key("a"));
    worker.drain().await;
}

#[tokio::test]
async fn a_job_that_ignores_the_stop_signal_is_killed_at_its_time_limit() {
    let worker = TestWorker::start().await;
    let definition = script("trap '' TERM; echo kept > /outputs/a; echo up; while :; do sleep 0.1; done");
    let job = worker.api.submit_for(&definition, "500ms");
    let finish = worker.api.finish_of(&job).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::TimedOut, Some(137)));
    assert!(finish.result.is_timed_out && finish.result.outputs.contains_key("a"));
    assert!(worker.api.text(&job, true).contains("longer than 500ms"));
    worker.drain().await;
}

#[tokio::test]
async fn the_workers_own_limit_counts_too() {
    let worker = TestWorker::start_with(|config| config.max_job_duration = "300ms".parse().unwrap()).await;
    let (_, finish) = worker.run(&script("sleep 600")).await;
    let told = (finish.reason, finish.code.as_deref(), finish.fault);
    let expected = (Reason::TimedOut, Some("timed-out-by-worker"), Some(EndFault::Settings));
    assert_eq!(told, expected, "another worker may give it longer");
    assert!(finish.message.unwrap().contains("--max-job-duration"));
    let mut own = script("sleep 61");
    own["maxDuration"] = json!("1s");
    let worker_that_allows_more = TestWorker::start().await;
    let (_, finish) = worker_that_allows_more.run(&own).await;
    assert_eq!((finish.code.as_deref(), finish.fault), (Some("timed-out"), Some(EndFault::Job)));
    worker_that_allows_more.drain().await;
    worker.drain().await;
}

#[tokio::test]
async fn a_cancelled_job_is_stopped_and_nothing_is_finished() {
    let worker = TestWorker::start().await;
    let job = worker.api.submit(&script("echo up; sleep 600"));
    worker.api.until_logged(&job, "up").await;
    worker.api.cancel(&job);
    // The heartbeat leaves out the job when its container is removed.
    let is_gone = |heard: &mut crate::api::Heard| heard.heartbeats.last().is_some_and(|b| b.jobs.is_empty()).then_some(());
    worker.api.until("an empty heartbeat", is_gone).await;
    worker.api.with(|heard| assert!(heard.finished.is_empty() && heard.released.is_empty()));
    worker.drain().await;
}

#[tokio::test]
async fn what_cannot_start_is_an_error_in_dockers_words() {
    let worker = TestWorker::start().await;
    let (job, finish) = worker.run(&json!({ "image": IMAGE, "command": "true", "workdir": "/bin/busybox" })).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Error, None));
    assert!(finish.message.unwrap().contains("not a directory"));
    assert!(worker.api.text(&job, true).contains("not a directory"));
    for (command, code, words) in [
        (
            "no-such-program",
            "command-not-found",
            if is_podman() {
                "failed to exec pid1: No such file or directory"
            } else {
                "exec no-such-program failed: No such file or directory"
            },
        ),
        ("/etc", "command-not-executable", "/etc is a folder"),
        ("./no/such/path", "command-not-found", if is_podman() { "failed to exec pid1" } else { "exec ./no/such/path failed" }),
    ] {
        let (job, finish) = worker.run(&json!({ "image": IMAGE, "command": command, "workdir": "/" })).await;
        assert_eq!((finish.reason, finish.result.status_code, finish.code.as_deref()), (Reason::Error, None, Some(code)));
        let message = finish.result.error.unwrap()["json"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "the engine's words: {message}");
        assert!(worker.api.text(&job, true).contains(words));
    }
    // A shell that does not find a program ends with an exit code of its own, so the result is a normal one.
    let (_, finish) = worker.run(&script("no-such-program")).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(127)));
    worker.drain().await;
}

#[tokio::test]
async fn what_cannot_be_run_is_an_error_with_a_sentence() {
    let worker = TestWorker::start().await;
    for (definition, sentence) in [
        (json!({ "image": IMAGE, "command": "echo 'open" }), "check its quotes"),
        (json!({ "image": "../containers/x?", "command": "a" }), "is not an image reference"),
        (json!({ "build": { "target": "a" } }), "neither a dockerfile nor a context"),
        (json!({ "image": IMAGE, "inputs": { "../x": { "value": "" } } }), "is not usable"),
    ] {
        let (_, finish) = worker.run(&definition).await;
        let message = finish.message.unwrap();
        assert!(finish.reason == Reason::Error && message.contains(sentence), "{message}");
        assert_eq!(finish.result.error.unwrap()["json"]["message"], message);
    }
    worker.drain().await;
}

#[tokio::test]
async fn limits_are_set_inside_the_container() {
    let worker = TestWorker::start().await;
    let cgroup = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max pids/pids.max pids.max";
    let mut definition = script(&format!("{cgroup}; grep -E 'CapEff|NoNewPrivs' /proc/self/status; df /dev/shm | tail -1"));
    definition["requirements"] = json!({ "memory": "64m", "cpus": 0.5 });
    definition["shmSize"] = json!("1m");
    let (job, _) = worker.run(&definition).await;
    let text = worker.api.text(&job, false);
    // Docker's default capabilities, 00000000a80425fb, without NET_RAW (bit 13) and MKNOD (bit 27).
    for expected in ["67108864", "1024", "CapEff:\t00000000a00405fb", "NoNewPrivs:\t1", " 1024 "] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    worker.drain().await;
}
