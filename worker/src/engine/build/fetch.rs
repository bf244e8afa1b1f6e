//! Fetches the context of a build, and plans which of its files are sent to the engine.

use std::path::PathBuf;
use std::time::Duration;

use protocol::{EndCode, Step};

use super::archive::{Archive, ArchiveError};
use super::context::{ContextError, Plan, Wrapping};
use super::git::{self, Git, GitError};
use super::source::{Kind, Source};
use super::{Work, download};
use crate::ends::RunError;
use crate::engine::refusals;

/// Longest time to fetch a context.
const CONTEXT_TIMEOUT: Duration = Duration::from_mins(15);

/// Where the context's files come from.
pub(super) enum Origin {
    /// There is only the Dockerfile's text.
    Text,
    /// An archive on disk.
    Archive,
    /// A commit that must be fetched.
    Commit(git::Resolved),
}

impl Work<'_> {
    fn archive(&self) -> PathBuf {
        self.folder.join("context")
    }

    /// Git for the context, if it is a repository.
    pub(super) async fn git(&self) -> Result<Option<Git<'_>>, RunError> {
        let guarded = self.containers.api.guarded();
        let Some(source) = &self.block.source else { return Ok(None) };
        let is_git = match source.kind(guarded) {
            Kind::Git => true,
            Kind::Archive => false,
            Kind::Unknown => git::is_repository(guarded, source.repository()).await,
        };
        if !is_git {
            return Ok(None);
        }
        let git = Git::new(&self.containers.settings.git, &self.folder, source.repository(), guarded).await;
        git.map(Some).map_err(of_git)
    }

    /// Finds out where exactly the files come from. Returns this with a text that identifies it, for the key.
    pub(super) async fn locate(&self, git: Option<&Git<'_>>) -> Result<(Origin, String), RunError> {
        let Some(source) = &self.block.source else { return Ok((Origin::Text, String::new())) };
        self.job.log.line(Step::Clone, format!("fetching {}", source.shown())).await;
        if let Some(git) = git {
            let resolved = within(CONTEXT_TIMEOUT, git.resolve()).await?.map_err(of_git)?;
            self.job.log.line(Step::Clone, format!("the commit is {}", resolved.commit)).await;
            let folder = resolved.folder.clone().unwrap_or_default();
            let place = format!("git {} {} {folder}", url_for_key(source), resolved.commit);
            return Ok((Origin::Commit(resolved), place));
        }
        let hash = within(CONTEXT_TIMEOUT, download::download(self.containers.api.guarded(), source, &self.archive())).await??;
        Ok((Origin::Archive, format!("archive {hash}")))
    }

    /// Plans what is sent to the engine.
    pub(super) async fn plan(&self, origin: Origin, git: Option<&Git<'_>>) -> Result<Plan, RunError> {
        let folder = match origin {
            Origin::Text => return Ok(Plan::of_text(self.block.dockerfile.as_deref().unwrap_or_default())),
            Origin::Archive => None,
            Origin::Commit(resolved) => {
                let Some(git) = git else { return Err(RunError::Host("a commit without its repository".to_owned())) };
                within(CONTEXT_TIMEOUT, git.fetch(&resolved, &self.archive())).await?.map_err(of_git)?;
                Some(resolved.folder.unwrap_or_default()).filter(|folder| !folder.is_empty())
            }
        };
        let (file, block, wrapping) = (self.archive(), self.block.clone(), self.wrapping(git));
        let plan = tokio::task::spawn_blocking(move || Plan::make(Archive::open(&file)?, &block, folder.as_deref(), wrapping));
        let plan = plan.await.map_err(|error| RunError::Host(format!("the reading of a context broke off: {error}")))?;
        let plan = plan.map_err(|error| match error {
            ContextError::Archive(ArchiveError::Disk(error)) => RunError::Host(format!("cannot read a context: {error}")),
            error => RunError::job(Step::Clone, error.to_string()),
        })?;
        if !plan.left_out.is_empty() {
            let line = format!("the archive's one folder {:?} is left out of the names", plan.left_out.trim_end_matches('/'));
            self.job.log.line(Step::Clone, line).await;
        }
        Ok(plan)
    }

    fn wrapping(&self, git: Option<&Git<'_>>) -> Wrapping {
        match &self.block.source {
            _ if git.is_some() => Wrapping::Never,
            Some(source) if self.containers.api.guarded().is_own(source.full_url()) => Wrapping::Own,
            Some(source) if source.is_of_forge() => Wrapping::Forge,
            _ => Wrapping::Foreign,
        }
    }
}

/// A repository's address in a form that is the same for all its spellings.
fn url_for_key(source: &Source) -> String {
    source.repository().url.as_str().trim_end_matches('/').trim_end_matches(".git").to_owned()
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, RunError> {
    let too_long = |_| {
        let message = format!("the build context could not be fetched within {}", protocol::format_duration(limit));
        RunError::failed(EndCode::BuildContextInvalid, Step::Clone, message)
    };
    tokio::time::timeout(limit, work).await.map_err(too_long)
}

fn of_git(error: GitError) -> RunError {
    match error {
        GitError::Host(_) => RunError::Host(error.to_string()),
        GitError::Forbidden(_) => RunError::failed(EndCode::UrlNotAllowed, Step::Clone, error.to_string()),
        GitError::NoGit => RunError::failed(EndCode::BuildsDisabled, Step::Clone, error.to_string()),
        GitError::NoAccess | GitError::NoRef(_) => {
            RunError::failed(EndCode::BuildContextNotFound, Step::Clone, error.to_string())
        }
        GitError::Unreachable(_) | GitError::Failed(_) => {
            RunError::failed(refusals::git(&error.to_string()), Step::Clone, error.to_string())
        }
        error => RunError::job(Step::Clone, error.to_string()),
    }
}
