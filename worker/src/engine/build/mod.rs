//! Builds an image from a definition's build block.
//!
//! In: a checked [`Block`] and its job. Out: the id of a present image.
//!
//! 1. `source`, `fetch`, `git`, `download`: from the context's URL to a commit or an archive on disk.
//! 2. The key: a hash of the block, in which the commit or the archive's hash replaces the parts of the URL that may change. If this engine
//!    or the owner's registry has an image with that key, it is used.
//! 3. `archive`, `context`, `dockerignore`: from the archive to the engine's tar, entry by entry.
//! 4. `dockerfile`, `reading`: rewrite the Dockerfile for a builder, and choose the builder.
//! 5. `engine`, `progress`, `traced`, `disk`, `steps`: the build, its log and its limits. `registry_cache`: the owner's registry.
//!
//! # Invariants
//!
//! - The worker uses no shell and no `docker` program, and gives the engine no URL to fetch. The engine gets only our tar.
//! - A login in a context's URL is sent only to that host. It is in no log line, error, image or command line.
//! - A job gets an image from the cache only if it could have built it: the worker asks the context's server before the cache.
//! - A build that ends early leaves no container and no layer.

mod archive;
mod bases;
mod block;
mod context;
mod disk;
mod dockerfile;
mod dockerignore;
mod download;
mod engine;
mod fetch;
mod git;
mod progress;
mod reading;
mod registry_cache;
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

use crate::ends::RunError;
use crate::engine::images::{DEFAULT_REGISTRY, ImageReference, Version, forbidden, login_for, one_at_a_time, other_platforms};
use crate::engine::isolation::BuildGuard;
use crate::engine::{BuildOptions, Containers, Job, Login, TimeLimit};
use bases::UnclearBase;
pub(crate) use block::Block;
use context::Plan;
use reading::Reading;
pub(crate) use settings::Settings;

/// Label with the key, on every built image.
pub(crate) const LABEL_BUILD: &str = "asman.build";
/// Name of built images. The key is the tag.
const REPOSITORY: &str = "asman/build";
/// Change it when the meaning of a block changes, so that older images are not used.
const KEY_VERSION: u32 = 2;
/// Hexadecimal digits of a key.
const KEY_CHARS: usize = 40;
/// Name of the lock for builds by `BuildKit`. Only one such build runs at a time.
const BUILDKIT: &str = "a build by BuildKit";
/// Most registries for which one build looks up a login.
const REGISTRIES_MAX: usize = 16;
/// Most base images whose platforms an error names.
const BASES_NAMED_MAX: usize = 4;

/// Makes sure that the engine has the image of a block. Returns the id of the image.
pub(crate) async fn ensure(job: &Job<'_>, containers: &Containers, block: Block) -> Result<String, RunError> {
    if !containers.settings.is_on {
        let message =
            "this worker does not build images, because its owner has turned builds off; give an image instead of a build block";
        return Err(RunError::failed(EndCode::BuildsDisabled, Step::Build, message));
    }
    if containers.isolation.refuses_builds() {
        let message = "this worker builds no images for strangers, because its engine's builder would run them outside gVisor; give an image";
        return Err(RunError::failed(EndCode::BuildsDisabled, Step::Build, message));
    }
    let (limit, whose, code) = limit_of(job);
    let too_long = |_| {
        let message =
            format!("the image was not built within {}, {whose}, and the build was stopped", protocol::format_duration(limit));
        RunError::TimedOut { code, step: Step::Build, message }
    };
    if containers.isolation.is_untrusted() && !containers.docker.dialect.bounds_builds() {
        let message =
            "this worker builds no images for strangers, because Podman does not end a step with its build; give an image";
        return Err(RunError::failed(EndCode::BuildsDisabled, Step::Build, message));
    }
    tokio::time::timeout(limit, Work { job, containers, block: &block, folder: job.scratch.build() }.ensure())
        .await
        .map_err(too_long)?
}

/// The shortest time limit of a build, whose limit it is, and the end code when the time is over.
fn limit_of(job: &Job<'_>) -> (Duration, &'static str, EndCode) {
    let TimeLimit { time: run, whose, code } = job.limit;
    let setup = protocol::limits::SETUP_ALLOWANCE;
    if setup < run {
        return (setup, "the time for the preparation of a job", EndCode::BuildTimedOut);
    }
    (run, whose, if code == EndCode::TimedOut { EndCode::BuildTimedOut } else { code })
}

struct Work<'a> {
    job: &'a Job<'a>,
    containers: &'a Containers,
    block: &'a Block,
    /// Scratch folder.
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
            self.containers.record.made(&image.to_string(), &id);
            return Ok(id);
        }
        let mut plan = self.plan(origin, git.as_ref()).await?;
        let reading = self.read(&mut plan).await?;
        let docker = self.containers.docker.clone();
        let files = reading.files.clone().map(|image| engine::Files::new(docker.clone(), image, &self.containers.settings.tasks));
        if self.containers.isolation.is_untrusted() {
            self.check_bases(&plan).await?;
        }
        let network = self.containers.isolation.network().await.map_err(|fault| fault.during(Step::Build))?;
        let alone = if reading.is_buildkit { Some(one_at_a_time(BUILDKIT).await) } else { None };
        let guard = self.guard(reading.is_buildkit).await?;
        let bases = self.bases(&plan).unwrap_or_default();
        let options = self.options(&key, &image, &plan, network, self.logins(&plan).await, reading)?;
        self.job.log.line(Step::Build, format!("building {image}")).await;
        if !docker.dialect.bounds_builds() {
            let line = "Podman does not limit what the steps of this build write, and a step that runs when the build is stopped runs to its end";
            self.job.log.line(Step::Build, line).await;
        }
        let isolation = &self.containers.isolation;
        let writers = std::sync::Arc::clone(&isolation.writers);
        let bounds = disk::Bounds { bytes: isolation.disk_bytes, writers, folder: self.folder.clone() };
        let held = engine::Held { turn, _alone: alone, files, guard };
        let build = engine::Build { docker, log: self.job.log.clone(), options, plan, bounds, held };
        if let Err(error) = build.run(&self.containers.settings).await {
            return Err(self.naming_platforms(error, &bases).await);
        }
        let id = self.present(&image).await?;
        let id = id.ok_or_else(|| RunError::failed(EndCode::BuildBroken, Step::Build, "the build ended without an image"))?;
        self.containers.record.made(&image.to_string(), &id);
        self.keep_built(&key, &image).await;
        Ok(id)
    }

    /// The id of an image, if the engine has it. Then logs that it was built before, so that a reader of the log expects no build.
    async fn built(&self, image: &ImageReference) -> Result<Option<String>, RunError> {
        let id = self.present(image).await?;
        if id.is_some() {
            self.job.log.line(Step::Build, format!("{image} was built before")).await;
        }
        Ok(id)
    }

    async fn present(&self, image: &ImageReference) -> Result<Option<String>, RunError> {
        self.containers.docker.image_id(image).await.map_err(|fault| fault.during(Step::Build))
    }

    /// Hash of everything that makes one image differ from another. A login is part of it, so that knowing the commit is not enough to get
    /// a private repository's image.
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

    /// The network rules for a build by `BuildKit`, whose steps use the engine's default bridge. If jobs have such rules and they cannot be
    /// set for the build, the build fails.
    async fn guard(&self, is_buildkit: bool) -> Result<Option<BuildGuard>, RunError> {
        if !is_buildkit {
            return Ok(None);
        }
        let (isolation, docker) = (&self.containers.isolation, &self.containers.docker);
        if steps::place(docker).await.is_none() {
            let line = "the steps of this build have no limits of memory, cpus and disk, because the worker is not root on the engine's machine";
            self.job.log.line(Step::Build, line).await;
        }
        let guard = isolation.guard_build(docker).await;
        guard.map_err(|why| RunError::Host(format!("cannot guard the network of a BuildKit build: {why}")))
    }

    /// Checks that a stranger's Dockerfile does not make the engine connect to hosts in its own network.
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

    /// The images that the Dockerfile names, if they can be read.
    fn bases(&self, plan: &Plan) -> Option<Vec<ImageReference>> {
        let text = plan.dockerfile_text().ok().flatten().unwrap_or_default();
        bases::images_of(&text, &self.args()).ok()
    }

    /// Adds the platforms of the base images to an error about platforms.
    async fn naming_platforms(&self, error: RunError, bases: &[ImageReference]) -> RunError {
        let RunError::Failed { code: EndCode::ImageNoPlatform, step, status, mut message } = error else { return error };
        for base in bases.iter().take(BASES_NAMED_MAX) {
            let login = login_for(&self.job.log, &self.containers.settings.logins, base.registry()).await;
            message += &format!("; {}", other_platforms(&self.containers.docker, base, login.as_ref()).await);
        }
        RunError::Failed { code: EndCode::ImageNoPlatform, step, status, message }
    }

    /// The owner's logins for the registries that the Dockerfile names. If these names cannot be read, all of the owner's logins.
    async fn logins(&self, plan: &Plan) -> Vec<Login> {
        let logins = &self.containers.settings.logins;
        let named = match self.bases(plan) {
            Some(images) => images.iter().map(|image| image.registry().unwrap_or(DEFAULT_REGISTRY).to_owned()).collect(),
            None => logins.registries().await,
        };
        let named: BTreeSet<String> = named.into_iter().collect();
        let mut found = Vec::new();
        for registry in named.iter().take(REGISTRIES_MAX) {
            found.extend(login_for(&self.job.log, logins, Some(registry)).await);
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
        let (job, block) = (self.job, self.block);
        Ok(BuildOptions {
            tag: image.to_string(),
            dockerfile: plan.dockerfile.clone(),
            target: block.target.clone(),
            platform: block.platform.clone(),
            args: reading.args,
            labels: HashMap::from([(LABEL_BUILD.to_owned(), key.to_owned())]),
            network: Some(network),
            cpus: job.parsed.cpus.clamp(0.01, f64::from(self.containers.docker.cpus)),
            memory_bytes: job.memory_bytes,
            shm_bytes: job.shm_bytes()?,
            logins,
            is_buildkit: reading.is_buildkit,
        })
    }
}
