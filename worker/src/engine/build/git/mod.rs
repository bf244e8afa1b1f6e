//! Git contexts, with the `git` program: from a ref to a commit, and from a commit to a tar. Nothing is checked out.
//!
//! - The worker lists the refs first (`ls-remote`), even for a given commit. This shows that the submitter may read the repository.
//!   Submitters who may not read it therefore get no image of it from the cache.
//! - Git uses only `https` (also `http` if private addresses are permitted), through [`Tunnel`]. It uses no hooks, no filters, no settings of
//!   the machine and no prompts. The command line contains only checked URLs after `--` and refs that the server has named, and no other
//!   word of a user.
//! - Git gets a login in its environment, as a header for the repository's host. With a login, git follows no redirect.
//! - [`parts`]: submodules are fetched like the main repository, at the commits that their parents name. [`lfs`]: files in large file
//!   storage are fetched from there. If one of them cannot be fetched, the build fails.
//!
//! Bounds: [`BYTES_MAX`] from the network and in the tar, for the repository and its submodules together, 32 MiB of git's output, and those
//! of [`parts`]. The caller limits the time.

mod lfs;
mod parts;
mod program;
mod refs;

use std::path::Path;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::source::Repository;
use super::tunnel::Tunnel;
use crate::network::Guarded;
use program::{STDERR_BYTES_MAX, read_at_most};
use refs::{find, parse_refs};

/// Most bytes from the network, and most bytes of the tar.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Why a git context failed. The sentences are for the job's author and contain no login.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    /// The worker has no git.
    #[error("this worker has no git; install git on it, or give the context as an archive, such as …/archive/<ref>.tar.gz")]
    NoGit,
    /// The worker does not permit the address.
    #[error("the repository cannot be reached: {0}")]
    Forbidden(String),
    /// The server does not answer.
    #[error("the repository cannot be reached: {0}")]
    Unreachable(String),
    /// The repository is private or does not exist.
    #[error(
        "the repository does not exist or is private; for a private one, put a token into its URL: https://TOKEN@host/owner/repo"
    )]
    NoAccess,
    /// Git reported an error.
    #[error("git failed: {0}")]
    Failed(String),
    /// The name is neither a branch nor a tag.
    #[error("the repository has no branch or tag {0:?}; check the build context's URL")]
    NoRef(String),
    /// The commit is abbreviated.
    #[error("the commit {0} is abbreviated and no branch or tag points to it; give all of its digits")]
    ShortCommit(String),
    /// The ref does not point to the commit.
    #[error(
        "{name:?} of the repository is the commit {found}, but the build context's URL asks for {wanted}; change one of them"
    )]
    OtherCommit { name: String, found: String, wanted: String },
    /// A submodule cannot be fetched.
    #[error("the submodule {path:?} cannot be fetched: {why} (without submodules: ?submodules=false in the context's URL)")]
    Submodule { path: String, why: String },
    /// A large file cannot be fetched.
    #[error("the repository has {path:?} in large file storage (git-lfs), and the worker cannot fetch it: {why}")]
    LargeFile { path: String, why: String },
    /// It is larger than [`BYTES_MAX`].
    #[error("the repository is larger than {} MiB", BYTES_MAX / 1024 / 1024)]
    TooLarge,
    /// Git cannot be run.
    #[error("cannot run git: {0}")]
    Host(std::io::Error),
}

/// The commit and folder to fetch, and their repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// All digits of the commit.
    pub(super) commit: String,
    /// Folder in the repository, if the URL names one.
    pub(super) folder: Option<String>,
    /// The ref that points to the commit, if there is one.
    name: Option<String>,
    /// The spelling of the URL that the server accepts.
    url: Url,
}

/// Git for one repository.
pub(super) struct Git<'a> {
    program: &'a Path,
    /// Scratch folder, which is also git's home.
    folder: &'a Path,
    repository: &'a Repository,
    guarded: &'a Guarded,
    allows_http: bool,
    tunnel: Tunnel,
}

impl<'a> Git<'a> {
    pub(super) async fn new(
        program: &'a Path,
        folder: &'a Path,
        repository: &'a Repository,
        guarded: &'a Guarded,
    ) -> Result<Self, GitError> {
        let allows_http = guarded.allows_private();
        if repository.url.scheme() != "https" && !allows_http {
            return Err(GitError::Forbidden("it is not an https URL".to_owned()));
        }
        let tunnel = Tunnel::open(guarded.clone(), BYTES_MAX).await.map_err(GitError::Host)?;
        Ok(Self { program, folder, repository, guarded, allows_http, tunnel })
    }

    /// Asks the server for the commit.
    pub(super) async fn resolve(&self) -> Result<Resolved, GitError> {
        let mut failure = GitError::NoAccess;
        for url in spellings(self.repository) {
            match self.list(&url).await {
                Ok(list) => return find(&self.repository.wanted, &parse_refs(&list), url),
                Err(error @ (GitError::NoGit | GitError::Host(_) | GitError::Forbidden(_) | GitError::Unreachable(_))) => {
                    return Err(error);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn list(&self, url: &Url) -> Result<String, GitError> {
        let mut command = self.remote(url);
        command.args(["ls-remote", "--", url.as_str()]);
        self.output(command).await
    }

    /// Fetches the commit and writes its files to a tar, with its submodules and large files.
    pub(super) async fn fetch(&self, resolved: &Resolved, tar: &Path) -> Result<(), GitError> {
        let parts = self.parts(resolved).await?;
        let pointers = lfs::pointers_in(&parts, resolved.folder.as_deref()).await?;
        let files = self.large_files(&parts, pointers).await?;
        parts::join(parts, files, tar).await
    }

    /// Makes a bare repository with the commit.
    async fn fetch_bare(&self, bare: &Path, url: &Url, commit: &str, name: Option<&str>) -> Result<(), GitError> {
        let mut init = self.command(&[]);
        init.args(["init", "--quiet", "--bare", "--template=", "--"]).arg(bare);
        self.output(init).await?;
        self.fetch_into(bare, url, commit, name).await?;
        // The tar gets the exact bytes of the commit, even if the commit sets attributes for archives and filters.
        let attributes = "* -export-ignore -export-subst -filter -ident -text -working-tree-encoding\n";
        let info = bare.join("info");
        tokio::fs::create_dir_all(&info).await.map_err(GitError::Host)?;
        tokio::fs::write(info.join("attributes"), attributes).await.map_err(GitError::Host)
    }

    /// Fetches only the commit. If the server refuses that, fetches the tip of the ref that points to the commit. Servers with the old
    /// protocol may refuse that too. Then fetches the whole history of the ref. Without a ref, fetches all branches and tags.
    async fn fetch_into(&self, bare: &Path, url: &Url, commit: &str, name: Option<&str>) -> Result<(), GitError> {
        let everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let name = name.map_or(everything.to_vec(), |name| vec![name]);
        let only = vec![commit];
        let mut failure = None;
        for (is_shallow, wanted) in [(true, &only), (true, &name), (false, &name)] {
            let mut command = self.remote(url);
            command.arg("--git-dir").arg(bare).arg("fetch");
            command.args(["--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]);
            if is_shallow {
                command.arg("--depth=1");
            }
            command.args(["--", url.as_str()]).args(wanted);
            match self.output(command).await {
                Ok(_) if self.has(bare, commit).await? => return Ok(()),
                Ok(_) => (),
                Err(error @ (GitError::Failed(_) | GitError::NoAccess)) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| GitError::Failed(format!("the commit {commit} is not in the repository"))))
    }

    async fn has(&self, bare: &Path, commit: &str) -> Result<bool, GitError> {
        let mut command = self.command(&[]);
        command.arg("--git-dir").arg(bare).args(["cat-file", "-e"]).arg(format!("{commit}^{{commit}}"));
        match self.output(command).await {
            Ok(_) => Ok(true),
            Err(GitError::Failed(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes a commit's files to a tar of at most `left` bytes. Returns its size.
    async fn archive(&self, bare: &Path, commit: &str, tar: &Path, left: u64) -> Result<u64, GitError> {
        let mut command = self.command(&[]);
        command.arg("--git-dir").arg(bare).args(["archive", "--format=tar", commit]);
        let mut child = self.spawn(command)?;
        let mut file = tokio::fs::File::create(tar).await.map_err(GitError::Host)?;
        let (Some(stdout), Some(stderr)) = (child.child.stdout.take(), child.child.stderr.take()) else {
            return Err(GitError::Failed("it has no output".to_owned()));
        };
        let mut limited = stdout.take(left + 1);
        let copy = async {
            let n = tokio::io::copy(&mut limited, &mut file).await.map_err(GitError::Host)?;
            file.flush().await.map_err(GitError::Host)?;
            if n > left { Err(GitError::TooLarge) } else { Ok(n) }
        };
        let (copied, stderr) = tokio::join!(copy, read_at_most(stderr, STDERR_BYTES_MAX));
        let n = copied?;
        self.judge(&mut child, &stderr).await?;
        Ok(n)
    }
}

/// The spellings of the URL to try. With a login, redirects are not followed, so the spelling that forges redirect to comes first.
fn spellings(repository: &Repository) -> Vec<Url> {
    let url = repository.url.clone();
    if repository.login.is_none() || url.path().strip_suffix(".git").is_some() {
        return vec![url];
    }
    let mut longer = url.clone();
    longer.set_path(&format!("{}.git", url.path().trim_end_matches('/')));
    vec![longer, url]
}

/// Whether a server answers that a URL is a git repository.
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
