//! Git contexts, by the `git` program: a ref to a commit, a commit to a tar. Nothing is checked out.
//!
//! - The ref is resolved first (`ls-remote`), also for a commit that is given: it shows that whoever submitted the job may read the
//!   repository, so that an image in the cache is not handed to others.
//! - Only `https` is spoken (`http` too where private addresses are permitted), through [`Tunnel`]. No submodules, no hooks, no
//!   filters (so no large file storage), no configuration of the machine, no prompts. No word of a user reaches the command line
//!   but the checked URL, after `--`, and refs that the server has named.
//! - A login goes to git in its environment, as a header for that host, and then no redirect is followed.
//!
//! Bounds: [`BYTES_MAX`] from the network and in the tar, [`WORDS_MAX`] of git's words; time is the caller's.

use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::source::{Repository, Wanted, is_hex};
use super::tunnel::Tunnel;
use crate::guard::Guarded;

/// Most bytes that come over the network, and of the tar.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Most bytes of a list of refs.
const WORDS_MAX: u64 = 32 * 1024 * 1024;
const COMPLAINT_BYTES_MAX: u64 = 64 * 1024;
const COMPLAINT_CHARS_MAX: usize = 400;
/// Environment that git keeps: where programs and certificates are.
const ENVIRONMENT: [&str; 5] = ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_EXEC_PATH"];

/// Why there is no context. The sentences are for the job's author, and hold no login.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    /// No such program.
    #[error("this worker has no git; install git on it, or give the context as an archive, such as …/archive/<ref>.tar.gz")]
    NoGit,
    /// It may not be reached.
    #[error("the repository cannot be reached: {0}")]
    Unreachable(String),
    /// It is private, or not there.
    #[error("the repository is not there or is private; a token goes into its URL: https://TOKEN@host/owner/repo")]
    NoAccess,
    /// In git's own words.
    #[error("git failed: {0}")]
    Failed(String),
    /// Neither a branch nor a tag.
    #[error("the repository has no branch or tag {0:?}")]
    NoRef(String),
    /// Not all of it.
    #[error("the commit {0} is short and no branch or tag points to it; give all of its digits")]
    ShortCommit(String),
    /// Over [`BYTES_MAX`].
    #[error("the repository is larger than {} MiB", BYTES_MAX / 1024 / 1024)]
    TooLarge,
    /// Not git's fault.
    #[error("running git: {0}")]
    Host(std::io::Error),
}

/// What of a repository is wanted, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// All digits of it.
    pub(super) commit: String,
    /// Of that repository, when the URL names one.
    pub(super) folder: Option<String>,
    /// The ref that points to the commit, when one does.
    name: Option<String>,
    /// The spelling of the URL that the server knows.
    url: Url,
}

/// Git for one repository.
pub(super) struct Git<'a> {
    program: &'a Path,
    /// Scratch; git's home.
    folder: &'a Path,
    repository: &'a Repository,
    allows_http: bool,
    tunnel: Tunnel,
}

impl<'a> Git<'a> {
    pub(super) async fn new(
        program: &'a Path,
        folder: &'a Path,
        repository: &'a Repository,
        guarded: &Guarded,
    ) -> Result<Self, GitError> {
        let allows_http = guarded.allows_private();
        if repository.url.scheme() != "https" && !allows_http {
            return Err(GitError::Unreachable("it is not an https URL".to_owned()));
        }
        let tunnel = Tunnel::open(guarded.clone(), BYTES_MAX).await.map_err(GitError::Host)?;
        Ok(Self { program, folder, repository, allows_http, tunnel })
    }

    /// Asks the server which commit is wanted.
    pub(super) async fn resolve(&self) -> Result<Resolved, GitError> {
        let mut failure = GitError::NoAccess;
        for url in spellings(self.repository) {
            match self.list(&url).await {
                Ok(list) => return find(&self.repository.wanted, &parse_refs(&list), url),
                Err(error @ (GitError::NoGit | GitError::Host(_) | GitError::Unreachable(_))) => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn list(&self, url: &Url) -> Result<String, GitError> {
        let mut command = self.remote("ls-remote");
        command.args(["--", url.as_str()]);
        self.output(command).await
    }

    /// Fetches the commit and writes its files as a tar.
    pub(super) async fn fetch(&self, resolved: &Resolved, tar: &Path) -> Result<(), GitError> {
        let bare = self.folder.join("repository");
        let mut init = self.command(&[]);
        init.args(["init", "--quiet", "--bare", "--template=", "--"]).arg(&bare);
        self.output(init).await?;
        self.fetch_into(resolved).await?;
        // The tar has what is in the commit, byte for byte, whatever attributes it sets for archives and filters.
        let attributes = "* -export-ignore -export-subst -filter -ident -text -working-tree-encoding\n";
        let info = bare.join("info");
        tokio::fs::create_dir_all(&info).await.map_err(GitError::Host)?;
        tokio::fs::write(info.join("attributes"), attributes).await.map_err(GitError::Host)?;
        self.archive(&resolved.commit, tar).await
    }

    /// The commit alone; where a server will not give that, its branch; where it speaks the old protocol, with all its history.
    async fn fetch_into(&self, resolved: &Resolved) -> Result<(), GitError> {
        let everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let name = resolved.name.as_deref().map_or(everything.to_vec(), |name| vec![name]);
        let commit = vec![resolved.commit.as_str()];
        let mut failure = None;
        for (is_shallow, wanted) in [(true, &commit), (true, &name), (false, &name)] {
            let mut command = self.remote("fetch");
            command.args(["--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]);
            if is_shallow {
                command.arg("--depth=1");
            }
            command.args(["--", resolved.url.as_str()]).args(wanted);
            match self.output(command).await {
                Ok(_) if self.has(&resolved.commit).await? => return Ok(()),
                Ok(_) => (),
                Err(error @ (GitError::Failed(_) | GitError::NoAccess)) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| GitError::Failed(format!("the commit {} is not in the repository", resolved.commit))))
    }

    async fn has(&self, commit: &str) -> Result<bool, GitError> {
        let mut command = self.command(&[]);
        command.arg("--git-dir").arg(self.folder.join("repository")).args(["cat-file", "-e"]).arg(format!("{commit}^{{commit}}"));
        match self.output(command).await {
            Ok(_) => Ok(true),
            Err(GitError::Failed(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn archive(&self, commit: &str, tar: &Path) -> Result<(), GitError> {
        let mut command = self.command(&[]);
        command.arg("--git-dir").arg(self.folder.join("repository")).args(["archive", "--format=tar", commit]);
        let mut child = self.spawn(command)?;
        let mut file = tokio::fs::File::create(tar).await.map_err(GitError::Host)?;
        let (Some(stdout), Some(stderr)) = (child.child.stdout.take(), child.child.stderr.take()) else {
            return Err(GitError::Failed("it says nothing".to_owned()));
        };
        let mut limited = stdout.take(BYTES_MAX + 1);
        let copy = async {
            let n = tokio::io::copy(&mut limited, &mut file).await.map_err(GitError::Host)?;
            if n > BYTES_MAX { Err(GitError::TooLarge) } else { Ok(()) }
        };
        let (copied, complaint) = tokio::join!(copy, read_at_most(stderr, COMPLAINT_BYTES_MAX));
        copied?;
        self.judge(&mut child, &complaint).await
    }

    /// A command that speaks to the server.
    fn remote(&self, verb: &str) -> Command {
        let protocols = if self.allows_http { "http:https" } else { "https" };
        let login = self.repository.login.as_ref();
        let mut command = self.command(&[
            ("http.proxy", self.tunnel.url()),
            ("http.followRedirects", if login.is_some() { "false" } else { "initial" }.to_owned()),
            ("http.lowSpeedLimit", "1000".to_owned()),
            ("http.lowSpeedTime", "60".to_owned()),
        ]);
        command.env("GIT_ALLOW_PROTOCOL", protocols);
        if let Some(login) = login {
            let header = STANDARD.encode(format!("{}:{}", login.user, login.password));
            let origin = self.repository.url.origin().ascii_serialization();
            command.env("GIT_CONFIG_COUNT", "1");
            command.env("GIT_CONFIG_KEY_0", format!("http.{origin}/.extraHeader"));
            command.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {header}"));
        }
        if verb == "fetch" {
            command.arg("--git-dir").arg(self.folder.join("repository"));
        }
        command.arg(verb);
        command
    }

    fn command(&self, settings: &[(&str, String)]) -> Command {
        let mut command = Command::new(self.program);
        command.env_clear().envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("HOME", self.folder).env("XDG_CONFIG_HOME", self.folder).env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_ATTR_NOSYSTEM", "1");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_PROTOCOL_FROM_USER", "0").env("GIT_ALLOW_PROTOCOL", "none");
        let fixed = [
            "credential.helper=",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.bigFileThreshold=16m",
            "gc.auto=0",
            "maintenance.auto=false",
            "fetch.unpackLimit=1",
            "fetch.recurseSubmodules=false",
            "transfer.bundleURI=false",
            "pack.threads=1",
        ];
        for setting in fixed {
            command.args(["-c", setting]);
        }
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.current_dir(self.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn spawn(&self, mut command: Command) -> Result<Group, GitError> {
        let spawned = command.process_group(0).kill_on_drop(true).spawn();
        let child = spawned.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound if self.folder.is_dir() => GitError::NoGit,
            _ => GitError::Host(error),
        })?;
        Ok(Group { id: child.id(), child })
    }

    /// Runs a command to its end and gives what it wrote.
    async fn output(&self, command: Command) -> Result<String, GitError> {
        let mut child = self.spawn(command)?;
        let (Some(stdout), Some(stderr)) = (child.child.stdout.take(), child.child.stderr.take()) else {
            return Err(GitError::Failed("it says nothing".to_owned()));
        };
        let (words, complaint) = tokio::join!(read_at_most(stdout, WORDS_MAX), read_at_most(stderr, COMPLAINT_BYTES_MAX));
        self.judge(&mut child, &complaint).await?;
        Ok(words)
    }

    async fn judge(&self, group: &mut Group, complaint: &str) -> Result<(), GitError> {
        let status = group.child.wait().await.map_err(GitError::Host)?;
        group.id = None;
        if status.success() {
            return Ok(());
        }
        if self.tunnel.is_spent() {
            return Err(GitError::TooLarge);
        }
        if let Some(refusal) = self.tunnel.refusal() {
            return Err(GitError::Unreachable(refusal));
        }
        let is_private = ["could not read Username", "Authentication failed", "not found", "error: 403", "error: 401"];
        if is_private.iter().any(|words| complaint.contains(words)) {
            return Err(GitError::NoAccess);
        }
        Err(GitError::Failed(self.redact(&last_words(complaint))))
    }

    /// Git is never told a login on its command line and has no reason to print one; still.
    fn redact(&self, words: &str) -> String {
        let Some(login) = &self.repository.login else { return words.to_owned() };
        let encoded = STANDARD.encode(format!("{}:{}", login.user, login.password));
        let secrets = [&login.password, &login.user, &encoded];
        let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
        secrets.fold(words.to_owned(), |words, secret| words.replace(secret.as_str(), "…"))
    }
}

/// A program with whatever it started; all are killed when this is dropped before the end.
struct Group {
    child: Child,
    /// None once it has ended.
    id: Option<u32>,
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.id.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // It may have ended this moment.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

/// Reads all and keeps the first bytes, so that the writer never waits.
async fn read_at_most(mut from: impl AsyncRead + Unpin, max: u64) -> String {
    let mut kept = Vec::new();
    // A broken pipe is the end.
    let _ = (&mut from).take(max).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}

/// The last two lines that say something.
fn last_words(complaint: &str) -> String {
    let lines: Vec<_> = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let words = lines[lines.len().saturating_sub(2)..].join("; ");
    let words: String = words.chars().filter(|c| !c.is_control()).take(COMPLAINT_CHARS_MAX).collect();
    if words.is_empty() { "it gives no reason".to_owned() } else { words }
}

/// The URL as it is. With a login redirects are not followed, so the spelling that forges redirect to comes first.
fn spellings(repository: &Repository) -> Vec<Url> {
    let url = repository.url.clone();
    if repository.login.is_none() || url.path().strip_suffix(".git").is_some() {
        return vec![url];
    }
    let mut longer = url.clone();
    longer.set_path(&format!("{}.git", url.path().trim_end_matches('/')));
    vec![longer, url]
}

/// Lines of `ls-remote`: commit and ref, where `<tag>^{}` is the commit that a tag object stands for.
fn parse_refs(list: &str) -> Vec<(&str, &str)> {
    let lines = list.lines().filter_map(|line| line.split_once('\t'));
    lines.filter(|(commit, _)| is_hex(commit) && commit.len() >= 40).collect()
}

fn find(wanted: &Wanted, refs: &[(&str, &str)], url: Url) -> Result<Resolved, GitError> {
    let (found, folder) = match wanted {
        Wanted::Head => (by_name(refs, "HEAD"), None),
        Wanted::Fragment { name, folder } => (by_name(refs, name), folder.clone()),
        Wanted::RefAndFolder(segments) => by_longest_name(refs, segments),
        Wanted::Commit(commit) => (by_commit(refs, commit)?, None),
    };
    let (commit, name) = found.ok_or_else(|| GitError::NoRef(text_of(wanted)))?;
    Ok(Resolved { commit, folder, name, url })
}

type Found = Option<(String, Option<String>)>;

/// A branch before a tag; all digits of a commit stand for it.
fn by_name(refs: &[(&str, &str)], name: &str) -> Found {
    let exact = |full: &str| refs.iter().find(|(_, other)| *other == full).map(|(commit, _)| (*commit).to_owned());
    let branch = format!("refs/heads/{name}");
    let tag = format!("refs/tags/{name}");
    if name == "HEAD" {
        return exact("HEAD").map(|commit| (commit, Some("HEAD".to_owned())));
    }
    let named = exact(&branch).map(|commit| (commit, Some(branch)));
    let tagged = || exact(&format!("{tag}^{{}}")).or_else(|| exact(&tag)).map(|commit| (commit, Some(tag.clone())));
    let literal = || (matches!(name.len(), 40 | 64) && is_hex(name)).then(|| (name.to_ascii_lowercase(), None));
    named.or_else(tagged).or_else(literal)
}

/// As many segments as make a ref; the rest is a folder.
fn by_longest_name(refs: &[(&str, &str)], segments: &[String]) -> (Found, Option<String>) {
    for n in (1..=segments.len()).rev() {
        if let Some(found) = by_name(refs, &segments[..n].join("/")) {
            return (Some(found), (n < segments.len()).then(|| segments[n..].join("/")));
        }
    }
    (None, None)
}

fn by_commit(refs: &[(&str, &str)], commit: &str) -> Result<Found, GitError> {
    let at_tip = refs.iter().find(|(tip, _)| tip.starts_with(commit)).map(|(tip, _)| (*tip).to_owned());
    match at_tip {
        Some(commit) => Ok(Some((commit, None))),
        None if matches!(commit.len(), 40 | 64) => Ok(Some((commit.to_owned(), None))),
        None => Err(GitError::ShortCommit(commit.to_owned())),
    }
}

fn text_of(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Head => "HEAD".to_owned(),
        Wanted::RefAndFolder(segments) => segments.join("/"),
        Wanted::Commit(name) | Wanted::Fragment { name, .. } => name.clone(),
    }
}

/// Whether a server says that a URL is a repository's.
pub(super) async fn is_repository(guarded: &Guarded, repository: &Repository) -> bool {
    let mut url = repository.url.clone();
    url.set_path(&format!("{}/info/refs", url.path().trim_end_matches('/')));
    url.set_query(Some("service=git-upload-pack"));
    if let Some(login) = &repository.login {
        let _ = (url.set_username(&login.user), url.set_password(Some(&login.password)));
    }
    let Ok(mut answer) = guarded.get(url).await else { return false };
    let mut head = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        head.extend_from_slice(&chunk);
        if head.len() >= 64 {
            break;
        }
    }
    let is_smart = head.starts_with(b"001e# service=git-upload-pack") || head.starts_with(b"000eversion 2");
    let is_old = head.get(..41).is_some_and(|line| line[..40].iter().all(u8::is_ascii_hexdigit) && line[40] == b'\t');
    is_smart || is_old
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFS: &str = "1111111111111111111111111111111111111111\tHEAD\n\
        1111111111111111111111111111111111111111\trefs/heads/main\n\
        2222222222222222222222222222222222222222\trefs/heads/feature/a\n\
        3333333333333333333333333333333333333333\trefs/heads/both\n\
        4444444444444444444444444444444444444444\trefs/tags/both\n\
        5555555555555555555555555555555555555555\trefs/tags/v1\n\
        6666666666666666666666666666666666666666\trefs/tags/v1^{}\n\
        warning\tnot a ref\n";

    fn found(wanted: &Wanted) -> Result<(char, Option<String>), GitError> {
        let resolved = find(wanted, &parse_refs(REFS), "https://host/a/b".parse().unwrap())?;
        Ok((resolved.commit.chars().next().unwrap(), resolved.folder))
    }

    #[test]
    fn refs_with_slashes_and_folders_are_told_apart_by_the_servers_list() {
        let path = |text: &str| Wanted::RefAndFolder(text.split('/').map(str::to_owned).collect());
        let commit = |text: &str| Wanted::Commit(text.to_owned());
        let seventh = "7".repeat(40);
        for (wanted, digit, folder) in [
            (Wanted::Head, '1', None),
            (path("main"), '1', None),
            (path("feature/a"), '2', None),
            (path("feature/a/docker/x"), '2', Some("docker/x")),
            (path("both"), '3', None),
            (path("v1"), '6', None),
            (path(&seventh), '7', None),
            (commit("2222222"), '2', None),
            (commit(&seventh), '7', None),
            (Wanted::Fragment { name: "v1".into(), folder: Some("x".into()) }, '6', Some("x")),
        ] {
            assert_eq!(found(&wanted).unwrap(), (digit, folder.map(str::to_owned)), "{wanted:?}");
        }
        assert!(matches!(found(&path("feature")), Err(GitError::NoRef(_))));
        assert!(matches!(found(&commit("7777777")), Err(GitError::ShortCommit(_))));
    }

    #[test]
    fn gits_last_words_are_short() {
        assert_eq!(last_words("a\nb\n\n c\u{7}\n"), "b; c");
        assert_eq!(last_words(""), "it gives no reason");
        assert!(last_words(&"x".repeat(10_000)).len() <= COMPLAINT_CHARS_MAX);
    }
}
