//! The checks that a worker makes before its first claim, and after an outage of the engine.

use std::path::Path;
use std::process::Command;

use protocol::Reason;
use serde_json::json;
use worker::{Config, Error, Finding, Need, Shutdown};

use crate::api::FakeApi;
use crate::engine::run_apart;
use crate::harness::{
    TestWorker, containers_of, docker, ensure_image, is_podman, names_in, networks_of, rules_of, sandboxes_of, script,
};
use crate::life::{free_address, until_state};
use crate::tampering::{Engine, Tamper};

/// Starts a worker that cannot work. Checks that it claims nothing and leaves nothing behind. Returns its error.
pub(crate) async fn refused(data: &Path, change: impl FnOnce(&mut Config)) -> String {
    let api = FakeApi::start().await;
    let waiting = api.submit(&script("true"));
    let mut config = Config::for_queue("test queue".parse().unwrap(), &api.url);
    config.data_directory = Some(data.to_owned());
    change(&mut config);
    let error = worker::run(config, Shutdown::new()).await.unwrap_err();
    assert!(matches!(error, Error::Machine(_)), "{error}");
    api.with(|heard| assert!(heard.claims.is_empty() && !heard.finished.contains_key(&waiting)));
    assert_eq!([containers_of(data), sandboxes_of(data), networks_of(data), rules_of(data)], [const { String::new() }; 4]);
    assert_eq!(names_in(&data.join("jobs")), Vec::<String>::new());
    error.to_string()
}

#[test]
fn a_data_directory_that_the_engine_does_not_see_keeps_a_worker_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    for hide in ["mount -t tmpfs none $hidden", "mkdir $hidden/other && mount --bind $hidden/other $hidden"] {
        let run = format!("{hide} && exec $test --exact start::hidden --ignored --nocapture");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &run]).env("test", std::env::current_exe().unwrap());
        let output = command.env("hidden", folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}

#[tokio::test]
#[ignore = "run by a_data_directory_that_the_engine_does_not_see_keeps_a_worker_from_starting"]
async fn hidden() {
    let data = Path::new(&std::env::var("hidden").unwrap()).join("data");
    let said = refused(&data, |_| ()).await;
    assert!(said.contains(&data.display().to_string()) && said.contains("mount the data directory at the same path"), "{said}");
}

#[tokio::test]
async fn gpus_that_the_engine_cannot_give_keep_a_worker_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let said = refused(&folder.path().join("data"), |config| config.gpus = "1".parse().unwrap()).await;
    assert!(
        said.contains("the gpus of --gpus")
            && said.contains(if is_podman() { "use a Docker engine" } else { "container toolkit" }),
        "{said}"
    );
}

#[test]
fn limits_that_the_engine_refuses_or_ignores_keep_a_worker_from_starting() {
    run_apart("start::limits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by limits_that_the_engine_refuses_or_ignores_keep_a_worker_from_starting"]
async fn limits() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let engine = Engine::start(Tamper::Refuse("\"NanoCpus\":"));
    let said = refused(&data, |_| ()).await;
    assert!(said.contains("cannot limit a job (NanoCPUs can not be set"), "{said}");
    let names: [(&[&str], &str); 3] =
        [(&["\"NanoCpus\":"], "cpus"), (&["\"Memory\":", "\"MemorySwap\":"], "memory"), (&["\"PidsLimit\":"], "processes")];
    for (names, what) in names {
        engine.now(Tamper::Zero(names));
        let said = refused(&data, |_| ()).await;
        assert!(said.contains(&format!("a container's {what} have no limit")), "{said}");
    }
}

#[test]
fn another_engine_that_answers_after_a_while_is_looked_at_before_claims_begin_again() {
    run_apart("start::another_engine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by another_engine_that_answers_after_a_while_is_looked_at_before_claims_begin_again"]
async fn another_engine() {
    let engine = Engine::start(Tamper::Nothing);
    let address = free_address();
    let worker = TestWorker::start_with(|config| config.life.health_address = Some(address)).await;
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success);
    drop(engine);
    until_state(address, "waiting").await;
    let engine = Engine::start(Tamper::Refuse("\"NanoCpus\":"));
    let waiting = worker.api.submit(&script("echo ran"));
    let mut said = String::new();
    let deadline = std::time::Instant::now() + crate::api::DEADLINE;
    while !said.contains("cannot limit a job") {
        assert!(std::time::Instant::now() < deadline, "{said}");
        said = until_state(address, "waiting").await["reason"].to_string();
    }
    worker.api.with(|heard| assert_eq!((heard.waiting.len(), heard.released.contains_key(&waiting)), (1, false)));
    engine.now(Tamper::Nothing);
    assert_eq!(worker.api.finish_of(&waiting).await.reason, Reason::Success);
    worker.drain().await;
}

#[tokio::test]
async fn a_look_finds_what_a_start_would_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::for_queue("q".parse().unwrap(), "http://localhost:1");
    config.data_directory = Some(folder.path().join("not/there"));
    let found = worker::examine(&config).await.unwrap();
    let fine: Vec<_> = found.needs.iter().filter(|(_, found)| matches!(found, Finding::Fine(_))).map(|(need, _)| *need).collect();
    assert_eq!(fine, [Need::Container, Need::Data, Need::Limits, Need::Confinement]);
    assert!(matches!(found.guard, Finding::Fine(_)), "{:?}", found.guard);
    config.gpus = "1".parse().unwrap();
    let found = worker::examine(&config).await.unwrap();
    assert!(matches!(found.needs.last(), Some((Need::Gpus, Finding::Problem(_)))), "{:?}", found.needs);
    assert_eq!(names_in(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_brings_its_own_init_gets_no_second_one() {
    ensure_image().await;
    let image = image_with_init();
    let definition = json!({ "image": image, "command": "sh -c 'echo ran'" });
    for (init, code) in [(worker::Init::Auto, 0), (worker::Init::Always, 100), (worker::Init::Never, 0)] {
        let worker = TestWorker::start_with(|config| config.init = init).await;
        let (job, finish) = worker.run(&definition).await;
        assert_eq!(finish.result.status_code, Some(code), "{init:?}: {}", worker.api.text(&job, true));
        // The worker adds an init to every other image, and the program is then a child of the init.
        let (job, _) = worker.run(&script("echo $$")).await;
        assert_eq!(worker.api.text(&job, false) == "1\n", init == worker::Init::Never, "{init:?}");
        worker.drain().await;
    }
    docker(&["rmi", &image]);
}

/// An image whose init, like that of s6-overlay, refuses to run unless it is the first process.
fn image_with_init() -> String {
    let image = format!("asman-worker-test:init-{}", std::process::id());
    let text = r#"printf '#!/bin/sh\n[ $$ = 1 ] || exit 100\nexec "$@"\n' > /init; chmod 755 /init"#;
    let container = docker(&["create", crate::harness::IMAGE, "sh", "-c", text]);
    docker(&["start", "-a", &container]);
    docker(&["commit", "--change", r#"ENTRYPOINT ["/init"]"#, &container, &image]);
    docker(&["rm", &container]);
    image
}
