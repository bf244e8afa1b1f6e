//! Private images, and the logins of the worker's owner.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::{EndFault, Reason};
use serde_json::json;
use tempfile::TempDir;

use crate::builds::{dockerfile, forget, nonce, succeeded};
use crate::harness::{IMAGE, TestWorker, docker, ensure_image};
use crate::registry::{REGISTRY_LOGIN, Registry};

/// Pushes the test's image to a private registry and removes it from this machine's engine.
fn publish(registry: &Registry) -> String {
    let image = format!("{}/private:v1", registry.address);
    let folder = auths(&registry.address);
    docker(&["tag", IMAGE, &image]);
    docker(&["--config", folder.path().to_str().unwrap(), "push", "--quiet", &image]);
    docker(&["rmi", &image]);
    image
}

/// The file that `docker login` writes if there is no program that keeps logins.
fn auths(registry: &str) -> TempDir {
    let (user, password) = REGISTRY_LOGIN;
    let auth = STANDARD.encode(format!("{user}:{password}"));
    settings(&json!({ "auths": { registry: { "auth": auth } } }).to_string())
}

fn settings(json: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), json).unwrap();
    folder
}

/// Makes a program that keeps the login, in the PATH of the processes that this process starts.
fn keeper(folder: &Path, registry: &str) {
    let (user, password) = REGISTRY_LOGIN;
    let program = folder.join("docker-credential-asman-test");
    let answer = format!(r#"{{"ServerURL":"{registry}","Username":"{user}","Secret":"{password}"}}"#);
    let none = "credentials not found in native keychain";
    let script =
        format!("#!/bin/sh\nread server\nif [ \"$server\" = {registry} ]; then echo '{answer}'; else echo {none}; exit 1; fi\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn worker_with(folder: &TempDir, change: impl FnOnce(&mut worker::Config)) -> TestWorker {
    let folder = folder.path().to_owned();
    TestWorker::start_with(move |config| {
        config.images.docker_config = Some(folder);
        change(config);
    })
    .await
}

/// Runs a job whose image can be pulled only with the login.
async fn runs(worker: &TestWorker, image: &str) {
    let (job, finish) = worker.run(&json!({ "image": image, "command": "echo opened" })).await;
    assert!(succeeded(&finish), "{:?}", finish.message);
    let said = worker.api.text(&job, false) + &worker.api.text(&job, true);
    assert!(said.contains("opened") && !said.contains(REGISTRY_LOGIN.1), "{said}");
    crate::harness::remove_image(image).await;
}

#[tokio::test]
async fn the_owners_login_opens_private_images_for_the_owners_jobs_and_builds() {
    ensure_image().await;
    let registry = Registry::start_private();
    let image = publish(&registry);
    let folder = auths(&registry.address);
    let worker = worker_with(&folder, |_| ()).await;
    runs(&worker, &image).await;
    for step in STEPS {
        let (job, built) = builds_from(&worker, &image, step).await;
        let seen = docker(&["image", "inspect", &built]) + &docker(&["history", "--no-trunc", &built]);
        assert!(!seen.contains(REGISTRY_LOGIN.1) && !worker.api.text(&job, true).contains(REGISTRY_LOGIN.1), "{seen}");
        forget(&worker, &job).await;
    }
    worker.drain().await;
}

/// A Dockerfile for the classic builder, and one that only `BuildKit` can build.
const STEPS: [&str; 2] = ["RUN echo made > /made", "RUN --mount=type=tmpfs,target=/t echo made > /made"];

/// Builds an image whose base can be pulled only with the login. Returns the job and the image's name.
async fn builds_from(worker: &TestWorker, image: &str, step: &str) -> (String, String) {
    let text = dockerfile(&nonce(), step).replace(IMAGE, image);
    let (job, finish) = worker.run(&json!({ "build": { "dockerfile": text }, "command": "cat /made" })).await;
    assert!(succeeded(&finish), "{step}: {:?}\n{}", finish.message, worker.api.text(&job, true));
    let built = worker.api.text(&job, false).lines().find_map(|line| line.strip_prefix("building ").map(str::to_owned)).unwrap();
    // BuildKit stores a base image in its own cache.
    let _ = Command::new("docker").args(["rmi", image]).output().unwrap();
    (job, built)
}

#[tokio::test]
async fn a_login_that_a_program_keeps_is_asked_for_there() {
    ensure_image().await;
    let registry = Registry::start_private();
    let image = publish(&registry);
    let programs = tempfile::tempdir().unwrap();
    keeper(programs.path(), &registry.address);
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let one = json!({ "credHelpers": { registry.address.as_str(): "asman-test" } }).to_string();
    let all = json!({ "auths": { registry.address.as_str(): {} }, "credsStore": "asman-test" }).to_string();
    // PATH is a variable of the whole process, so each case runs in a separate process.
    for json in [one, all] {
        let folder = settings(&json);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "logins::with_a_program", "--ignored"]).env("PATH", &path);
        command.env("TEST_DOCKER_CONFIG", folder.path()).env("TEST_PRIVATE_IMAGE", &image);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{json}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[tokio::test]
#[ignore = "run by the test that sets its path"]
async fn with_a_program() {
    let [folder, image] = ["TEST_DOCKER_CONFIG", "TEST_PRIVATE_IMAGE"].map(|name| std::env::var(name).unwrap());
    let worker = TestWorker::start_with(|config| config.images.docker_config = Some(folder.into())).await;
    runs(&worker, &image).await;
    for step in STEPS {
        let (job, _) = builds_from(&worker, &image, step).await;
        forget(&worker, &job).await;
    }
    worker.drain().await;
}

#[tokio::test]
async fn strangers_and_owners_who_say_so_get_nothing_of_the_login() {
    ensure_image().await;
    let registry = Registry::start_private();
    let image = publish(&registry);
    let folder = auths(&registry.address);
    let allowed = registry.address.parse().unwrap();
    let for_strangers = worker_with(&folder, |config| {
        config.isolation.untrusted = true;
        config.isolation.runtime = Some("runc".to_owned());
        config.isolation.allow_registry = vec![allowed];
    })
    .await;
    let without = worker_with(&folder, |config| config.images.docker_login = worker::DockerLogin::None).await;
    for worker in [for_strangers, without] {
        for definition in [
            json!({ "image": image, "command": "true" }),
            json!({ "build": { "dockerfile": format!("FROM {image}") }, "command": "true" }),
        ] {
            let (_, finish) = worker.run(&definition).await;
            let message = finish.message.unwrap();
            assert!(finish.reason == Reason::Error && message.contains("no basic auth credentials"), "{message}");
        }
        worker.drain().await;
    }
}

#[tokio::test]
async fn a_job_is_not_to_blame_for_a_login_whose_program_is_not_there() {
    ensure_image().await;
    let registry = Registry::start_private();
    let image = publish(&registry);
    let folder = settings(r#"{"credsStore":"asman-test-gone"}"#);
    let worker = worker_with(&folder, |_| ()).await;
    let job = worker.api.submit(&json!({ "image": image, "command": "true" }));
    let release = worker.api.release_of(&job).await;
    assert_eq!((release.code.as_deref(), release.fault), (Some("login-unavailable"), Some(EndFault::Settings)), "{release:?}");
    let said = worker.api.text(&job, true);
    assert!(
        said.contains("docker-credential-asman-test-gone, which stores the logins of this machine, is not installed"),
        "{said}"
    );
    worker.drain().await;
}
