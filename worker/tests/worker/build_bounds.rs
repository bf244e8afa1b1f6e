//! The limits of builds, and which names a stranger's image and Dockerfile may contain.

use protocol::Reason;
use serde_json::{Value, json};

use crate::builds::{dockerfile, failure, forget, left_of, nonce, succeeded};
use crate::faults::outcome;
use crate::harness::TestWorker;

/// A worker for strangers that builds images. With gVisor, this needs an engine with gVisor as its default runtime.
async fn for_strangers(registries: &[&str]) -> TestWorker {
    let registries = registries.iter().map(|host| host.parse().unwrap()).collect();
    TestWorker::start_with(|config| {
        config.isolation.untrusted = true;
        config.isolation.runtime = Some("runc".to_owned());
        config.isolation.allow_registry = registries;
        config.images.retry_for = Some("1s".parse().unwrap());
    })
    .await
}

async fn refusal(worker: &TestWorker, definition: &Value) -> String {
    let (_, finish) = worker.run(definition).await;
    assert_eq!(finish.reason, Reason::Error, "{finish:?}");
    finish.message.unwrap()
}

#[tokio::test]
async fn a_build_that_writes_more_than_it_may_in_one_step_or_in_many_is_stopped_and_leaves_nothing() {
    let worker = TestWorker::start_with(|config| config.isolation.disk = "24m".to_owned()).await;
    let fill = |mib: u32| format!("RUN dd if=/dev/zero of=/f{mib} bs=1M count={mib} 2>/dev/null");
    for steps in [format!("{}; sleep 300", fill(40)), format!("{}\n{}\nRUN sleep 300", fill(13), fill(14))] {
        let nonce = nonce();
        let message = failure(&worker, json!({ "dockerfile": dockerfile(&nonce, &steps) })).await;
        assert!(message.contains("more than its limit of") && message.contains("24.0 MiB, and was stopped"), "{message}");
        assert_eq!(left_of(&nonce), (String::new(), String::new()));
    }
    // Within the limit, a step may print the same words as the builder, without an effect.
    let nonce = nonce();
    let said = format!("{}; echo ' ---> Running in 0123456789ab'; echo ' ---> aaaaaaaaaaaa'; sleep 1", fill(5));
    let (job, finish) = worker.run(&json!({ "build": { "dockerfile": dockerfile(&nonce, &said) }, "command": "true" })).await;
    assert!(succeeded(&finish), "{finish:?}");
    forget(&worker, &job).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_stranger_names_no_registry_of_the_workers_network_unless_its_owner_did() {
    let worker = for_strangers(&["127.0.0.1:1"]).await;
    for registry in ["localhost:5000", "127.0.0.1:2", "10.1.2.3:5000", "169.254.169.254", "192.168.0.1"] {
        let image = format!("{registry}/library/x:v1");
        let expected = format!("this worker serves strangers and pulls nothing from {registry}");
        let copies = format!("FROM scratch\nCOPY --from={image} / /");
        for definition in [
            json!({ "image": image, "command": "true" }),
            json!({ "build": { "dockerfile": format!("FROM {image}") } }),
            json!({ "build": { "dockerfile": copies } }),
            json!({ "build": { "dockerfile": "ARG FROM_WHERE=alpine\nFROM $FROM_WHERE", "buildArgs": [format!("FROM_WHERE={image}")] } }),
        ] {
            let message = refusal(&worker, &definition).await;
            assert!(message.starts_with(&expected) && message.contains("--allow-registry"), "{definition}: {message}");
        }
    }
    let message = refusal(&worker, &json!({ "build": { "dockerfile": "FROM scratch\nADD http://10.0.0.1/x /x" } })).await;
    assert!(message.contains("does not fetch URLs for ADD"), "{message}");
    // The engine tries this address itself and finds no server there.
    for definition in
        [json!({ "image": "127.0.0.1:1/x", "command": "true" }), json!({ "build": { "dockerfile": "FROM 127.0.0.1:1/x" } })]
    {
        let release = outcome(&worker, &definition).await.expect_err("a release");
        assert!(release.message.unwrap().contains("connection refused"));
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_strangers_build_from_an_image_of_the_engine_is_built() {
    let worker = for_strangers(&[]).await;
    let text = dockerfile(&nonce(), "RUN echo made > /made");
    let (job, finish) = worker.run(&json!({ "build": { "dockerfile": text }, "command": "cat /made" })).await;
    assert!(succeeded(&finish), "{finish:?}");
    forget(&worker, &job).await;
    worker.drain().await;
}
