//! Whose fault a failure is: registries that fail for a while, and words of a stranger, which prove nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use protocol::{EndFault, FinishRequest, Reason, ReleaseRequest};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::builds::succeeded;
use crate::harness::{IMAGE, TestWorker, docker, ensure_image, is_podman, remove_image, script};
use crate::registry::Registry;

/// How a registry fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Status(u16),
    /// It closes the connection.
    Eof,
}

/// A registry behind a proxy that fails some requests for a manifest and then passes on all requests.
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

    /// Pushes the test's image directly to the registry, not through the proxy.
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
        // An engine that tries TLS first gets an error at once.
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

pub(crate) fn assert_error(finish: &FinishRequest, code: &str, fault: EndFault) {
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
    let finish = worker.api.finish_of(&job).await;
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
    let finish = worker.api.finish_of(&job).await;
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

/// Every phrase with which an engine reports its own faults, in every member that the author of a job can write.
#[tokio::test]
async fn a_strangers_words_are_not_taken_for_the_engines_trouble() {
    let worker = TestWorker::start().await;
    for words in ["no space left on device", "No such image", "network asman-x", "dial unix", "storage-opt", "context canceled"] {
        let workdir = json!({ "image": IMAGE, "command": "true", "workdir": words });
        let finish = outcome(&worker, &workdir).await.expect("an end");
        assert_error(&finish, "container-refused", EndFault::Job);
        // The message of Podman's runtime does not contain the folder.
        assert!(finish.message.unwrap().contains(if is_podman() { "Cwd must be an absolute path" } else { words }));
        let build = json!({ "build": { "dockerfile": format!("FROM {IMAGE}\nARG A\nRUN echo {words}; false"), "buildArgs": [format!("A={words}")] }, "command": "true" });
        let finish = outcome(&worker, &build).await.expect("an end");
        assert_error(&finish, "build-failed", EndFault::Job);
    }
    let file = json!({ "image": IMAGE, "command": "true", "workdir": "/bin/busybox" });
    assert_error(&outcome(&worker, &file).await.expect("an end"), "container-refused", EndFault::Job);
    let entrypoint = json!({ "image": IMAGE, "entrypoint": "'no space left on device'", "env": { "A": "dial unix" } });
    let finish = outcome(&worker, &entrypoint).await.expect("an end");
    assert_error(&finish, "command-not-found", EndFault::Job);
    // The worker has not paused, so the next job runs.
    assert!(succeeded(&worker.run(&script("true")).await.1));
    worker.drain().await;
}
