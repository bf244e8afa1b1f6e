//! Tests of the URLs of build contexts.

use super::*;

fn read(text: &str) -> (Kind, String, Wanted) {
    let source = Source::parse(text).unwrap();
    (source.kind, source.repository.url.to_string(), source.repository.wanted)
}

fn refs(text: &str) -> Wanted {
    Wanted::RefAndFolder(text.split('/').map(str::to_owned).collect())
}

#[test]
fn repositories_of_every_spelling_are_read() {
    let sha = "0123456789abcdef0123456789abcdef01234567";
    let repo = "https://github.com/owner/repo";
    for (text, url, wanted) in [
        (repo.to_owned(), repo, Wanted::Head),
        (format!("{repo}/"), repo, Wanted::Head),
        (format!("{repo}.git"), "https://github.com/owner/repo.git", Wanted::Head),
        (format!("{repo}/tree/main"), repo, refs("main")),
        (format!("{repo}/tree/feature/a/docker"), repo, refs("feature/a/docker")),
        (format!("{repo}/tree/feature%2Fa"), repo, refs("feature/a")),
        (format!("{repo}/commit/{sha}"), repo, Wanted::Commit(sha.to_owned())),
        ("https://gitlab.com/group/sub/repo/-/tree/v1.0".to_owned(), "https://gitlab.com/group/sub/repo", refs("v1.0")),
        (
            format!("{repo}.git#v1:sub/dir"),
            "https://github.com/owner/repo.git",
            Wanted::Fragment { name: "v1".into(), folder: Some("sub/dir".into()) },
        ),
    ] {
        let (kind, read_url, read_wanted) = read(&text);
        let read_wanted = match read_wanted {
            Wanted::RefAndFolder(segments) => refs(&segments.join("/")),
            other => other,
        };
        assert_eq!((kind, read_url.as_str(), read_wanted), (Kind::Git, url, wanted), "{text}");
    }
}

#[test]
fn members_of_a_query_say_what_is_wanted_or_are_refused() {
    let repo = "https://github.com/owner/repo";
    let query = |name: Option<&str>, commit: Option<&str>, folder: Option<&str>| Wanted::Query {
        name: name.map(str::to_owned),
        commit: commit.map(str::to_owned),
        folder: folder.map(str::to_owned),
    };
    let sha = "0123456789abcdef0123456789abcdef01234567";
    for (text, expected) in [
        (format!("{repo}.git?branch=x&subdir=d/e"), query(Some("refs/heads/x"), None, Some("d/e"))),
        (format!("{repo}.git?tag=v1"), query(Some("refs/tags/v1"), None, None)),
        (format!("{repo}?ref=pull/1/head&submodules=0"), query(Some("pull/1/head"), None, None)),
        (format!("{repo}.git?ref=main&checksum={sha}"), query(Some("main"), Some(sha), None)),
        (format!("{repo}.git?commit={}", sha.to_uppercase()), query(None, Some(sha), None)),
        (format!("{repo}.git?subdir=/d/"), query(None, None, Some("d"))),
        (format!("{repo}.git?keep-git-dir=false"), Wanted::Head),
        (format!("{repo}.git?submodules=false#v1:d"), Wanted::Fragment { name: "v1".into(), folder: Some("d".into()) }),
    ] {
        let (kind, _, wanted) = read(&text);
        assert_eq!((kind, wanted), (Kind::Git, expected), "{text}");
    }
    assert!(!Source::parse(&format!("{repo}.git?submodules=false")).unwrap().repository.has_submodules);
    for (text, error) in [
        (format!("{repo}.git?brunch=s3cret"), InvalidContext::Query("brunch".to_owned())),
        (format!("{repo}.git?keep-git-dir=1"), InvalidContext::Query("keep-git-dir".to_owned())),
        (format!("{repo}.git?commit=main"), InvalidContext::Query("commit".to_owned())),
        (format!("{repo}.git?branch=a&tag=b"), InvalidContext::Twice),
        (format!("{repo}.git?branch=a#b"), InvalidContext::Twice),
        (format!("{repo}/tree/main?branch=a"), InvalidContext::Twice),
        (format!("{repo}.git?subdir=../.."), InvalidContext::Segment),
        (format!("{repo}.git?branch=--x"), InvalidContext::Segment),
    ] {
        assert_eq!(Source::parse(&text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn archives_differ_from_repositories_or_the_server_is_asked() {
    for text in [
        "https://github.com/owner/repo/archive/refs/heads/main.tar.gz",
        "https://api.github.com/repos/owner/repo/tarball/main",
        "https://example.org/context.zip",
        "https://example.org/download?key=1",
    ] {
        assert_eq!(read(text).0, Kind::Archive, "{text}");
    }
    for text in ["https://example.org/owner/repo", "https://example.org/context", "https://git.example.org/a/b/c"] {
        assert_eq!(read(text).0, Kind::Unknown, "{text}");
    }
}

#[test]
fn a_login_is_taken_out_and_never_printed() {
    let source = Source::parse("https://oauth2:s3cr%40t@gitlab.com/a/b?private_token=s3cr%40t").unwrap();
    assert_eq!(source.repository.login.as_ref().unwrap().password, "s3cr@t");
    assert_eq!(source.shown(), "https://gitlab.com/a/b");
    assert_eq!(source.repository.url.as_str(), "https://gitlab.com/a/b");
    assert!(!format!("{:?}", source.repository).contains("s3cr"));
    assert_eq!(Source::parse("https://token@github.com/a/b").unwrap().repository.login.unwrap().user, "token");
}

#[test]
fn texts_that_are_not_urls_or_name_an_option_are_refused() {
    for text in ["", "git@github.com:a/b", "ssh://github.com/a/b", "file:///etc", "ext::sh", "https://a b/c", "https://", "--x"] {
        assert_eq!(Source::parse(text).unwrap_err(), InvalidContext::NoUrl, "{text}");
    }
    for text in [
        "https://github.com/a/b/tree/--upload-pack=x",
        "https://github.com/a/b/tree/..%2F..%2Fetc",
        "https://github.com/a/b/commit/main",
        "https://github.com/a/b/commit/012345/x",
        "https://github.com/a/b.git#main:../..",
        "https://github.com/a/b.git#-x",
    ] {
        assert_eq!(Source::parse(text).unwrap_err(), InvalidContext::Segment, "{text}");
    }
    assert_eq!(Source::parse(&format!("https://a/{}", "x".repeat(3000))).unwrap_err(), InvalidContext::TooLong);
}
