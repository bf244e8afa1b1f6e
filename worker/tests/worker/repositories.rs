//! Build contexts from git repositories.

use protocol::Step;
use serde_json::json;

use crate::builds::{dockerfile, failure, forget, lines_of, nonce, succeeded};
use crate::contexts::{GitServer, LOGIN, Repository};
use crate::harness::{TestWorker, docker};

async fn open_worker() -> TestWorker {
    TestWorker::start_with(|config| config.allow_private_urls = true).await
}

/// Builds from a URL. Returns the job and the output of its container.
async fn built(worker: &TestWorker, context: &str) -> (String, String) {
    let (job, finish) = worker.run(&json!({ "build": { "context": context }, "command": "cat /part" })).await;
    assert!(succeeded(&finish), "{context}: {:?}\n{}", finish.message, worker.api.text(&job, true));
    let said = lines_of(worker, &job, Step::Running);
    (job, said.trim_end().to_owned())
}

fn is_built(worker: &TestWorker, job: &str) -> bool {
    lines_of(worker, job, Step::Build).contains("building ")
}

/// Gives a repository a default branch, a branch with a slash, a tag, and a folder with another Dockerfile.
fn furnish(repository: &Repository) -> String {
    let text = dockerfile(&nonce(), "COPY part /part");
    let first = repository.commit(&[
        ("Dockerfile", &text),
        ("part", "first\n"),
        ("sub/dir/Dockerfile", &text),
        ("sub/dir/part", "deep\n"),
        ("sub/dir/link", "-> part"),
        (".gitattributes", "part export-ignore\n"),
    ]);
    repository.git(&["tag", "--annotate", "--message", "a", "v1"]);
    repository.git(&["checkout", "--quiet", "-b", "feature/a"]);
    repository.commit(&[("part", "feature\n")]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit(&[("part", "main\n")]);
    first
}

#[tokio::test]
async fn every_spelling_of_a_ref_builds_what_it_names() {
    let server = GitServer::start().await;
    let first = furnish(&server.repository("repo.git"));
    let worker = open_worker().await;
    let base = format!("{}/smart/repo.git", server.url);
    let mut jobs = Vec::new();
    for (context, said) in [
        (base.clone(), "main"),
        (format!("{base}/tree/main"), "main"),
        (format!("{base}/tree/feature/a"), "feature"),
        (format!("{base}/tree/v1"), "first"),
        (format!("{base}/commit/{first}"), "first"),
        (format!("{base}/-/tree/feature/a/sub/dir"), "deep"),
        (format!("{base}#v1:sub/dir"), "deep"),
    ] {
        let (job, found) = built(&worker, &context).await;
        assert_eq!(found, said, "{context}");
        jobs.push(job);
    }
    // Another name of the same commit leads to the same image, which is not built again.
    assert_eq!(jobs.iter().map(|job| is_built(&worker, job)).collect::<Vec<_>>(), [true, false, true, true, false, true, true]);
    for (context, sentence) in [
        (format!("{base}/tree/none"), "no branch or tag \"none\""),
        (format!("{base}/commit/{}", "7".repeat(40)), "git failed"),
        (format!("{}/smart/none.git", server.url), "does not exist or is private"),
        (format!("{base}/tree/main/none"), "no folder \"none\""),
    ] {
        let message = failure(&worker, json!({ "context": context })).await;
        assert!(message.contains(sentence), "{context}: {message}");
    }
    for job in jobs.iter().filter(|job| is_built(&worker, job)) {
        forget(&worker, job).await;
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_branch_that_moves_is_built_anew() {
    let server = GitServer::start().await;
    let repository = server.repository("repo.git");
    furnish(&repository);
    let worker = open_worker().await;
    let context = format!("{}/smart/repo.git/tree/main", server.url);
    let (before, said) = built(&worker, &context).await;
    assert_eq!(said, "main");
    let (same, _) = built(&worker, &context).await;
    assert!(!is_built(&worker, &same));
    repository.commit(&[("part", "moved\n")]);
    let (after, said) = built(&worker, &context).await;
    assert_eq!(said, "moved");
    forget(&worker, &before).await;
    forget(&worker, &after).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_server_of_plain_files_and_one_without_a_telling_name_are_asked() {
    let server = GitServer::start().await;
    furnish(&server.repository("plain"));
    let worker = open_worker().await;
    let (old, said) = built(&worker, &format!("{}/old/plain", server.url)).await;
    assert_eq!(said, "main");
    let (smart, said) = built(&worker, &format!("{}/smart/plain", server.url)).await;
    assert_eq!(said, "main");
    forget(&worker, &old).await;
    forget(&worker, &smart).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_link_out_of_the_repository_is_refused() {
    let server = GitServer::start().await;
    let repository = server.repository("links.git");
    repository.commit(&[("Dockerfile", &dockerfile(&nonce(), "COPY . /c")), ("out", "-> /etc/passwd")]);
    let worker = open_worker().await;
    let message = failure(&worker, json!({ "context": format!("{}/smart/links.git", server.url) })).await;
    assert!(message.contains("links to \"/etc/passwd\""), "{message}");
    worker.drain().await;
}

#[tokio::test]
async fn a_token_opens_a_private_repository_and_shows_up_nowhere() {
    let server = GitServer::start().await;
    furnish(&server.repository("secret.git"));
    let worker = open_worker().await;
    let bare = format!("{}/private/secret", server.url);
    let (user, token) = LOGIN;
    let with = |token: &str| bare.replace("http://", &format!("http://{user}:{token}@")) + "/tree/main";
    for (context, sentence) in [(format!("{bare}.git"), "private"), (with("wr0ng-t0ken"), "private")] {
        let message = failure(&worker, json!({ "context": context })).await;
        assert!(message.contains(sentence) && !message.contains("wr0ng"), "{message}");
    }
    let (job, said) = built(&worker, &with(token)).await;
    assert_eq!(said, "main");
    assert!(server.authorizations().iter().any(|header| header.starts_with("Basic ")));
    // Without the token, the worker also does not use the image that is in the cache.
    let message = failure(&worker, json!({ "context": format!("{bare}.git") })).await;
    assert!(message.contains("private"), "{message}");
    let log = worker.api.lines(&job).into_iter().map(|line| line.0 + "\n").collect::<String>();
    let image = log.lines().find_map(|line| line.strip_prefix("building ")).unwrap();
    let seen = [log.clone(), docker(&["image", "inspect", image]), docker(&["history", "--no-trunc", image])].concat();
    let encoded = server.authorizations().into_iter().next_back().unwrap().replace("Basic ", "");
    assert!(!seen.contains(token) && !seen.contains(&encoded), "{seen}");
    worker.api.with(|heard| {
        let said = format!("{:?}{:?}", heard.logs, heard.finished);
        assert!(!said.contains(token) && !said.contains("wr0ng"), "{said}");
    });
    forget(&worker, &job).await;
    worker.drain().await;
}

#[tokio::test]
async fn git_speaks_https_to_public_addresses_only_unless_the_owner_opens_the_network() {
    let server = GitServer::start().await;
    furnish(&server.repository("repo.git"));
    let worker = TestWorker::start().await;
    let message = failure(&worker, json!({ "context": format!("{}/smart/repo.git", server.url) })).await;
    assert!(message.contains("not an https URL"), "{message}");
    for host in ["127.0.0.1:8443", "localhost:8443", "[::1]:8443", "169.254.169.254"] {
        let message = failure(&worker, json!({ "context": format!("https://{host}/repo.git") })).await;
        assert!(message.contains("not public"), "{host}: {message}");
    }
    assert_eq!(server.paths(), Vec::<String>::new(), "nobody was asked");
    worker.drain().await;
}

#[tokio::test]
async fn without_git_the_sentence_says_what_mends_it() {
    let worker = TestWorker::start_with(|config| {
        config.allow_private_urls = true;
        config.images.git = "/nonexistent/git".into();
    })
    .await;
    let message = failure(&worker, json!({ "context": "http://127.0.0.1:1/repo.git" })).await;
    assert!(message.contains("no git") && message.contains("archive"), "{message}");
    worker.drain().await;
}
