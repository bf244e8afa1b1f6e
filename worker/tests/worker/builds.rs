//! Builds from the text of a Dockerfile, and where built images are kept.

use protocol::{FinishRequest, Reason, Step};
use serde_json::{Value, json};

use crate::harness::{IMAGE, TestWorker, docker, ensure_image, is_podman, remove_image};
use crate::registry::Registry;

/// A name that separates the images of one test run from all others.
pub(crate) fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A Dockerfile whose layers and containers have a label, because its first step sets one.
pub(crate) fn dockerfile(nonce: &str, rest: &str) -> String {
    format!("FROM {IMAGE}\nLABEL asman.test={nonce}\n{rest}\n")
}

/// What is left of a Dockerfile's build: containers, and images with their layers.
pub(crate) fn left_of(nonce: &str) -> (String, String) {
    let label = format!("label=asman.test={nonce}");
    (docker(&["ps", "-aq", "--filter", &label]), docker(&["images", "-aq", "--filter", &label]))
}

/// Removes the image that a job has built.
pub(crate) async fn forget(worker: &TestWorker, job: &str) {
    let log = worker.api.text(job, false);
    let built = log.lines().filter_map(|line| line.strip_prefix("building ")).collect::<Vec<_>>();
    assert_eq!(built.len(), 1, "{log}");
    remove_image(built[0]).await;
}

pub(crate) fn lines_of(worker: &TestWorker, job: &str, step: Step) -> String {
    worker.api.with(|heard| {
        let chunks = heard.logs.get(job).into_iter().flat_map(|chunks| chunks.values()).filter(|chunk| chunk.step == step);
        chunks.flat_map(|chunk| &chunk.lines).flat_map(|line| [line.shown(), "\n"]).collect()
    })
}

/// Whether the only line of the build log says that the image was built before.
fn was_built_before(worker: &TestWorker, job: &str) -> bool {
    let said = lines_of(worker, job, Step::Build);
    said.starts_with("asman/build:") && said.ends_with(" was built before\n") && said.lines().count() == 1
}

pub(crate) fn succeeded(finish: &FinishRequest) -> bool {
    finish.reason == Reason::Success && finish.result.status_code == Some(0)
}

/// Runs a job that must fail before its container starts. Returns its message.
pub(crate) async fn failure(worker: &TestWorker, build: Value) -> String {
    let (_, finish) = worker.run(&json!({ "build": build, "command": "true" })).await;
    assert_eq!(finish.reason, Reason::Error);
    finish.message.unwrap()
}

#[tokio::test]
async fn a_dockerfile_is_built_once_for_two_jobs_and_its_words_are_in_the_build_log() {
    let worker = TestWorker::start().await;
    let text = dockerfile(&nonce(), "RUN echo said while built; echo to stderr >&2\nRUN echo made > /made");
    let definition = json!({ "build": { "dockerfile": text }, "command": "cat /made" });
    let jobs = [worker.api.submit(&definition), worker.api.submit(&definition)];
    let mut n_builds = 0;
    for job in &jobs {
        let finish = worker.api.finish_of(job).await;
        assert!(succeeded(&finish), "{:?}", finish.message);
        let built = lines_of(&worker, job, Step::Build);
        n_builds += built.matches("building asman/build:").count();
        assert_eq!(lines_of(&worker, job, Step::Running), "made\n");
        let is_told = ["said while built\n", "to stderr\n", "RUN echo made"].iter().all(|words| built.contains(words));
        assert!(is_told || was_built_before(&worker, job), "{built}");
    }
    assert_eq!(n_builds, 1);
    let (third, finish) = worker.run(&definition).await;
    assert!(succeeded(&finish) && was_built_before(&worker, &third));
    let builder = jobs.iter().find(|job| !was_built_before(&worker, job)).unwrap();
    forget(&worker, builder).await;
    worker.drain().await;
}

#[tokio::test]
async fn arguments_target_and_limits_reach_the_build() {
    let worker = TestWorker::start().await;
    let stages = format!(
        "ARG WHO=nobody\nRUN echo hello $WHO > /who; cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max; \
         df -k /dev/shm\nFROM {IMAGE} AS last\nRUN exit 9"
    );
    let text = dockerfile(&nonce(), &stages).replace(&format!("FROM {IMAGE}\nLABEL"), &format!("FROM {IMAGE} AS first\nLABEL"));
    let definition = json!({
        "build": { "dockerfile": text, "buildArgs": ["WHO=a b=c"], "target": "first", "platform": "linux/amd64" },
        "command": "cat /who", "shmSize": "32m", "requirements": { "memory": "96m" },
    });
    let (job, finish) = worker.run(&definition).await;
    assert!(succeeded(&finish), "{:?}", finish.message);
    assert_eq!(lines_of(&worker, &job, Step::Running), "hello a b=c\n");
    let built = lines_of(&worker, &job, Step::Build);
    assert!(built.contains(&(96 * 1024 * 1024).to_string()) && built.contains("32768"), "{built}");
    forget(&worker, &job).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_build_that_fails_names_the_step_and_the_code_and_leaves_nothing() {
    let worker = TestWorker::start().await;
    let nonce = nonce();
    let message = failure(&worker, json!({ "dockerfile": dockerfile(&nonce, "RUN echo fine\nRUN echo bad; exit 7") })).await;
    assert!(
        message.contains("at step 4/5 : RUN echo bad; exit 7")
            && message.contains(if is_podman() { "status 7" } else { "code: 7" }),
        "{message}"
    );
    assert_eq!(left_of(&nonce), (String::new(), String::new()));
    let message = failure(&worker, json!({ "dockerfile": dockerfile(&nonce, ""), "target": "none" })).await;
    assert!(message.contains("none"), "{message}");
    let message = failure(&worker, json!({ "dockerfile": "NONSENSE a" })).await;
    assert!(message.contains(if is_podman() { "no FROM" } else { "unknown instruction" }), "{message}");
    worker.drain().await;
}

#[tokio::test]
async fn a_cancelled_build_stops_within_seconds_and_leaves_nothing() {
    let worker = TestWorker::start().await;
    let nonce = nonce();
    let text = dockerfile(&nonce, "RUN echo layer\nRUN echo begun; sleep 300");
    let job = worker.api.submit(&json!({ "build": { "dockerfile": text }, "command": "true" }));
    worker.api.until_logged(&job, "begun").await;
    assert_ne!(left_of(&nonce), (String::new(), String::new()));
    let cancelled = std::time::Instant::now();
    worker.api.cancel(&job);
    // The drain waits for the end of the build.
    worker.drain().await;
    assert!(cancelled.elapsed() < crate::api::DEADLINE, "{:?}", cancelled.elapsed());
    assert_eq!(left_of(&nonce), (String::new(), String::new()));
}

#[tokio::test]
async fn a_build_obeys_the_jobs_longest_run() {
    let worker = TestWorker::start().await;
    let nonce = nonce();
    let definition = json!({ "build": { "dockerfile": dockerfile(&nonce, "RUN sleep 300") }, "command": "true" });
    let job = worker.api.submit_for(&definition, "3s");
    let finish = worker.api.finish_of(&job).await;
    let message = finish.message.unwrap();
    let expected =
        "the image was not built within 3s, the longest run that its submitter and the queue allow, and the build was stopped";
    assert_eq!((finish.reason, finish.result.is_timed_out, message.as_str()), (Reason::TimedOut, true, expected));
    worker.drain().await;
    assert_eq!(left_of(&nonce), (String::new(), String::new()));
}

#[tokio::test]
async fn a_built_image_is_kept_in_the_owners_registry_and_fetched_from_there() {
    ensure_image().await;
    let registry = Registry::start();
    let prefix = format!("{}/lab/builds", registry.address);
    let worker = TestWorker::start_with(|config| config.images.build_registry = Some(prefix.clone())).await;
    let text = dockerfile(&nonce(), "RUN echo kept > /kept");
    let definition = json!({ "build": { "dockerfile": text }, "command": "cat /kept" });
    let (job, finish) = worker.run(&definition).await;
    assert!(succeeded(&finish), "{:?}", finish.message);
    assert!(lines_of(&worker, &job, Step::Pull).contains("the registry does not have it"));
    assert!(lines_of(&worker, &job, Step::Push).contains(&format!("pushed {prefix}:")), "{}", worker.api.text(&job, true));
    let built = worker.api.text(&job, false).lines().find_map(|line| line.strip_prefix("building ").map(str::to_owned)).unwrap();
    remove_image(&built).await;
    let (again, finish) = worker.run(&definition).await;
    assert!(succeeded(&finish) && lines_of(&worker, &again, Step::Build).is_empty(), "{}", worker.api.text(&again, true));
    assert!(lines_of(&worker, &again, Step::Running).contains("kept"));
    assert_eq!(docker(&["images", "-q", &prefix]), "", "only the key's own name stays");
    // When the registry has gone, the log says so in one line, and the job still runs.
    drop(registry);
    remove_image(&built).await;
    let (third, finish) = worker.run(&definition).await;
    assert!(succeeded(&finish), "{:?}", finish.message);
    assert!(worker.api.text(&third, true).contains("the image stays on this worker, because it cannot be pushed"));
    remove_image(&built).await;
    worker.drain().await;
}

#[tokio::test]
async fn an_owner_can_turn_builds_off() {
    let worker = TestWorker::start_with(|config| config.images.no_build = true).await;
    let message = failure(&worker, json!({ "dockerfile": format!("FROM {IMAGE}") })).await;
    assert!(message.contains("turned builds off"), "{message}");
    // Some clients send an empty `build` together with an image.
    let definition = json!({ "image": IMAGE, "build": {}, "command": "echo runs" });
    let (job, finish) = worker.run(&definition).await;
    assert!(succeeded(&finish) && worker.api.text(&job, false) == "runs\n");
    worker.drain().await;
}
