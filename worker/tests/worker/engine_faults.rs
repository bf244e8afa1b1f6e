//! Engines that refuse something that every job needs, or do not answer for a long time.

use std::path::Path;

use protocol::EndFault;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::builds::succeeded;
use crate::engine::{run_apart, socket};
use crate::harness::{TestWorker, script};
use crate::life::{free_address, until_state};
use crate::tampering::{self, Tamper};

/// Passes every request to the real engine, except requests to `path` that contain `holds`: these get the answer `said`.
fn play(path: &'static str, holds: &'static str, said: &'static str) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(socket()).unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(pass(client, path, holds, said));
        }
    })
}

async fn pass(client: UnixStream, path: &str, holds: &str, said: &str) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = UnixStream::connect(Path::new("/var/run/docker.sock")).await?.into_split();
    let (own, mut answers) = tokio::sync::mpsc::channel::<()>(1);
    let ask = async {
        let mut piece = vec![0; 64 * 1024];
        loop {
            let n = from_client.read(&mut piece).await?;
            if n == 0 {
                return to_engine.shutdown().await;
            }
            let text = String::from_utf8_lossy(&piece[..n]);
            if text.lines().next().is_some_and(|line| line.starts_with("POST ") && line.contains(path)) && text.contains(holds) {
                own.send(()).await.map_err(std::io::Error::other)?;
                continue;
            }
            to_engine.write_all(&piece[..n]).await?;
        }
    };
    let answer = async {
        let mut piece = vec![0; 64 * 1024];
        loop {
            tokio::select! {
                n = from_engine.read(&mut piece) => match n? {
                    0 => return to_client.shutdown().await,
                    n => to_client.write_all(&piece[..n]).await?,
                },
                Some(()) = answers.recv() => to_client.write_all(said.as_bytes()).await?,
            }
        }
    };
    tokio::try_join!(ask, answer).map(|_| ())
}

#[test]
fn an_engine_that_cannot_do_what_every_job_needs_is_the_machines_fault_and_claims_stop() {
    run_apart("engine_faults::refusing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by an_engine_that_cannot_do_what_every_job_needs_is_the_machines_fault_and_claims_stop"]
async fn refusing() {
    let engine = tampering::Engine::start(Tamper::Nothing);
    let address = free_address();
    let worker = TestWorker::start_with(|config| config.life.health_address = Some(address)).await;
    assert!(succeeded(&worker.run(&script("true")).await.1));
    engine.now(Tamper::Refuse("\"NanoCpus\":"));
    let job = worker.api.submit(&script("echo it could before"));
    let release = worker.api.release_of(&job).await;
    assert_eq!((release.code.as_deref(), release.fault), (Some("machine-cannot-run"), Some(EndFault::Settings)));
    until_state(address, "waiting").await;
    let n_claims = worker.api.with(|heard| heard.claims.len());
    let next = worker.api.submit(&script("true"));
    assert_eq!(until_state(address, "waiting").await["jobs"], 0);
    worker.api.with(|heard| assert_eq!(heard.claims.len(), n_claims));
    // The engine works again, so the worker claims and runs the job that waited. It did not claim it before.
    engine.now(Tamper::Nothing);
    assert!(succeeded(&worker.api.finish_of(&next).await));
    worker.drain().await;
}

#[test]
fn an_engine_that_unpacks_in_silence_gives_the_job_back_and_blames_no_registry() {
    run_apart("engine_faults::unpacking");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by an_engine_that_unpacks_in_silence_gives_the_job_back_and_blames_no_registry"]
async fn unpacking() {
    let word = "{\"status\":\"Extracting\",\"id\":\"a1\"}\r\n";
    let said = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{word}\r\n",
        word.len()
    );
    let _engine = play("/images/create", "fromImage", said.leak());
    let worker = TestWorker::start_with(|config| config.images.pull_timeout = Some("500ms".parse().unwrap())).await;
    let job = worker.api.submit(&json!({ "image": "127.0.0.1:1/slow:v1", "command": "true" }));
    let release = worker.api.release_of(&job).await;
    assert_eq!((release.code.as_deref(), release.fault), (Some("unpack-stalled"), Some(EndFault::Machine)));
    assert!(release.message.unwrap().contains("the engine gave no progress of unpacking"));
    worker.drain().await;
}
