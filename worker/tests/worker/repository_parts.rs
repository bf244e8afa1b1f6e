//! Parts of a repository: refs of every kind, the members of a context's query, submodules, large files.

use protocol::Step;
use serde_json::json;

use crate::builds::{dockerfile, failure, forget, lines_of, nonce, succeeded};
use crate::contexts::{GitServer, LOGIN};
use crate::harness::TestWorker;

async fn open_worker() -> TestWorker {
    TestWorker::start_with(|config| config.allow_private_urls = true).await
}

/// Builds from a URL. Returns the content of `/part`.
async fn said(worker: &TestWorker, context: &str) -> String {
    let (job, finish) = worker.run(&json!({ "build": { "context": context }, "command": "cat /part" })).await;
    assert!(succeeded(&finish), "{context}: {:?}\n{}", finish.message, worker.api.text(&job, true));
    if lines_of(worker, &job, Step::Build).contains("building ") {
        forget(worker, &job).await;
    }
    lines_of(worker, &job, Step::Running).trim_end().to_owned()
}

async fn refused(worker: &TestWorker, context: &str, sentence: &str) {
    let message = failure(worker, json!({ "context": context })).await;
    assert!(message.contains(sentence), "{context}: {message}");
}

#[tokio::test]
async fn refs_and_queries_name_one_commit_or_are_refused() {
    let server = GitServer::start().await;
    let repository = server.repository("repo.git");
    let text = dockerfile(&nonce(), "COPY part /part");
    let first = repository.commit(&[("Dockerfile", &text), ("part", "first\n"), ("d/Dockerfile", &text), ("d/part", "deep\n")]);
    repository.git(&["tag", "v1"]);
    repository.git(&["checkout", "--quiet", "-b", "x"]);
    let second = repository.commit(&[("part", "branch\n")]);
    repository.commit(&[("part", "pulled\n")]);
    repository.publish_as("refs/pull/1/head");
    repository.git(&["reset", "--quiet", "--hard", &second]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit(&[("part", "main\n")]);
    repository.publish_as("refs/heads/x2");
    let worker = open_worker().await;
    let base = format!("{}/smart/repo.git", server.url);
    for (rest, expected) in [
        ("?branch=x2&subdir=d".to_owned(), "deep"),
        ("#refs/heads/x2".to_owned(), "main"),
        ("#refs/tags/v1".to_owned(), "first"),
        ("#refs/tags/v1:d".to_owned(), "deep"),
        ("#pull/1/head".to_owned(), "pulled"),
        ("?ref=refs/pull/1/head".to_owned(), "pulled"),
        ("?tag=v1".to_owned(), "first"),
        (format!("?commit={first}"), "first"),
        (format!("?ref=v1&checksum={}", &first[..12]), "first"),
        (format!("#{second}"), "branch"),
    ] {
        assert_eq!(said(&worker, &format!("{base}{rest}")).await, expected, "{rest}");
    }
    for (rest, sentence) in [
        ("?branch=none".to_owned(), "no branch or tag \"refs/heads/none\""),
        ("?branch=v1".to_owned(), "no branch or tag \"refs/heads/v1\""),
        ("#refs/heads/none".to_owned(), "no branch or tag"),
        (format!("?branch=x2&commit={first}"), "but the build context's URL asks for"),
        ("?brunch=x2".to_owned(), "\"brunch\", which this worker does not support"),
        ("?keep-git-dir=1".to_owned(), "\"keep-git-dir\""),
        ("?branch=x2#v1".to_owned(), "twice"),
    ] {
        refused(&worker, &format!("{base}{rest}"), sentence).await;
    }
    worker.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_come_along_at_their_commits_or_the_build_is_refused() {
    let server = GitServer::start().await;
    let [deep, inner, outer] = ["deep.git", "inner.git", "outer.git"].map(|name| server.repository(name));
    deep.commit(&[("deepest", "bottom\n")]);
    inner.commit(&[("inside", "old\n")]);
    inner.git(&["submodule", "--quiet", "add", "--name", "d", &format!("{}/smart/deep.git", server.url), "deep"]);
    // A relative URL refers to a repository of the same server.
    inner.git(&["config", "--file", ".gitmodules", "submodule.d.url", "../deep.git"]);
    inner.commit(&[]);
    let text =
        dockerfile(&nonce(), "COPY . /c\nRUN cat /c/lib/module/inside /c/lib/module/deep/deepest > /part || echo none > /part");
    outer.commit(&[("Dockerfile", &text)]);
    outer.git(&["submodule", "--quiet", "add", &format!("{}/smart/inner.git", server.url), "lib/module"]);
    outer.commit(&[]);
    // The submodule gets a newer commit than the one that the parent names.
    inner.commit(&[("inside", "new\n")]);
    let worker = open_worker().await;
    let context = format!("{}/smart/outer.git", server.url);
    assert_eq!(said(&worker, &context).await, "old\nbottom");
    assert_eq!(said(&worker, &format!("{context}?submodules=false")).await, "none");
    for (url, sentence) in [
        ("git@github.com:a/b.git", "the worker has no key for ssh URLs"),
        ("file:///etc", "not an https URL"),
        ("../none.git", "cannot be fetched"),
    ] {
        outer.git(&["config", "--file", ".gitmodules", "submodule.lib/module.url", url]);
        outer.commit(&[]);
        refused(&worker, &context, sentence).await;
    }
    worker.drain().await;
}

#[tokio::test]
async fn large_files_are_fetched_from_their_storage_or_the_build_is_refused() {
    let server = GitServer::start().await;
    let content = vec![b'x'; 100_000];
    let stands_for_it = server.keep_large(&content);
    let text = dockerfile(&nonce(), "COPY data/big.bin /big\nRUN wc -c < /big > /part");
    let attributes = (".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    let files = [("Dockerfile", text.as_str()), ("data/big.bin", &stands_for_it), ("data/again.bin", &stands_for_it), attributes];
    server.repository("large.git").commit(&files);
    let (user, token) = LOGIN;
    let worker = open_worker().await;
    let open = format!("{}/smart/large.git", server.url);
    let private = format!("{}/private/large.git", server.url).replace("http://", &format!("http://{user}:{token}@"));
    for context in [&open, &private] {
        assert_eq!(said(&worker, context).await, "100000");
    }
    server.lose_large();
    // The build argument makes it another image, because the first one is in the cache.
    let context = format!("{open}?submodules=0&subdir=");
    let build = json!({ "context": context, "buildArgs": ["OTHER=1"] });
    let message = failure(&worker, build).await;
    assert!(message.contains("git-lfs") && message.contains("data/") && message.contains("does not have it"), "{message}");
    worker.drain().await;
}
