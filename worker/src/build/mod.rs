//! From a definition's build block to an image.
//!
//! In: a checked [`Block`] and the task it belongs to. Out: the id of an image that is present.
//!
//! 1. `source`, `git`, `download`: the context's URL to a commit or an archive on disk.
//! 2. The key: a hash of the block with the commit, or the archive's own hash, in the place of the URL's moving parts. An image of
//!    that key that is here, or in the owner's registry, is taken as it is.
//! 3. `archive`, `context`, `dockerignore`: the archive to the tar that the engine gets, entry by entry.
//! 4. `dockerfile`, `reading`: the Dockerfile in the words of a builder, and which builder.
//! 5. `engine`, `progress`, `traced`, `disk`, `steps`: the build, its log, its bounds, its end. `kept`: the owner's registry, before and after.
//!
//! # Invariants
//!
//! - No shell, no `docker` program, no URL for the engine to fetch: it gets our tar and nothing else.
//! - A login in a context's URL goes to that host and nowhere else: no log line, no error, no image, no command line.
//! - An image in the cache goes to whoever could have built it: the context's server is asked before the cache is.
//! - A build that ends early leaves no container and no layer that was not there before it.

mod archive;
mod bases;
mod block;
mod context;
mod disk;
mod dockerfile;
mod dockerignore;
mod download;
mod engine;
mod git;
mod kept;
mod progress;
mod reading;
mod settings;
mod source;
mod steps;
mod traced;
mod tunnel;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use protocol::{EndCode, Step, sha256_hex};
use serde_json::json;

use crate::ends;
use crate::executor::{BuildOptions, Login};
use crate::image::{DEFAULT_REGISTRY, ImageReference, Version, login_for, one_at_a_time, other_platforms};
use crate::isolation::{BuildGuard, Containers};
use crate::run::{RunError, Task, forbidden};
use archive::{Archive, ArchiveError};
use bases::UnclearBase;
pub(crate) use block::Block;
use context::{ContextError, Plan, Wrapping};
use git::{Git, GitError};
use reading::Reading;
pub(crate) use settings::Settings;
use source::{Kind, Source};

/// Label with the key, on every image that is built.
pub(crate) const LABEL_BUILD: &str = "asman.build";
/// Name of built images; the key is the tag.
const REPOSITORY: &str = "asman/build";
/// Changes with the meaning of a block: older images are not taken then.
const KEY_VERSION: u32 = 2;
/// Hexadecimal digits of a key.
const KEY_CHARS: usize = 40;
/// Builds by `BuildKit` come one after the other.
const BUILDKIT: &str = "a build by BuildKit";
/// Most registries that one build has logins for.
const REGISTRIES_MAX: usize = 16;
/// Base images whose platforms are told.
const BASES_NAMED_MAX: usize = 4;
/// A context that takes longer to come has failed.
const CONTEXT_TIMEOUT: Duration = Duration::from_mins(15);

/// Where the context's files are, once it is known.
enum Origin {
    /// The Dockerfile is all.
    Text,
    /// On disk.
    Archive,
    /// Still to be fetched.
    Commit(git::Resolved),
}

/// Gives the id of the image that a block stands for, which is then present.
pub(crate) async fn ensure(task: &Task<'_>, containers: &Containers, block: Block) -> Result<String, RunError> {
    if !task.host.builds.is_on {
        let message = "this worker builds no images: its owner has turned builds off; give an image";
        return Err(RunError::failed(EndCode::BuildsDisabled, Step::Build, message));
    }
    if containers.isolation.refuses_builds() {
        let message =
            "this worker builds no images of strangers: its engine's builder would run them outside gVisor; give an image";
        return Err(RunError::failed(EndCode::BuildsDisabled, Step::Build, message));
    }
    let (limit, whose, code) = limit_of(task);
    let too_long = |_| {
        let message =
            format!("the image was not built within {}, {whose}, and the build was stopped", protocol::format_duration(limit));
        RunError::TimedOut { code, step: Step::Build, message }
    };
    tokio::time::timeout(limit, Work { task, containers, block: &block, folder: task.scratch.build() }.ensure())
        .await
        .map_err(too_long)?
}

/// The shortest of the limits that a build has, whose it is, and what it means when it is over.
fn limit_of(task: &Task<'_>) -> (Duration, &'static str, EndCode) {
    let (run, whose, code) = task.time_limit();
    let setup = protocol::limits::SETUP_ALLOWANCE;
    if setup < run {
        return (setup, "the time that any job has to get ready", EndCode::BuildTimedOut);
    }
    (run, whose, if code == EndCode::TimedOut { EndCode::BuildTimedOut } else { code })
}

struct Work<'a> {
    task: &'a Task<'a>,
    containers: &'a Containers,
    block: &'a Block,
    /// Scratch.
    folder: PathBuf,
}

impl Work<'_> {
    async fn ensure(&self) -> Result<String, RunError> {
        tokio::fs::create_dir_all(&self.folder).await.map_err(|error| RunError::Host(format!("build folder: {error}")))?;
        let git = self.git().await?;
        let (origin, hash) = self.locate(git.as_ref()).await?;
        let key = self.key(&hash);
        let image = ImageReference { name: REPOSITORY.to_owned(), version: Version::Tag(key.clone()) };
        if let Some(id) = self.built(&image).await? {
            return Ok(id);
        }
        let turn = one_at_a_time(&image.to_string()).await;
        if let Some(id) = self.built(&image).await? {
            return Ok(id);
        }
        if self.fetch_built(&key, &image).await
            && let Some(id) = self.present(&image).await?
        {
            self.task.host.images.made(&image.to_string(), &id);
            return Ok(id);
        }
        let mut plan = self.plan(origin, git.as_ref()).await?;
        let reading = self.read(&mut plan).await?;
        let docker = self.containers.docker.clone();
        let files = reading.files.clone().map(|image| engine::Files::new(docker.clone(), image, &self.task.host.builds.tasks));
        if self.containers.isolation.is_untrusted() {
            self.check_bases(&plan).await?;
        }
        let network = self.containers.isolation.network().await.map_err(|fault| RunError::of(Step::Build, fault))?;
        let alone = if reading.is_buildkit { Some(one_at_a_time(BUILDKIT).await) } else { None };
        let guard = self.guard(reading.is_buildkit).await?;
        let bases = self.bases(&plan).unwrap_or_default();
        let options = self.options(&key, &image, &plan, network, self.logins(&plan).await, reading)?;
        self.task.log.line(Step::Build, format!("building {image}")).await;
        let isolation = &self.containers.isolation;
        let writers = std::sync::Arc::clone(&isolation.writers);
        let bounds = disk::Bounds { bytes: isolation.disk_bytes, writers, folder: self.folder.clone() };
        let held = engine::Held { turn, _alone: alone, files, guard };
        let build = engine::Build { docker, log: self.task.log.clone(), options, plan, bounds, held };
        if let Err(error) = build.run(&self.task.host.builds).await {
            return Err(self.naming_platforms(error, &bases).await);
        }
        let id = self.present(&image).await?;
        let id = id.ok_or_else(|| RunError::failed(EndCode::BuildBroken, Step::Build, "the build ended without an image"))?;
        self.task.host.images.made(&image.to_string(), &id);
        self.keep_built(&key, &image).await;
        Ok(id)
    }

    /// An image that is here already. Said in the log, so that whoever reads it knows that no build follows.
    async fn built(&self, image: &ImageReference) -> Result<Option<String>, RunError> {
        let id = self.present(image).await?;
        if id.is_some() {
            self.task.log.line(Step::Build, format!("{image} was built before")).await;
        }
        Ok(id)
    }

    async fn present(&self, image: &ImageReference) -> Result<Option<String>, RunError> {
        self.containers.docker.image_id(image).await.map_err(|fault| RunError::of(Step::Build, fault))
    }

    fn archive(&self) -> PathBuf {
        self.folder.join("context")
    }

    /// Git for the context, when it is a repository.
    async fn git(&self) -> Result<Option<Git<'_>>, RunError> {
        let guarded = self.task.host.api.guarded();
        let Some(source) = &self.block.source else { return Ok(None) };
        let is_git = match source.kind(guarded) {
            Kind::Git => true,
            Kind::Archive => false,
            Kind::Unknown => git::is_repository(guarded, source.repository()).await,
        };
        if !is_git {
            return Ok(None);
        }
        let git = Git::new(&self.task.host.builds.git, &self.folder, source.repository(), guarded).await;
        git.map(Some).map_err(of_git)
    }

    /// Finds out what exactly is to be built, and a text that stands for it.
    async fn locate(&self, git: Option<&Git<'_>>) -> Result<(Origin, String), RunError> {
        let Some(source) = &self.block.source else { return Ok((Origin::Text, String::new())) };
        self.task.log.line(Step::Clone, format!("fetching {}", source.shown())).await;
        if let Some(git) = git {
            let resolved = within(CONTEXT_TIMEOUT, git.resolve()).await?.map_err(of_git)?;
            self.task.log.line(Step::Clone, format!("the commit is {}", resolved.commit)).await;
            let folder = resolved.folder.clone().unwrap_or_default();
            let place = format!("git {} {} {folder}", url_for_key(source), resolved.commit);
            return Ok((Origin::Commit(resolved), place));
        }
        let hash = within(CONTEXT_TIMEOUT, download::download(self.task.host.api.guarded(), source, &self.archive())).await??;
        Ok((Origin::Archive, format!("archive {hash}")))
    }

    /// Hash of all that makes one image differ from another. A login is part of it: it keeps a private repository's image from
    /// whoever knows the commit alone.
    fn key(&self, origin: &str) -> String {
        let block = self.block;
        let login = block.source.as_ref().and_then(|source| source.repository().login.as_ref());
        let text = json!([
            KEY_VERSION,
            origin,
            login.map(|login| [&login.user, &login.password]),
            block.dockerfile,
            block.folder,
            block.filename,
            block.target,
            block.platform,
            block.args,
        ]);
        sha256_hex(text.to_string().as_bytes())[..KEY_CHARS].to_owned()
    }

    async fn plan(&self, origin: Origin, git: Option<&Git<'_>>) -> Result<Plan, RunError> {
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
        let plan = plan.await.map_err(|error| RunError::Host(format!("reading a context broke off: {error}")))?;
        let plan = plan.map_err(|error| match error {
            ContextError::Archive(ArchiveError::Disk(error)) => RunError::Host(format!("reading a context: {error}")),
            error => RunError::job(Step::Clone, error.to_string()),
        })?;
        if !plan.left_out.is_empty() {
            let line = format!("the archive's one folder {:?} is left out of the names", plan.left_out.trim_end_matches('/'));
            self.task.log.line(Step::Clone, line).await;
        }
        Ok(plan)
    }

    fn wrapping(&self, git: Option<&Git<'_>>) -> Wrapping {
        match &self.block.source {
            _ if git.is_some() => Wrapping::Never,
            Some(source) if self.task.host.api.guarded().is_own(source.full_url()) => Wrapping::Own,
            Some(source) if source.is_of_forge() => Wrapping::Forge,
            _ => Wrapping::Foreign,
        }
    }

    /// Rules around a build whose steps have the engine's default bridge. Without them, where jobs have them, nothing is built.
    async fn guard(&self, is_buildkit: bool) -> Result<Option<BuildGuard>, RunError> {
        if !is_buildkit {
            return Ok(None);
        }
        let (isolation, docker) = (&self.containers.isolation, &self.containers.docker);
        if steps::place(docker).await.is_none() {
            let line = "the steps of this build are not held to the job's memory, cpus and disk: the worker is not root beside the engine";
            self.task.log.line(Step::Build, line).await;
        }
        let guard = isolation.guard_build(docker).await;
        guard.map_err(|why| RunError::Host(format!("the network of a BuildKit build cannot be guarded: {why}")))
    }

    /// A stranger's Dockerfile must not make the engine reach into its own network.
    async fn check_bases(&self, plan: &Plan) -> Result<(), RunError> {
        let refuse = |error: &dyn std::fmt::Display| RunError::job(Step::Build, error.to_string());
        let text = plan.dockerfile_text().map_err(|error| refuse(&error))?.ok_or_else(|| refuse(&UnclearBase::Unreadable))?;
        for image in bases::images_of(&text, &self.args()).map_err(|error| refuse(&error))? {
            self.containers.isolation.check_registry(&image).await.map_err(|error| forbidden(Step::Build, &error))?;
        }
        Ok(())
    }

    fn args(&self) -> HashMap<String, String> {
        self.block.args.clone().into_iter().collect()
    }

    /// The images that the Dockerfile names, where it can be told which.
    fn bases(&self, plan: &Plan) -> Option<Vec<ImageReference>> {
        let text = plan.dockerfile_text().ok().flatten().unwrap_or_default();
        bases::images_of(&text, &self.args()).ok()
    }

    /// Adds what the base images are made for, when that is why a build failed.
    async fn naming_platforms(&self, error: RunError, bases: &[ImageReference]) -> RunError {
        let RunError::Failed { code: EndCode::ImageNoPlatform, step, status, mut message } = error else { return error };
        for base in bases.iter().take(BASES_NAMED_MAX) {
            let login = login_for(&self.task.log, &self.task.host.builds.logins, base.registry()).await;
            message += &format!("; {}", other_platforms(&self.containers.docker, base, login.as_ref()).await);
        }
        RunError::Failed { code: EndCode::ImageNoPlatform, step, status, message }
    }

    /// The owner's logins for the registries that the Dockerfile names; where it cannot be told which, for all.
    async fn logins(&self, plan: &Plan) -> Vec<Login> {
        let logins = &self.task.host.builds.logins;
        let named = match self.bases(plan) {
            Some(images) => images.iter().map(|image| image.registry().unwrap_or(DEFAULT_REGISTRY).to_owned()).collect(),
            None => logins.registries().await,
        };
        let named: BTreeSet<String> = named.into_iter().collect();
        let mut found = Vec::new();
        for registry in named.iter().take(REGISTRIES_MAX) {
            found.extend(login_for(&self.task.log, logins, Some(registry)).await);
        }
        found
    }

    fn options(
        &self,
        key: &str,
        image: &ImageReference,
        plan: &Plan,
        network: String,
        logins: Vec<Login>,
        reading: Reading,
    ) -> Result<BuildOptions, RunError> {
        let (task, block) = (self.task, self.block);
        let memory = task.parsed.memory_bytes;
        Ok(BuildOptions {
            tag: image.to_string(),
            dockerfile: plan.dockerfile.clone(),
            target: block.target.clone(),
            platform: block.platform.clone(),
            args: reading.args,
            labels: HashMap::from([(LABEL_BUILD.to_owned(), key.to_owned())]),
            network: Some(network),
            cpus: task.parsed.cpus.clamp(0.01, f64::from(self.containers.docker.cpus)),
            memory_bytes: if memory == 0 { task.host.memory_bytes } else { memory },
            shm_bytes: task.shm_bytes()?,
            logins,
            is_buildkit: reading.is_buildkit,
        })
    }
}

/// A repository's address without what its spellings differ in.
fn url_for_key(source: &Source) -> String {
    source.repository().url.as_str().trim_end_matches('/').trim_end_matches(".git").to_owned()
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, RunError> {
    let too_long = |_| {
        let message = format!("the build context did not come within {}", protocol::format_duration(limit));
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
            RunError::failed(ends::git(&error.to_string()), Step::Clone, error.to_string())
        }
        error => RunError::job(Step::Clone, error.to_string()),
    }
}
