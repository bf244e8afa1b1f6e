//! Jobs that build their image, from the command line to the worker's engine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use support::house::{House, IMAGE, test_database};
use support::{run, text, until};

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// The label of one test's images and containers.
struct Mark(String);

impl Mark {
    fn new() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    fn dockerfile(&self, rest: &str) -> String {
        format!("FROM {IMAGE}\nLABEL asman.test={}\n{rest}\n", self.0)
    }

    fn filter(&self) -> String {
        format!("label=asman.test={}", self.0)
    }

    fn containers(&self) -> String {
        docker(&["ps", "-aq", "--filter", &self.filter()])
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // Removes the images; their layers are removed with them.
        let _ = Command::new("sh")
            .args(["-c", &format!("docker rmi -f $(docker images -q --filter {}) >/dev/null 2>&1", self.filter())])
            .output();
    }
}

fn add(house: &House, arguments: &[&str]) -> String {
    let added = house.job(&[&["add", "q", "--json"], arguments].concat()).output().unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
    let said: Value = serde_json::from_slice(&added.stdout).unwrap();
    said["jobId"].as_str().unwrap().to_owned()
}

fn lines(house: &House, id: &str) -> Vec<String> {
    let result = house.result("q", id);
    assert_eq!(
        (&result["finishedReason"], &result["finished"]["result"]["StatusCode"]),
        (&"Success".into(), &0.into()),
        "{result}"
    );
    House::lines(&result)
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_dockerfile_and_a_folder_become_an_image_and_the_same_files_the_same_job() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let _worker = house.start_worker("q", "w");
    let mark = Mark::new();
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = write(folder.path(), "Dockerfile", &mark.dockerfile("ARG WHO\nCOPY . /context\nRUN echo $WHO > /who"));
    write(folder.path(), "kept", "kept\n");
    write(folder.path(), "left-out", "left out\n");
    write(folder.path(), ".dockerignore", "left-out\n");
    let context = folder.path().to_str().unwrap();
    let command = "sh -c 'cat /context/kept /who; cat /context/left-out 2>/dev/null || echo not there'";
    let arguments = ["--build-context", context, "--build-arg", "WHO=me", "-c", command];
    let id = add(&house, &arguments);
    assert_eq!(lines(&house, &id)[..2], ["kept", "me"]);
    assert_eq!(lines(&house, &id).last().unwrap(), "not there");
    assert_eq!(add(&house, &arguments), id, "the same files are the same job");
    write(folder.path(), "kept", "other\n");
    let other = add(&house, &arguments);
    assert_eq!(lines(&house, &other)[..2], ["other", "me"]);
    let alone = write(folder.path(), "alone", &mark.dockerfile("RUN echo made > /made"));
    let id = add(&house, &["--dockerfile", &alone, "-c", "cat /made"]);
    assert_eq!(lines(&house, &id), ["made"]);
    // The Dockerfile is in another folder than the context from which it copies.
    let id = add(&house, &["--dockerfile", &dockerfile, "--build-context", context, "-c", "cat /context/kept"]);
    assert_eq!(lines(&house, &id), ["other"]);
}

#[test]
fn an_image_and_a_build_or_neither_are_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = write(folder.path(), "Dockerfile", "FROM a");
    let definition = write(folder.path(), "job.json", r#"{"image": "a"}"#);
    for (arguments, sentence) in [
        (vec!["-i", "a", "--dockerfile", &dockerfile], "the job has an image and also builds one"),
        (vec!["--definition", &definition, "--dockerfile", &dockerfile], "the job has an image and also builds one"),
        (vec!["-c", "true"], "the job has nothing to run; give an image with --image, or build one with --dockerfile"),
        (vec!["--target", "x"], "--target, --build-arg and --platform say how to build"),
        (vec!["--build-context", "no-such-folder"], "is neither a folder nor a URL"),
        (vec!["--dockerfile", "no-such-file"], "cannot read no-such-file"),
        (vec!["--dockerfile", &dockerfile, "--build-arg", "X"], "has no equals sign"),
        (vec!["--script", "a b", "-i", "c"], "cannot be used with"),
    ] {
        let output = run(&[&["job", "add", "q", "--api", "http://127.0.0.1:1"], &arguments[..]].concat());
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(sentence), "{arguments:?}: {said}");
    }
    let help = text(&run(&["job", "add", "--help"]).stdout);
    assert!(help.contains("--dockerfile Dockerfile --build-context . -c") && help.contains("--script 'fit.py 3'"), "{help}");
}

#[test]
fn a_worker_that_is_killed_in_a_build_leaves_nothing_and_the_job_is_built_once_more() {
    let house = House::over(test_database());
    let _api = house.start_api_with_lease("3s");
    let victim = house.start_worker("q", "first");
    let mark = Mark::new();
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = write(folder.path(), "Dockerfile", &mark.dockerfile("RUN echo begun; sleep 5; echo built > /made"));
    let id = add(&house, &["--dockerfile", &dockerfile, "-c", "cat /made"]);
    let log = format!("/q/q/j/{id}/build-logs.json");
    until(|| house.get(&log).filter(|body| body["data"].as_array().unwrap().iter().any(|line| line[0] == "begun\n")));
    assert_ne!(mark.containers(), "", "its step runs");
    victim.signal(Signal::KILL);
    // The engine ends a build whose client has gone.
    until(|| mark.containers().is_empty().then_some(()));
    let _again = house.start_worker("q", "first");
    assert_eq!(lines(&house, &id), ["built"]);
    let events = house.events("q", &id);
    assert!(
        events == ["queued", "claimed", "requeued", "claimed", "finished"]
            || events == ["queued", "claimed", "released", "claimed", "finished"],
        "{events:?}"
    );
    until(|| mark.containers().is_empty().then_some(()));
    let jobs = house.folder.path().join("first/jobs");
    until(|| std::fs::read_dir(&jobs).unwrap().next().is_none().then_some(()));
}
