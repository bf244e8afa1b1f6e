//! Builds from a Dockerfile's text and from archives.

use protocol::{FinishRequest, Reason, Step};
use serde_json::{Value, json};

use crate::contexts::{gzip, tar, zip};
use crate::harness::{IMAGE, Registry, TestWorker, docker, ensure_image, remove_image};

/// A name that separates the images of one test run from all others.
pub(crate) fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A Dockerfile whose layers and containers have a label from the first step on.
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

/// Whether the build log says only this.
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
    assert!(message.contains("at step 4/5 : RUN echo bad; exit 7") && message.contains("code: 7"), "{message}");
    assert_eq!(left_of(&nonce), (String::new(), String::new()));
    let message = failure(&worker, json!({ "dockerfile": dockerfile(&nonce, ""), "target": "none" })).await;
    assert!(message.contains("none"), "{message}");
    let message = failure(&worker, json!({ "dockerfile": "NONSENSE a" })).await;
    assert!(message.contains("unknown instruction"), "{message}");
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
    assert!(cancelled.elapsed().as_secs() < 20, "{:?}", cancelled.elapsed());
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
async fn archives_are_known_by_their_bytes_and_taken_with_or_without_a_folder_at_the_top() {
    let worker = TestWorker::start().await;
    let nonce = nonce();
    let text = dockerfile(&nonce, "COPY . /context");
    let sub = text.replace("COPY . /context", "COPY . /context\nRUN cat /context/part");
    let ignored = "secret\n**/*.tmp";
    let files = [("Dockerfile", text.as_str()), ("part", "1\n"), ("secret", "2"), ("a/x.tmp", "3"), (".dockerignore", ignored)];
    let below: Vec<_> = files.iter().map(|(name, text)| (format!("top-1/{name}"), *text)).collect();
    let below: Vec<_> = below.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let deep = [("top/app/Dockerfile", sub.as_str()), ("top/app/part", "deep\n"), ("top/other", "5")];
    for (name, bytes, folder, listed) in [
        ("context.zip", gzip(&tar(&files)), "", ".dockerignore\nDockerfile\na\npart\n"),
        ("context.tar.gz", zip(&below), "", ".dockerignore\nDockerfile\na\npart\n"),
        ("context", gzip(&tar(&deep)), "./app/", "Dockerfile\npart\n"),
    ] {
        worker.api.with(|heard| heard.blobs.insert(name.to_owned(), bytes.into()));
        let context = format!("{}/f/{name}", worker.api.url);
        let build = json!({ "context": context, "buildContext": folder });
        let (job, finish) = worker.run(&json!({ "build": build, "command": "ls -A /context" })).await;
        assert!(succeeded(&finish), "{name}: {:?}", finish.message);
        // An empty folder may be sent or not.
        let listing = lines_of(&worker, &job, Step::Running);
        assert_eq!(listing.replace("a\n", ""), listed.replace("a\n", ""), "{name}");
        assert!(lines_of(&worker, &job, Step::Clone).contains(&format!("fetching {context}")));
        forget(&worker, &job).await;
    }
    worker.drain().await;
}

#[tokio::test]
async fn an_archive_that_changes_is_built_anew_and_a_text_replaces_its_dockerfile() {
    let worker = TestWorker::start().await;
    let nonce = nonce();
    let definition = |extra: Value| {
        let mut build = json!({ "context": format!("{}/f/moving", worker.api.url) });
        build.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({ "build": build, "command": "cat /part" })
    };
    let text = dockerfile(&nonce, "COPY part /part");
    let other = dockerfile(&nonce, "COPY . /context\nRUN ls -A /context > /part");
    for (part, extra, said) in [
        ("one", json!({}), "one"),
        ("two", json!({}), "two"),
        ("two", json!({ "dockerfile": other }), "Dockerfile\npart\n"),
        ("two", json!({ "filename": "Dockerfile" }), "two"),
    ] {
        let bytes = gzip(&tar(&[("Dockerfile", &text), ("part", part)]));
        worker.api.with(|heard| heard.blobs.insert("moving".to_owned(), bytes.into()));
        let (job, finish) = worker.run(&definition(extra)).await;
        assert!(succeeded(&finish), "{:?}", finish.message);
        assert_eq!(lines_of(&worker, &job, Step::Running).trim_end(), said.trim_end());
        forget(&worker, &job).await;
    }
    worker.drain().await;
}

#[tokio::test]
async fn hostile_contexts_are_job_errors() {
    let worker = TestWorker::start().await;
    let from = dockerfile(&nonce(), "COPY . /c");
    let from = from.as_str();
    let huge = "#".repeat(300 * 1024);
    let bomb = gzip(&tar(&[("Dockerfile", from), ("zeros", &"\0".repeat(65 << 20))]));
    let archive = |files: &[(&str, &str)]| gzip(&tar(files));
    for (bytes, build, sentence) in [
        (bomb, json!({}), "too large"),
        (archive(&[("Dockerfile", from), ("../escape", "x")]), json!({}), "\"../escape\""),
        (archive(&[("Dockerfile", from), ("/etc/cron.d/x", "x")]), json!({}), "not a relative path"),
        (zip(&[("Dockerfile", from), ("..\\escape", "x")]), json!({}), "not a relative path"),
        (archive(&[("Dockerfile", from), ("l", "-> /etc/passwd")]), json!({}), "links to \"/etc/passwd\""),
        (archive(&[("Dockerfile", from), ("l", "-> ../../etc")]), json!({}), "outside the folder"),
        (archive(&[("Dockerfile", from), ("d", "-> ."), ("d/x", "x")]), json!({}), "a file with the name of its folder"),
        (archive(&[("Dockerfile", &huge)]), json!({}), "larger than 256 KiB"),
        (archive(&[("other", "x")]), json!({}), "no file \"Dockerfile\""),
        (archive(&[("Dockerfile", from)]), json!({ "buildContext": "--output=/" }), "is not a path below the context"),
        (archive(&[("Dockerfile", from)]), json!({ "buildContext": "../.." }), "is not a path below the context"),
        (archive(&[("Dockerfile", from)]), json!({ "buildContext": "none" }), "no folder \"none\""),
        (archive(&[("Dockerfile", from)]), json!({ "filename": "/etc/cron.d/x", "dockerfile": from }), "is not a path below"),
        (archive(&[("Dockerfile", from)]), json!({ "filename": "../../x", "dockerfile": from }), "is not a path below"),
        (b"<html>not found</html>".to_vec(), json!({}), "neither a tar"),
    ] {
        worker.api.with(|heard| heard.blobs.insert("bad".to_owned(), bytes.into()));
        let mut build = build;
        build["context"] = json!(format!("{}/f/bad", worker.api.url));
        let message = failure(&worker, build).await;
        assert!(message.contains(sentence), "{sentence}: {message}");
    }
    for (build, sentence) in [
        (json!({ "dockerfile": huge }), "larger than 256 KiB"),
        (json!({ "context": "git@github.com:a/b" }), "is not an http or https URL"),
        (json!({ "context": "file:///etc" }), "is not an http or https URL"),
        (json!({ "context": format!("{}/f/gone", worker.api.url) }), "no such file"),
        (json!({ "dockerfile": from, "target": "--output=/" }), "target"),
        (json!({}), "neither image nor build"),
    ] {
        let message = failure(&worker, build).await;
        assert!(message.contains(sentence), "{sentence}: {message}");
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_context_and_an_input_may_not_come_from_the_workers_own_network() {
    let api = crate::api::FakeApi::start().await;
    let bytes = gzip(&tar(&[("Dockerfile", &dockerfile(&nonce(), "RUN true"))]));
    api.with(|heard| heard.blobs.insert("context".to_owned(), bytes.into()));
    let worker = TestWorker::start_on(api, |_| ()).await;
    let elsewhere = format!("{}/context", worker.api.elsewhere);
    let redirected = format!("{}/q/a/j/b/outputs/context", worker.api.url);
    for url in [&elsewhere, &redirected, &elsewhere.replace("127.0.0.1", "localhost"), &"http://169.254.169.254/x.zip".to_owned()]
    {
        let message = failure(&worker, json!({ "context": url })).await;
        assert!(message.contains("not public"), "{url}: {message}");
        let definition = json!({ "image": IMAGE, "command": "true", "inputs": { "a": { "type": "url", "value": url } } });
        let message = worker.run(&definition).await.1.message.unwrap();
        assert!(message.contains("not public"), "{url}: {message}");
    }
    // The API's own files may be on a private address, and the worker's owner may open its network.
    worker.api.with(|heard| heard.redirects_downloads = Some(heard_elsewhere(&elsewhere)));
    let own = format!("{}/f/context", worker.api.url);
    let (job, finish) = worker.run(&json!({ "build": { "context": own }, "command": "true" })).await;
    assert!(succeeded(&finish), "{:?}", finish.message);
    worker.shutdown.drain.cancel();
    forget(&worker, &job).await;
    let api = worker.api.clone();
    worker.end().await;
    let open = TestWorker::start_on(api, |config| config.allow_private_urls = true).await;
    let (job, finish) = open.run(&json!({ "build": { "context": redirected }, "command": "true" })).await;
    assert!(succeeded(&finish), "{:?}", finish.message);
    forget(&open, &job).await;
    open.drain().await;
}

fn heard_elsewhere(url: &str) -> String {
    url.rsplit_once('/').unwrap().0.to_owned()
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
    // A registry that is gone causes a log line, and the job still runs.
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
    // Some clients send an empty block beside an image.
    let definition = json!({ "image": IMAGE, "build": {}, "command": "echo runs" });
    let (job, finish) = worker.run(&definition).await;
    assert!(succeeded(&finish) && worker.api.text(&job, false) == "runs\n");
    worker.drain().await;
}
