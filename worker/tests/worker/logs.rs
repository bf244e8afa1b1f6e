//! A container's output on its way to the API.

use protocol::limits::LOG_CHUNK_BYTES_MAX;
use protocol::{Reason, Step};

use crate::harness::{TestWorker, script};

#[tokio::test]
async fn every_line_arrives_once_and_in_the_order_of_its_stream() {
    let worker = TestWorker::start().await;
    let program =
        r#"BEGIN { for (i = 0; i < 100000; i++) { print "out " i; if (i % 100 == 0) print "err " i > "/dev/stderr" } }"#;
    let (job, finish) = worker.run(&script(&format!("awk '{program}'"))).await;
    assert_eq!(finish.result.status_code, Some(0));
    let lines = worker.api.lines(&job);
    let of = |is_stderr| lines.iter().filter(move |line| line.1 == is_stderr).map(|line| line.0.clone()).collect::<Vec<_>>();
    assert!(of(false) == (0..100_000).map(|i| format!("out {i}")).collect::<Vec<_>>());
    assert!(of(true) == (0..100_000).step_by(100).map(|i| format!("err {i}")).collect::<Vec<_>>());
    worker.api.with(|heard| {
        for chunk in heard.logs[&job].values() {
            assert!(chunk.lines.iter().map(|line| line.text.len()).sum::<usize>() <= LOG_CHUNK_BYTES_MAX);
            assert_eq!(chunk.step, Step::Running);
        }
    });
    worker.drain().await;
}

#[tokio::test]
async fn the_texts_of_a_stream_joined_are_the_bytes_that_the_program_wrote() {
    let worker = TestWorker::start().await;
    let (out, err) = ("a\\r\\n\\n\\r\\n10%%\\r20%%\\rdone\\nno end", "warn\\r\\n\\ttail\\r");
    let (job, finish) = worker.run(&script(&format!("printf '{out}'; printf '{err}' >&2"))).await;
    assert_eq!(finish.result.status_code, Some(0));
    assert_eq!(worker.api.written(&job, false), "a\r\n\n\r\n10%\r20%\rdone\nno end");
    assert_eq!(worker.api.written(&job, true), "warn\r\n\ttail\r");
    worker.drain().await;
}

#[tokio::test]
async fn a_chunk_whose_answer_is_lost_is_not_doubled() {
    let worker = TestWorker::start().await;
    worker.api.with(|heard| heard.loses_log_answers = true);
    let (job, _) = worker.run(&script("seq 1 20000")).await;
    assert!(worker.api.text(&job, false).lines().eq((1..=20_000).map(|i| i.to_string())));
    worker.api.with(|heard| assert_eq!(heard.n_log_requests, 2 * heard.logs[&job].len(), "every chunk was sent twice"));
    worker.drain().await;
}

#[tokio::test]
async fn a_log_over_its_bound_keeps_its_beginning_and_its_end() {
    let worker = TestWorker::start().await;
    // The output: numbered lines of 1 KiB, and then the reason for the failure.
    let program = r#"BEGIN { for (i = 0; i < 20000; i++) printf "%-1023d\n", i }"#;
    let (job, finish) = worker.run(&script(&format!("awk '{program}'; echo 'the reason is here' >&2; exit 4"))).await;
    assert_eq!(finish.result.status_code, Some(4));
    let lines: Vec<String> = worker.api.lines(&job).into_iter().map(|line| line.0.trim_end().to_owned()).collect();
    let head = 10 * 1024;
    assert!(lines[..head].iter().map(String::as_str).eq((0..head).map(|n| n.to_string()).collect::<Vec<_>>()));
    assert!(lines[head].contains("longer than 10 MiB"), "{}", lines[head]);
    let tail = &lines[head + 2..];
    let n_left_out = 20_001 - head - tail.len();
    let bytes = n_left_out * 1024;
    assert_eq!(lines[head + 1], format!("{n_left_out} lines ({bytes} bytes) of the log are left out here"));
    // The two streams are two pipes, so the engine decides about the order of their last lines.
    assert!(tail.len() == 2048 && tail.iter().any(|line| line == "the reason is here"), "{}", tail.len());
    assert!(tail.iter().any(|line| line == "19999"));
    worker.drain().await;
}

#[tokio::test]
async fn a_fenced_log_ends_the_job() {
    let worker = TestWorker::start().await;
    worker.api.with(|heard| heard.fences_logs = true);
    worker.api.submit(&script("echo up; sleep 600"));
    worker.api.until("a held job", |heard| heard.heartbeats.last().is_some_and(|b| !b.jobs.is_empty()).then_some(())).await;
    worker.api.until("no held job", |heard| heard.heartbeats.last().is_some_and(|b| b.jobs.is_empty()).then_some(())).await;
    worker.api.with(|heard| assert!(heard.finished.is_empty() && heard.released.is_empty()));
    worker.drain().await;
}

#[tokio::test]
async fn returns_and_broken_text_do_not_disturb_the_log() {
    let worker = TestWorker::start().await;
    let (job, finish) = worker.run(&script(r#"printf "5%%\r6%%\r\na\r\n\377b\nlast""#)).await;
    assert_eq!(finish.reason, Reason::Success);
    assert_eq!(worker.api.text(&job, false), "5%\r\n6%\na\n\u{FFFD}b\nlast\n");
    worker.drain().await;
}
