//! Whose fault a failure is: registries that fail for a while, engines that refuse, and words of a stranger that prove nothing.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use protocol::{EndFault, FinishRequest, Reason, ReleaseRequest};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::builds::succeeded;
use crate::engine::{run_apart, socket};
use crate::harness::{IMAGE, Registry, TestWorker, docker, ensure_image, remove_image, script};
use crate::life::{free_address, until_state};
use crate::tampering::{self, Tamper};

/// How a registry fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Status(u16),
    /// It closes the connection.
    Eof,
}

/// A registry behind a proxy that fails some requests for a manifest, then passes all on.
struct Flaky {
    address: String,
    failures: Arc<Mutex<VecDeque<Failure>>>,
    registry: Registry,
}

impl Flaky {
    async fn start(failures: &[Failure]) -> Self {
        let registry = Registry::start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let failures = Arc::new(Mutex::new(failures.iter().copied().collect::<VecDeque<_>>()));
        let (behind, left) = (registry.address.clone(), Arc::clone(&failures));
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(client, behind.clone(), Arc::clone(&left)));
            }
        });
        Self { address, failures, registry }
    }

    /// Pushes the test's image, which the proxy does not disturb.
    fn hold(&self, name: &str) -> String {
        let image = format!("{}/{name}:v1", self.registry.address);
        docker(&["tag", IMAGE, &image]);
        docker(&["push", &image]);
        docker(&["rmi", &image]);
        format!("{}/{name}:v1", self.address)
    }

    fn n_left(&self) -> usize {
        self.failures.lock().unwrap().len()
    }
}

/// Handles one request per connection.
async fn answer(mut client: TcpStream, behind: String, failures: Arc<Mutex<VecDeque<Failure>>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        // An engine that begins with TLS gets an error at once.
        if client.read_buf(&mut head).await? == 0 || head.starts_with(&[0x16]) {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let failure = if text.contains("/manifests/") { failures.lock().unwrap().pop_front() } else { None };
    match failure {
        Some(Failure::Eof) => return Ok(()),
        Some(Failure::Status(status)) => {
            let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return client.write_all(answer.as_bytes()).await;
        }
        None => {}
    }
    let mut server = TcpStream::connect(behind).await?;
    let text = text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(text.as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

pub(crate) async fn outcome(worker: &TestWorker, definition: &Value) -> Result<FinishRequest, ReleaseRequest> {
    let job = worker.api.submit(definition);
    worker
        .api
        .until("an end", |heard| match (heard.finished.get(&job), heard.released.get(&job)) {
            (Some(finish), _) => Some(Ok(finish.clone())),
            (_, Some(release)) => Some(Err(release.clone())),
            _ => None,
        })
        .await
}

fn assert_error(finish: &FinishRequest, code: &str, fault: EndFault) {
    let said = (finish.reason, finish.code.as_deref(), finish.fault);
    assert_eq!(said, (Reason::Error, Some(code), Some(fault)), "{:?}", finish.message);
    let message = finish.message.clone().unwrap();
    assert_eq!(finish.result.error.as_ref().unwrap()["json"]["message"], message);
}

#[tokio::test]
async fn a_registry_that_fails_for_a_while_costs_a_job_nothing_but_time() {
    ensure_image().await;
    let all = [Failure::Status(503), Failure::Status(503), Failure::Status(429), Failure::Eof];
    let registry = Flaky::start(&all).await;
    let image = registry.hold("pulled");
    let worker = TestWorker::start().await;
    let job = worker.api.submit(&json!({ "image": image, "command": "echo pulled" }));
    let finish = worker.api.finish_of_long(&job).await;
    assert!(succeeded(&finish), "{:?}", finish.message);
    assert_eq!(registry.n_left(), 0);
    assert!(worker.api.text(&job, true).contains("the worker tries again in 1s"), "{}", worker.api.text(&job, true));
    worker.drain().await;
    remove_image(&image).await;
}

#[tokio::test]
async fn so_does_the_registry_of_a_builds_base() {
    ensure_image().await;
    let registry = Flaky::start(&[Failure::Status(503), Failure::Status(500), Failure::Eof]).await;
    let image = registry.hold("base");
    let worker = TestWorker::start().await;
    let text = format!("FROM {image}\nRUN echo manifest unknown > /built");
    let job = worker.api.submit(&json!({ "build": { "dockerfile": text }, "command": "cat /built" }));
    let finish = worker.api.finish_of_long(&job).await;
    assert!(succeeded(&finish), "{:?}", finish.message);
    assert_eq!(registry.n_left(), 0);
    worker.drain().await;
    remove_image(&image).await;
}

#[tokio::test]
async fn a_registry_that_does_not_come_back_gives_the_job_back() {
    let worker = TestWorker::start_with(|config| config.images.retry_for = Some("1s".parse().unwrap())).await;
    let registry = Flaky::start(&[Failure::Status(503); 20]).await;
    let flaky = format!("{}/none:v1", registry.address);
    for (definition, code) in [
        (json!({ "image": flaky, "command": "true" }), "pull-failed"),
        (json!({ "image": "127.0.0.1:1/none:v1", "command": "true" }), "pull-failed"),
        (json!({ "image": "nowhere.invalid/none:v1", "command": "true" }), "pull-failed"),
        (json!({ "build": { "dockerfile": "FROM 127.0.0.1:1/none:v1" }, "command": "true" }), "build-base-unreachable"),
        (json!({ "build": { "dockerfile": format!("FROM {flaky}\nRUN true") }, "command": "true" }), "build-base-unreachable"),
    ] {
        let release = outcome(&worker, &definition).await.expect_err("a release");
        assert_eq!((release.code.as_deref(), release.fault), (Some(code), Some(EndFault::Network)), "{definition}");
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_base_that_the_registry_does_not_know_is_the_jobs_fault() {
    let registry = Registry::start();
    let worker = TestWorker::start().await;
    let text = format!("FROM {}/none:v1", registry.address);
    let (_, finish) = worker.run(&json!({ "build": { "dockerfile": text }, "command": "true" })).await;
    assert_error(&finish, "image-not-found", EndFault::Job);
    worker.drain().await;
}

/// Every phrase of an engine about its own faults, in every member that an author can write.
#[tokio::test]
async fn a_strangers_words_are_not_taken_for_the_engines_trouble() {
    let worker = TestWorker::start().await;
    for words in ["no space left on device", "No such image", "network asman-x", "dial unix", "storage-opt", "context canceled"] {
        let workdir = json!({ "image": IMAGE, "command": "true", "workdir": words });
        let finish = outcome(&worker, &workdir).await.expect("an end");
        assert_error(&finish, "container-refused", EndFault::Job);
        assert!(finish.message.unwrap().contains(words));
        let build = json!({ "build": { "dockerfile": format!("FROM {IMAGE}\nARG A\nRUN echo {words}; false"), "buildArgs": [format!("A={words}")] }, "command": "true" });
        let finish = outcome(&worker, &build).await.expect("an end");
        assert_error(&finish, "build-failed", EndFault::Job);
    }
    let file = json!({ "image": IMAGE, "command": "true", "workdir": "/bin/busybox" });
    assert_error(&outcome(&worker, &file).await.expect("an end"), "container-refused", EndFault::Job);
    let entrypoint = json!({ "image": IMAGE, "entrypoint": "'no space left on device'", "env": { "A": "dial unix" } });
    let finish = outcome(&worker, &entrypoint).await.expect("an end");
    assert_error(&finish, "command-not-found", EndFault::Job);
    // The worker has never paused.
    assert!(succeeded(&worker.run(&script("true")).await.1));
    worker.drain().await;
}

#[tokio::test]
async fn an_image_for_another_platform_is_told_with_both_and_is_not_the_jobs_fault() {
    let folder = tempfile::tempdir().unwrap();
    let image = format!("asman-worker-test/foreign-{}:v1", std::process::id());
    for (architecture, what) in [("arm64", "the image is made"), ("amd64", "the image's program is made")] {
        let file = folder.path().join("image.tar");
        std::fs::write(&file, image_of(&image, architecture, &foreign_rootfs())).unwrap();
        docker(&["load", "-i", file.to_str().unwrap()]);
        let worker = TestWorker::start().await;
        let job = worker.api.submit(&json!({ "image": image, "command": "/program" }));
        let finish = worker.api.finish_of_long(&job).await;
        assert_error(&finish, "image-platform-mismatch", EndFault::Machine);
        let message = finish.message.unwrap();
        assert!(message.contains(what) && message.contains("linux/arm64") && message.contains("linux/amd64"), "{message}");
        worker.drain().await;
        remove_image(&image).await;
    }
}

/// An image for `docker load` that says that it is for this architecture.
fn image_of(name: &str, architecture: &str, layer: &[u8]) -> Vec<u8> {
    let layer_id = format!("sha256:{}", protocol::sha256_hex(layer));
    let config = json!({ "architecture": architecture, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer_id] } });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let mut tar = tar::Builder::new(Vec::new());
    let (config, manifest) = (config.to_string(), manifest.to_string());
    for (path, bytes) in [("config.json", config.as_bytes()), ("layer.tar", layer), ("manifest.json", manifest.as_bytes())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A program with the header of another architecture.
fn foreign_rootfs() -> Vec<u8> {
    let mut program = vec![0; 256];
    program[..20].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 183, 0]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, "program", program.as_slice()).unwrap();
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn a_script_that_cannot_be_run_is_told_why() {
    let worker = TestWorker::start().await;
    let with =
        |script: &str, command: &str| json!({ "image": IMAGE, "command": command, "inputs": { "run.sh": { "value": script } } });
    let copied = "sh -c 'cp /inputs/run.sh /tmp/run.sh; chmod +x /tmp/run.sh; /tmp/run.sh'";
    for (definition, code, words) in [
        (with("#!/bin/sh\r\necho hello\r\n", copied), 127, "run.sh has Windows line ends"),
        (
            with("#!/usr/bin/no-python\nprint(1)\n", copied),
            127,
            "needs the interpreter /usr/bin/no-python, which the image does not have",
        ),
        (with("#!/bin/env no-python\nprint(1)\n", copied), 127, "needs the interpreter no-python, which the image does not have"),
        (with("#!/bin/sh\necho hello\n", "sh -c 'cd /inputs && ./run.sh'"), 126, "is not executable"),
    ] {
        let (job, finish) = worker.run(&definition).await;
        assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(code)), "{definition}");
        let message = finish.message.unwrap_or_default();
        assert!(message.contains(words), "{definition}: {message}");
        assert!(worker.api.text(&job, true).contains(words));
    }
    for (definition, code, words) in [
        (with("#!/bin/sh\necho hello\n", "/inputs/run.sh"), "command-not-executable", "is not executable"),
        (with("", "no-such-program"), "command-not-found", "the image has no program \"no-such-program\""),
    ] {
        let (_, finish) = worker.run(&definition).await;
        assert_error(&finish, code, EndFault::Job);
        assert!(finish.message.unwrap().contains(words), "{definition}");
    }
    let (_, finish) = worker.run(&script("exit 127")).await;
    assert_eq!(finish.message, None, "there is nothing to tell");
    worker.drain().await;
}

/// Passes every request on to the real engine, except requests to this path with this text, which get this answer.
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
    run_apart("faults::refusing");
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
    // The engine works again, and the job that waited runs. It was not claimed before.
    engine.now(Tamper::Nothing);
    assert!(succeeded(&worker.api.finish_of_long(&next).await));
    worker.drain().await;
}

#[test]
fn an_engine_that_unpacks_in_silence_gives_the_job_back_and_blames_no_registry() {
    run_apart("faults::unpacking");
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
