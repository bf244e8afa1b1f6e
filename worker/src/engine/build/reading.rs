//! Reads the Dockerfile of a build before the engine gets it, and chooses the builder.
//!
//! The classic builder enforces every limit of a job, so it builds everything that it can. Features of `BuildKit` need the engine's
//! `BuildKit`. If the engine has none or the worker serves strangers, the build fails with a sentence that names the line.

use std::collections::HashMap;

use protocol::{EndCode, Step};

use super::Work;
use super::context::Plan;
use super::dockerfile::{File, InvalidDockerfile, Lowered, Platforms, decode, lower};
use crate::ends::RunError;
use crate::engine::images::{ImageReference, Version};

/// Name of the images with the here-documents of running builds.
const FILES: &str = "asman/files";
/// Arguments that make `BuildKit` read a Dockerfile with a frontend that it would have to fetch.
const FRONTEND_ARGS: [&str; 1] = ["BUILDKIT_SYNTAX"];

/// What a Dockerfile needs from its builder.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) is_buildkit: bool,
    /// Build arguments. For the classic builder they include those about platforms, which `BuildKit` adds itself.
    pub(super) args: HashMap<String, String>,
    /// The image with its here-documents. It exists only during the build.
    pub(super) files: Option<ImageReference>,
}

impl Work<'_> {
    /// Reads the Dockerfile, and makes the plan send it in a form that its builder can read.
    pub(super) async fn read(&self, plan: &mut Plan) -> Result<Reading, RunError> {
        let mut args: HashMap<String, String> = self.block.args.clone().into_iter().collect();
        args.retain(|name, _| !FRONTEND_ARGS.contains(&name.as_str()));
        let bytes = plan.dockerfile_bytes().map_err(|error| refuse(&error))?;
        let Some(bytes) = bytes else { return Ok(Reading { args, ..Reading::default() }) };
        protocol::check_dockerfile(if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            &[]
        } else {
            &bytes
        })
        .map_err(|error| refuse(&error))?;
        let text = decode(&bytes).map_err(|error| refuse(&error))?;
        let image = ImageReference { name: FILES.to_owned(), version: Version::Tag(uuid::Uuid::new_v4().simple().to_string()) };
        let engine =
            Some(self.containers.docker.platform.as_str()).filter(|platform| !platform.is_empty()).unwrap_or("linux/amd64");
        let platforms = Platforms::new(engine, self.block.platform.as_deref());
        let lowered = lower(&text, &args, &platforms, &image.to_string()).map_err(|error: InvalidDockerfile| refuse(&error))?;
        self.check_target(&lowered)?;
        let is_buildkit = self.needs_buildkit(&lowered).await?;
        if lowered.is_changed || lowered.text.as_bytes() != bytes {
            plan.replace_dockerfile(lowered.text, is_buildkit);
        }
        if !is_buildkit {
            args.extend(lowered.platform_args);
        }
        let files = self.keep_files(&lowered.files, image).await?;
        Ok(Reading { is_buildkit, args, files })
    }

    fn check_target(&self, lowered: &Lowered) -> Result<(), RunError> {
        let Some(target) = &self.block.target else { return Ok(()) };
        let is_number = target.parse::<usize>().is_ok_and(|n| n < lowered.n_stages);
        if is_number || lowered.n_stages == 0 || lowered.stages.contains(&target.to_lowercase()) {
            return Ok(());
        }
        let named = if lowered.stages.is_empty() { "no named stages".to_owned() } else { lowered.stages.join(", ") };
        let message = format!("the Dockerfile has no stage {target:?} to build (target); it has {named}");
        Err(RunError::job(Step::Build, message))
    }

    async fn needs_buildkit(&self, lowered: &Lowered) -> Result<bool, RunError> {
        let Some(need) = lowered.needs.first() else { return Ok(false) };
        let what = format!("line {} of the Dockerfile has {}, which needs BuildKit", need.line, need.what);
        if self.containers.isolation.is_untrusted() {
            let why = "this worker serves strangers, and its engine cannot enforce their limits for BuildKit";
            let message = format!("{what}; {why}; write the line without it");
            return Err(RunError::failed(EndCode::BuildsDisabled, Step::Build, message));
        }
        if !self.containers.docker.dialect.has_buildkit() {
            let engine = &self.containers.docker.dialect;
            let message = format!("{what}; this worker's engine ({engine}) does not have BuildKit; write the line without it");
            return Err(RunError::failed(EndCode::BuildsDisabled, Step::Build, message));
        }
        self.job.log.line(Step::Build, format!("{what}: the engine's BuildKit builds the image")).await;
        Ok(true)
    }

    async fn keep_files(&self, files: &[File], image: ImageReference) -> Result<Option<ImageReference>, RunError> {
        if files.is_empty() {
            return Ok(None);
        }
        let tar = tar_of(files).map_err(|error| RunError::Host(format!("here-documents: {error}")))?;
        self.containers.docker.import(&image, tar).await.map_err(|fault| fault.during(Step::Build))?;
        Ok(Some(image))
    }
}

fn refuse(error: &dyn std::fmt::Display) -> RunError {
    RunError::job(Step::Build, error.to_string())
}

fn tar_of(files: &[File]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = super::archive::header_of(file.mode, 0, file.content.len() as u64);
        tar.append_data(&mut header, &file.path, file.content.as_bytes())?;
    }
    tar.into_inner()
}
