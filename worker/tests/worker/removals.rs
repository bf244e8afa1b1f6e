//! Ended containers, and an engine that removes them slowly or refuses to remove them.

use protocol::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::{run_apart, socket};
use crate::harness::{TestWorker, containers_of, script};

const REFUSAL: &str = r#"{"message":"driver failed to remove root filesystem: device or resource busy"}"#;

/// What the engine does with a request to remove a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removals {
    Wait,
    /// It refuses this many times.
    Refuse(u32),
    Pass,
}

/// An engine that handles removals as the test says. All other calls go to the real engine.
struct Engine {
    removals: watch::Sender<Removals>,
    _connections: JoinSet<()>,
}

impl Engine {
    fn start(removals: Removals) -> Self {
        let listener = UnixListener::bind(socket()).unwrap();
        let removals = watch::Sender::new(removals);
        let given = removals.clone();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut all = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                all.spawn(pass(client, given.clone()));
            }
        });
        Self { removals, _connections: connections }
    }

    fn now(&self, removals: Removals) {
        self.removals.send_replace(removals);
    }
}

/// Passes the requests of a client on. It assumes that each read contains at least the first line of a request.
async fn pass(mut client: UnixStream, removals: watch::Sender<Removals>) -> std::io::Result<()> {
    let mut engine = UnixStream::connect("/var/run/docker.sock").await?;
    let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        tokio::select! {
            n = client.read(&mut asked) => match n? {
                0 => return engine.shutdown().await,
                n if asked[..n].starts_with(b"DELETE /containers/") && !is_passed(&removals).await => {
                    let head = format!("HTTP/1.1 500 Error\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", REFUSAL.len());
                    client.write_all((head + REFUSAL).as_bytes()).await?;
                }
                n => engine.write_all(&asked[..n]).await?,
            },
            n = engine.read(&mut answered) => match n? {
                0 => return client.shutdown().await,
                n => client.write_all(&answered[..n]).await?,
            },
        }
    }
}

async fn is_passed(removals: &watch::Sender<Removals>) -> bool {
    let mut changes = removals.subscribe();
    let now = *changes.wait_for(|now| *now != Removals::Wait).await.unwrap();
    match now {
        Removals::Refuse(1) => removals.send_replace(Removals::Pass),
        Removals::Refuse(n) => removals.send_replace(Removals::Refuse(n - 1)),
        _ => return true,
    };
    false
}

async fn until_more_beats(worker: &TestWorker) {
    let beats = worker.api.with(|heard| heard.heartbeats.len());
    worker.api.until("heartbeats", |heard| (heard.heartbeats.len() > beats + 4).then_some(())).await;
}

#[test]
fn the_next_job_runs_while_the_container_of_the_last_one_is_removed_and_a_drain_waits() {
    run_apart("removals::slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the_next_job_runs_while_the_container_of_the_last_one_is_removed_and_a_drain_waits"]
async fn slow() {
    let engine = Engine::start(Removals::Pass);
    let worker = TestWorker::start_with(|config| config.jobs = Some(1)).await;
    // The worker's removals at its start are over, and they were not changed.
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    engine.now(Removals::Wait);
    for n in 1..=3 {
        assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
        assert_eq!(containers_of(&worker.data()).lines().count(), n);
    }
    worker.shutdown.drain.cancel();
    until_more_beats(&worker).await;
    worker.api.with(|heard| assert!(heard.heartbeats.last().unwrap().jobs.is_empty(), "what is finished is not held"));
    assert!(!worker.is_over(), "it waits for the engine");
    engine.now(Removals::Pass);
    worker.end().await;
}

#[test]
fn so_many_ended_containers_are_left_behind_and_no_more() {
    run_apart("removals::many");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by so_many_ended_containers_are_left_behind_and_no_more"]
async fn many() {
    let engine = Engine::start(Removals::Pass);
    let worker = TestWorker::start_with(|config| config.jobs = Some(1)).await;
    // The worker's removals at its start are over, and they were not changed.
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    engine.now(Removals::Wait);
    let jobs = [(); 18].map(|()| worker.api.submit(&script("true")));
    for job in &jobs[..17] {
        assert_eq!(worker.api.finish_of(job).await.reason, Reason::Success);
    }
    // Sixteen shares are free again; the share of the last job is not free yet.
    until_more_beats(&worker).await;
    worker.api.with(|heard| assert_eq!(heard.waiting.len(), 1));
    assert_eq!(containers_of(&worker.data()).lines().count(), 17);
    engine.now(Removals::Pass);
    assert_eq!(worker.api.finish_of(&jobs[17]).await.reason, Reason::Success);
    worker.drain().await;
}

#[test]
fn a_removal_that_the_engine_refuses_is_tried_again() {
    run_apart("removals::refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_removal_that_the_engine_refuses_is_tried_again"]
async fn refused() {
    let engine = Engine::start(Removals::Pass);
    let worker = TestWorker::start().await;
    // The worker's removals at its start are over, and they were not changed.
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    engine.now(Removals::Refuse(2));
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
    worker.drain().await;
    assert_eq!(*engine.removals.borrow(), Removals::Pass, "it was asked more than twice");
}

#[test]
fn a_container_that_may_still_run_keeps_its_share_until_it_is_gone() {
    run_apart("removals::running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_container_that_may_still_run_keeps_its_share_until_it_is_gone"]
async fn running() {
    let engine = Engine::start(Removals::Pass);
    let worker = TestWorker::start_with(|config| config.jobs = Some(1)).await;
    // The worker's removals at its start are over, and they were not changed.
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    engine.now(Removals::Wait);
    let mut definition = script("true");
    definition["configFiles"] = serde_json::json!({ "/bin/busybox/below": { "value": "a file is not a folder" } });
    let (_, finish) = worker.run(&definition).await;
    assert_eq!(finish.reason, Reason::Error, "{:?}", finish.message);
    let next = worker.api.submit(&script("true"));
    until_more_beats(&worker).await;
    worker.api.with(|heard| assert_eq!(heard.waiting.len(), 1, "the engine may have started it all the same"));
    engine.now(Removals::Pass);
    assert_eq!(worker.api.finish_of(&next).await.reason, Reason::Success);
    worker.drain().await;
}
