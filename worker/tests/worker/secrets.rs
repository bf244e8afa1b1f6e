//! Secrets: a job gets a secret only if it asks for it, and its log does not contain the secret.

use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::Reason;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use worker::{Error, Shutdown};

use crate::harness::{TestWorker, containers_of, docker, script};

const VALUE: &str = "s3cr3t/v\u{e4}lue+x";

fn file(value: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, value).unwrap();
    file
}

async fn with_secret(name: &str, value: &str) -> (TestWorker, NamedTempFile) {
    let file = file(value);
    let source = format!("{name}={}", file.path().display()).parse().unwrap();
    (TestWorker::start_with(|config| config.isolation.secrets = vec![source]).await, file)
}

fn asking(text: &str, names: &[&str]) -> Value {
    let mut definition = script(text);
    definition["secrets"] = json!(names);
    definition
}

#[tokio::test]
async fn a_job_has_its_secret_in_a_variable_and_in_a_file_and_its_log_has_not() {
    let (worker, _file) = with_secret("TOKEN", &format!("{VALUE}\n")).await;
    let text = "echo ${#TOKEN} $TOKEN; cat /run/secrets/TOKEN; echo x > /run/secrets/TOKEN; ls /run/secrets; \
                printf %s \"$TOKEN\" | base64; printf %s \"user:$TOKEN\" | base64; printf %s \"$TOKEN\" | xxd -p; \
                head -c 8 /run/secrets/TOKEN; sleep 0.5; tail -c +9 /run/secrets/TOKEN; echo $TOKEN >&2; cmp /run/secrets/TOKEN /dev/null; \
                printf %s \"$TOKEN\" > /outputs/value; true";
    let (job, finish) = worker.run(&asking(text, &["TOKEN"])).await;
    let (out, err) = (worker.api.text(&job, false), worker.api.text(&job, true));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[1..4], ["***", "TOKEN", "***"], "{out}");
    // In base64, `user:` before the value and some bits of the value's first character stay readable.
    assert!(lines[0].ends_with(" ***") && lines[4].starts_with("dXNlcj") && lines[4].contains("***"), "{out}");
    assert_eq!(lines[5..], ["***", "***"], "hex, and a value that was written in two pieces: {out}");
    assert!(err.contains("***\n") && err.contains("Read-only file system"), "{err}");
    let stored = STANDARD.decode(finish.result.outputs["value"].value.as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(stored).unwrap(), VALUE, "the job had the value itself");
    worker.drain().await;
}

#[tokio::test]
async fn only_a_job_that_asks_has_it() {
    let (worker, _file) = with_secret("TOKEN", VALUE).await;
    let (job, _) = worker.run(&script("echo \"[$TOKEN]\"; ls /run/secrets")).await;
    assert_eq!(worker.api.text(&job, false), "[]\n");
    assert!(worker.api.text(&job, true).contains("No such file"));
    let (job, finish) = worker.run(&asking("true", &["TOKEN", "OTHER"])).await;
    let message = finish.message.unwrap();
    assert!(finish.reason == Reason::Error && message.contains("the secret OTHER, which this worker does not have"), "{message}");
    assert!(worker.api.text(&job, true).contains("the secret OTHER"));
    worker.drain().await;
}

#[tokio::test]
async fn a_value_is_read_anew_for_each_job_and_line_by_line_hidden() {
    let (worker, file) = with_secret("KEY", "first value").await;
    let (job, _) = worker.run(&asking("echo $KEY; echo second line", &["KEY"])).await;
    assert_eq!(worker.api.text(&job, false), "***\nsecond line\n");
    std::fs::write(&file, "-----BEGIN-----\nsecond line\n-----END-----\n").unwrap();
    let (job, _) = worker.run(&asking("cat /run/secrets/KEY; echo first value; echo \"$KEY\" | grep second", &["KEY"])).await;
    assert_eq!(worker.api.text(&job, false), "***\n***\n***\nfirst value\n***\n");
    // If a secret cannot be read, that is this machine's fault: another worker may be able to read it.
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let job = worker.api.submit(&asking("true", &["KEY"]));
    worker.api.until("a release", |heard| heard.released.get(&job).map(|_| ())).await;
    worker.drain().await;
}

#[tokio::test]
async fn labels_and_scratch_tell_nothing() {
    let (worker, _file) = with_secret("TOKEN", VALUE).await;
    let job = worker.api.submit(&asking("echo up; until [ -e /job-cache/go ]; do sleep 0.1; done", &["TOKEN"]));
    worker.api.until_logged(&job, "up").await;
    let container = containers_of(&worker.data());
    let labels = docker(&["inspect", "-f", "{{json .Config.Labels}} {{json .Config.Cmd}} {{json .Name}}", &container]);
    assert!(!labels.contains(VALUE), "{labels}");
    let cache = worker.data().join("cache").join(worker.config.queue.qid().to_string());
    std::fs::write(cache.join("go"), "").unwrap();
    let finish = worker.api.finish_of(&job).await;
    assert!(!serde_json::to_string(&finish).unwrap().contains(VALUE));
    let data = worker.data();
    let folder = worker.drain_and_keep().await;
    let found = std::process::Command::new("grep").args(["-r", "s3cr3t"]).arg(&data).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
    drop(folder);
}

#[tokio::test]
async fn secrets_that_would_be_none_are_refused_at_start() {
    let worker = TestWorker::start().await;
    let config = worker.config.clone();
    worker.drain().await;
    let open = file("value");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let shut = file("value");
    for (path, is_untrusted, sentence) in [
        (open.path(), false, "every user of this machine can read it"),
        (shut.path(), true, "jobs of strangers would read"),
        (std::path::Path::new("/no/such"), false, "No such file"),
    ] {
        let mut config = config.clone();
        config.isolation.secrets = vec![format!("A={}", path.display()).parse().unwrap()];
        config.isolation.untrusted = is_untrusted;
        let error = worker::run(config, Shutdown::new()).await.unwrap_err();
        assert!(matches!(&error, Error::Config(text) if text.contains(sentence)), "{error}");
    }
}
