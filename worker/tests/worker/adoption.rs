//! Jobs that outlive their worker: the worker is killed with SIGKILL, and another one starts with the same data directory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::Reason;

use crate::api::{FakeApi, Heard};
use crate::harness::{IMAGE, TestWorker, Victim, containers_of, docker, eventually, script};

/// Starts a worker, waits until the job has logged a text, and kills the worker. Returns what the next worker needs.
async fn killed(definition: &serde_json::Value, logged: &str) -> (FakeApi, tempfile::TempDir, String) {
    killed_in(definition, logged, "1h").await
}

async fn killed_in(definition: &serde_json::Value, logged: &str, max_duration: &str) -> (FakeApi, tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let api = FakeApi::start().await;
    let victim = Victim::start(&api, &folder.path().join("data")).await;
    let job = api.submit_for(definition, max_duration);
    api.until_logged(&job, logged).await;
    victim.kill();
    api.with(|heard| heard.heartbeats.clear());
    (api, folder, job)
}

async fn successor(api: &FakeApi, folder: &tempfile::TempDir) -> TestWorker {
    let data = folder.path().join("data");
    TestWorker::start_on(api.clone(), |config| config.data_directory = Some(data)).await
}

fn open_gate(worker: &TestWorker) {
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
}

#[tokio::test]
async fn a_job_outlives_its_worker_and_no_line_is_lost_or_doubled() {
    // The program pauses, because otherwise it would write faster than the engine can read its record, or more than a log may contain.
    let program = "i=0; while [ ! -e /job-cache/go ]; do i=$((i+1)); echo out $i; echo err $i >&2; \
                   [ $((i%10)) != 0 ] || usleep 10000; done; echo $i > /outputs/n; exit 7";
    let (api, folder, job) = killed(&script(program), "out 1000").await;
    let worker = successor(&api, &folder).await;
    let before = api.with(|heard| heard.logs[&job].len());
    api.until("the log to go on", |heard| (heard.logs[&job].len() > before + 2).then_some(())).await;
    open_gate(&worker);
    let finish = api.finish_of(&job).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(7)));
    let n = STANDARD.decode(finish.result.outputs["n"].value.as_str().unwrap()).unwrap();
    let n: usize = String::from_utf8(n).unwrap().trim().parse().unwrap();
    assert!(n > 1000);
    for (is_stderr, word) in [(false, "out"), (true, "err")] {
        let text = api.text(&job, is_stderr);
        let expected = (1..=n).map(|i| format!("{word} {i}"));
        assert!(
            text.lines().eq(expected),
            "{word}: {} lines of {n}, the last is {:?}",
            text.lines().count(),
            text.lines().last()
        );
    }
    api.with(|heard| {
        assert!(heard.heartbeats.first().is_some_and(|beat| beat.jobs.len() == 1), "the first heartbeat names the job");
        assert!(heard.released.is_empty());
    });
    worker.drain().await;
}

#[tokio::test]
async fn what_a_job_writes_while_its_record_is_read_is_not_lost() {
    let program = "echo up; until [ -e /job-cache/flood ]; do usleep 10000; done; seq 1 30000; touch /job-cache/flooded; \
                   until [ -e /job-cache/go ]; do usleep 10000; done; seq 30001 30100; echo end >&2; printf last";
    let (api, folder, job) = killed(&script(program), "up").await;
    let data = folder.path().join("data");
    let cache = std::fs::read_dir(data.join("cache")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(cache.join("flood"), "").unwrap();
    eventually("the flood's end", || cache.join("flooded").exists()).await;
    let worker = successor(&api, &folder).await;
    api.until("the log to go on", |heard| (heard.logs[&job].len() > 1).then_some(())).await;
    // Lets the job end while the engine is still busy with the many lines.
    open_gate(&worker);
    let finish = api.finish_of(&job).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(0)));
    let expected = ["up".to_owned()].into_iter().chain((1..=30_100).map(|i| i.to_string())).chain(["last".to_owned()]);
    let text = api.text(&job, false);
    assert!(text.lines().eq(expected), "{} lines, the last is {:?}", text.lines().count(), text.lines().last());
    assert_eq!(api.text(&job, true), "end\n");
    worker.drain().await;
}

#[tokio::test]
async fn a_job_that_ends_while_no_worker_is_there_is_finished_by_the_next_one() {
    let (api, folder, job) = killed(&script("echo up; sleep 1; echo last; exit 4"), "up").await;
    let id = containers_of(&folder.path().join("data"));
    docker(&["wait", &id]);
    let worker = successor(&api, &folder).await;
    let finish = api.finish_of(&job).await;
    assert_eq!((finish.result.status_code, api.text(&job, false).as_str()), (Some(4), "up\nlast\n"));
    let took = finish.result.duration.unwrap();
    assert!((900.0..10_000.0).contains(&took), "the container's own time, not that of the worker's absence: {took}");
    worker.drain().await;
}

#[tokio::test]
async fn a_job_whose_lease_is_over_is_not_finished_by_its_old_worker() {
    let (api, folder, job) = killed(&script("echo up; sleep 600"), "up").await;
    api.with(|heard| heard.forgotten.insert(job.clone()));
    let worker = successor(&api, &folder).await;
    let is_gone = |heard: &mut Heard| {
        let last = heard.heartbeats.last().is_some_and(|beat| beat.jobs.is_empty());
        (heard.heartbeats.len() > 1 && last).then_some(())
    };
    api.until("a heartbeat without the job", is_gone).await;
    worker.drain().await;
    api.with(|heard| assert!(heard.finished.is_empty() && heard.released.is_empty()));
}

#[tokio::test]
async fn the_time_limit_counts_from_the_start_of_the_container() {
    let (api, folder, job) = killed_in(&script("echo up; sleep 600"), "up", "2s").await;
    let worker = successor(&api, &folder).await;
    let finish = api.finish_of(&job).await;
    assert_eq!(finish.reason, Reason::TimedOut);
    worker.drain().await;
}

#[tokio::test]
async fn a_job_taken_over_keeps_its_share_of_the_machine() {
    let mut definition = script("echo up; sleep 600");
    definition["requirements"] = serde_json::json!({ "cpus": 1.5 });
    let (api, folder, job) = killed(&definition, "up").await;
    api.with(|heard| heard.claims.clear());
    let worker = successor(&api, &folder).await;
    let claim = api.until("a claim", |heard| heard.claims.first().cloned()).await;
    assert!((claim.free.cpus - 0.5).abs() < 0.01, "{}", claim.free.cpus);
    worker.stop().await;
    api.with(|heard| assert!(heard.released.contains_key(&job)));
}

#[tokio::test]
async fn what_never_started_is_removed() {
    let (api, folder, job) = killed(&script("echo up; sleep 600"), "up").await;
    let id = containers_of(&folder.path().join("data"));
    let label = format!("asman.data={}", crate::harness::data_label(&folder.path().join("data")));
    docker(&["rm", "-f", &id]);
    let unstarted =
        docker(&["create", "--label", &label, "--label", &format!("asman.job={job}"), "--label", "asman.epoch=1", IMAGE, "true"]);
    api.with(|heard| heard.claims.clear());
    let worker = successor(&api, &folder).await;
    api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    assert!(!docker(&["ps", "-aq", "--no-trunc"]).contains(&unstarted));
    worker.stop().await;
}
