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
async fn a_chunk_whose_answer_is_lost_is_not_doubled() {
    let worker = TestWorker::start().await;
    worker.api.with(|heard| heard.loses_log_answers = true);
    let (job, _) = worker.run(&script("seq 1 20000")).await;
    assert!(worker.api.text(&job, false).lines().eq((1..=20_000).map(|i| i.to_string())));
    worker.api.with(|heard| assert_eq!(heard.n_log_requests, 2 * heard.logs[&job].len(), "every chunk was sent twice"));
    worker.drain().await;
}

#[tokio::test]
async fn a_log_over_its_bound_ends_with_a_note_and_the_job_goes_on() {
    let worker = TestWorker::start().await;
    let line = "x".repeat(1023);
    let (job, finish) = worker.run(&script(&format!("yes {line} | head -n 20000; exit 4"))).await;
    assert_eq!(finish.result.status_code, Some(4));
    let lines = worker.api.lines(&job);
    assert_eq!(lines.len(), 10 * 1024 + 1);
    assert!(lines.last().unwrap().0.contains("truncated"));
    worker.drain().await;
}

#[tokio::test]
async fn a_fenced_log_ends_the_job() {
    let worker = TestWorker::start().await;
    worker.api.with(|heard| heard.fences_logs = true);
    worker.api.submit(&script("echo up; sleep 60"));
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
