//! Contexts as common programs pack them.

use protocol::Step;
use serde_json::{Value, json};

use crate::builds::{dockerfile, failure, forget, lines_of, nonce, succeeded};
use crate::contexts::{gzip, tar, zip};
use crate::harness::TestWorker;

/// Builds from an archive in the API. Returns the output of the container.
async fn said(worker: &TestWorker, archive: Vec<u8>, build: Value, command: &str) -> (String, String) {
    worker.api.with(|heard| heard.blobs.insert("packed".to_owned(), archive.into()));
    let mut build = build;
    build["context"] = json!(format!("{}/f/packed", worker.api.url));
    let (job, finish) = worker.run(&json!({ "build": build, "command": command })).await;
    assert!(succeeded(&finish), "{:?}\n{}", finish.message, worker.api.text(&job, true));
    let told = lines_of(worker, &job, Step::Clone);
    forget(worker, &job).await;
    (lines_of(worker, &job, Step::Running), told)
}

#[tokio::test]
async fn a_context_of_one_folder_keeps_it_in_the_names() {
    let worker = TestWorker::start().await;
    let text = dockerfile(&nonce(), "COPY . /x/");
    let archive = gzip(&tar(&[("app/main.py", "print(1)\n")]));
    let (names, told) = said(&worker, archive.clone(), json!({ "dockerfile": text }), "find /x -type f").await;
    assert!(names.contains("/x/app/main.py") && !told.contains("left out"), "{names}{told}");
    let (names, _) = said(&worker, archive, json!({ "dockerfile": text, "buildContext": "app" }), "find /x -type f").await;
    assert!(names.contains("/x/main.py"), "{names}");
    // If the Dockerfile is in the folder, somebody else has put the folder around everything, and the log says that it is left out.
    let archive = gzip(&tar(&[("app/Dockerfile", &text), ("app/main.py", "print(1)\n")]));
    let (names, told) = said(&worker, archive, json!({}), "find /x -type f").await;
    assert!(names.contains("/x/main.py") && told.contains("one folder \"app\" is left out"), "{names}{told}");
    worker.drain().await;
}

#[tokio::test]
async fn zips_of_finder_and_of_windows_are_built() {
    let worker = TestWorker::start().await;
    let text = dockerfile(&nonce(), "COPY . /x/");
    let finder = zip(&[
        ("top/Dockerfile", &text),
        ("top/.DS_Store", "x"),
        ("__MACOSX/top/._Dockerfile", "\0\u{5}\u{16}\u{7}"),
        ("__MACOSX/._top", "\0\u{5}\u{16}\u{7}"),
        ("top/main.py", "1"),
    ]);
    let (names, _) = said(&worker, finder, json!({}), "find /x -type f").await;
    assert!(names.contains("/x/main.py") && !names.contains("__MACOSX"), "{names}");
    let windows = zip(&[("Dockerfile", &text), ("src\\app.py", "1"), ("src\\sub\\deep.py", "2")]);
    let (names, _) = said(&worker, windows, json!({}), "find /x -type f").await;
    assert!(names.contains("/x/src/app.py") && names.contains("/x/src/sub/deep.py"), "{names}");
    worker.drain().await;
}

#[tokio::test]
async fn an_archive_that_is_not_read_is_refused_by_its_name() {
    let worker = TestWorker::start().await;
    worker.api.with(|heard| heard.blobs.insert("packed".to_owned(), b"\xfd7zXZ\0\0\x04".to_vec().into()));
    let message = failure(&worker, json!({ "context": format!("{}/f/packed", worker.api.url) })).await;
    assert!(message.contains("xz (.tar.xz)") && message.contains(".tar.gz"), "{message}");
    worker.drain().await;
}
