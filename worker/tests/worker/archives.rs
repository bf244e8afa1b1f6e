//! Builds from archives: from those that common programs make, and from those that an attacker makes.

use protocol::Step;
use serde_json::{Value, json};

use crate::builds::{dockerfile, failure, forget, lines_of, nonce, succeeded};
use crate::contexts::{gzip, tar, zip};
use crate::harness::{IMAGE, TestWorker};

/// Builds from an archive that the API stores. Returns the output of the container.
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
    // If the folder contains the Dockerfile, the folder is only a wrapper around everything. The log says that the worker left it out.
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
        // Some programs put an empty folder into the archive, and some do not.
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
    // The API's own files may be at a private address, and the worker's owner may allow private addresses.
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
