//! Images that are not present yet.

use protocol::{EndFault, Reason, Step};
use serde_json::json;

use crate::harness::{IMAGE, TestWorker, docker, ensure_image, rootfs};
use crate::registry::Registry;

#[tokio::test]
async fn a_pull_that_fails_gives_the_registrys_words() {
    let worker = TestWorker::start_with(|config| config.images.retry_for = Some("2s".parse().unwrap())).await;
    // Nothing listens at this address.
    let job = worker.api.submit(&json!({ "image": "127.0.0.1:1/none:v1", "command": "true" }));
    let release = worker.api.release_of(&job).await;
    assert_eq!((release.code.as_deref(), release.fault), (Some("pull-failed"), Some(EndFault::Network)));
    assert!(release.message.unwrap().contains("connection refused"));
    worker.api.with(|heard| {
        let chunks: Vec<_> = heard.logs[&job].values().collect();
        assert!(chunks.iter().all(|chunk| chunk.step == Step::Pull));
        let lines: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.lines).collect();
        assert!(lines[0].text.contains("pulling 127.0.0.1:1/none:v1"));
        assert!(lines.last().unwrap().text.contains("connection refused"));
    });
    worker.drain().await;
}

/// Pushes an image to the registry and removes it from the engine. Returns its name.
async fn pushed(registry: &Registry) -> String {
    ensure_image().await;
    let image = format!("{}/busy:v1", registry.address);
    docker(&["tag", IMAGE, &image]);
    docker(&["push", &image]);
    docker(&["rmi", &image]);
    image
}

#[tokio::test]
async fn an_absent_image_is_pulled_once_for_two_jobs_with_its_progress_in_the_build_log() {
    let registry = Registry::start();
    let image = pushed(&registry).await;
    let worker = TestWorker::start().await;
    let definition = json!({ "image": image, "command": "echo pulled" });
    let jobs = [worker.api.submit(&definition), worker.api.submit(&definition)];
    let mut n_pulls = 0;
    for job in &jobs {
        let finish = worker.api.finish_of(job).await;
        assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(0)), "{:?}", finish.message);
        let text = worker.api.text(job, false);
        n_pulls += text.matches("pulling ").count();
        assert!(text.ends_with("pulled\n"));
        assert!(!text.contains("pulling ") || text.contains("Digest: sha256:"), "{text}");
    }
    assert_eq!(n_pulls, 1);
    docker(&["rmi", &image]);
    worker.drain().await;
}

#[tokio::test]
async fn a_tag_that_is_not_there_is_a_job_error() {
    let registry = Registry::start();
    let worker = TestWorker::start().await;
    let (_, finish) = worker.run(&json!({ "image": format!("{}/none:v1", registry.address), "command": "true" })).await;
    assert_eq!((finish.code.as_deref(), finish.fault), (Some("image-not-found"), Some(EndFault::Job)));
    let message = finish.message.unwrap();
    assert!(finish.reason == Reason::Error && message.contains("manifest unknown"), "{message}");
    worker.drain().await;
}

/// Puts an existing image into a list that claims a platform that no machine here has.
async fn list_for_another_platform(registry: &str, name: &str) {
    let (http, url) = (reqwest::Client::new(), format!("http://{registry}/v2/{name}/manifests"));
    let (single, list) =
        ("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json");
    let found = http.get(format!("{url}/v1")).header("accept", single).send().await.unwrap();
    let digest = found.headers()["docker-content-digest"].to_str().unwrap().to_owned();
    let size = found.bytes().await.unwrap().len();
    let entry = json!({ "mediaType": single, "size": size, "digest": digest,
        "platform": { "architecture": "s390x", "os": "linux" } });
    let body = json!({ "schemaVersion": 2, "mediaType": list, "manifests": [entry] });
    let put = http.put(format!("{url}/elsewhere")).header("content-type", list).body(body.to_string()).send().await.unwrap();
    assert_eq!(put.status(), 201, "{}", put.text().await.unwrap());
}

#[tokio::test]
async fn an_image_that_the_registry_has_for_other_platforms_goes_back_and_both_are_named() {
    let registry = Registry::start();
    pushed(&registry).await;
    list_for_another_platform(&registry.address, "busy").await;
    let worker = TestWorker::start().await;
    let elsewhere = format!("{}/busy:elsewhere", registry.address);
    let from = json!({ "build": { "dockerfile": format!("FROM {elsewhere}\nRUN true\n") }, "command": "true" });
    for definition in [json!({ "image": elsewhere, "command": "true" }), from] {
        let job = worker.api.submit(&definition);
        let release = worker.api.release_of(&job).await;
        let told = (release.code.as_deref(), release.fault);
        assert_eq!(told, (Some("image-no-platform"), Some(EndFault::Machine)), "a machine of the other platform may run it");
        let message = release.message.unwrap();
        assert!(
            message.contains("linux/s390x")
                && message.contains(&format!(
                    "linux/{}",
                    std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64")
                )),
            "{message}"
        );
        let told = worker.api.text(&job, false) + &worker.api.text(&job, true);
        assert!(told.contains("linux/s390x"), "its log says it too: {told}");
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_registry_that_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let worker =
        TestWorker::start_with(|config| config.images.pull_timeout = Some(protocol::Duration(std::time::Duration::from_secs(2))))
            .await;
    let image = format!("{}/none:v1", silent.local_addr().unwrap());
    let job = worker.api.submit(&json!({ "image": image, "command": "true" }));
    let release = worker.api.release_of(&job).await;
    assert_eq!((release.code.as_deref(), release.fault), (Some("pull-silent"), Some(EndFault::Network)));
    assert!(release.message.unwrap().contains("sent nothing for 2s"));
    worker.drain().await;
}

#[tokio::test]
async fn a_name_that_would_reach_another_call_of_the_engine_is_refused() {
    let worker = TestWorker::start().await;
    for image in ["../containers/x?force=1", "a/../../containers/x/json#", "http://a/b", "a b", "--output=/"] {
        let (job, finish) = worker.run(&json!({ "image": image, "command": "true" })).await;
        let message = finish.message.unwrap();
        assert!(finish.reason == Reason::Error && message.contains("is not an image reference"), "{message}");
        assert!(!worker.api.text(&job, false).contains("pulling"), "the engine was not asked");
    }
    worker.drain().await;
}

#[tokio::test]
async fn an_image_is_imported_again_only_when_it_differs() {
    let name = format!("asman-worker-test/import-{}:v1", std::process::id());
    let id = || docker(&["images", "-q", "--no-trunc", &name]);
    worker::import_image(&name, rootfs("one")).await.unwrap();
    let first = id();
    worker::import_image(&name, rootfs("one")).await.unwrap();
    assert_eq!(id(), first);
    worker::import_image(&name, rootfs("two")).await.unwrap();
    assert_ne!(id(), first);
    docker(&["rmi", &name, &first]);
}
