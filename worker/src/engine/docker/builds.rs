//! Builds of images in the engine.
//!
//! What to know before you change this file:
//! - The classic builder accepts limits of memory and cpu. `BuildKit` accepts neither these limits nor a network of ours; `build::steps`
//!   limits its steps. Both builders end a build when its connection ends.
//! - The worker never sends `remote=`, because the engine would fetch it from its own network, and never asks for options that give a
//!   Dockerfile more rights.
//! - bollard sends the memory of a build as a 32 bit number, so a build gets at most [`BUILD_MEMORY_MAX`].

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error as Bollard;
use bollard::moby::buildkit::v1::{StatusResponse, VertexLog};
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::dialect::Dialect;
use super::images::{credentials, to_end};
use super::{Docker, Fault, buildkit};
use crate::engine::{BuildStep, BuildWord, Login};

/// Time to send a context. The engine answers when it has the whole context.
pub(super) const CONTEXT_TIMEOUT: Duration = Duration::from_mins(30);
/// Most memory of a build, because bollard sends it as a 32 bit number.
const BUILD_MEMORY_MAX: u64 = 2 * 1024 * 1024 * 1024 - 1;
const CPU_PERIOD_MICROS: i32 = 100_000;

/// How to build one image.
#[derive(Clone, Debug, Default)]
pub(crate) struct BuildOptions {
    /// Name of the built image.
    pub(crate) tag: String,
    /// Path of the Dockerfile in the context.
    pub(crate) dockerfile: String,
    pub(crate) target: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) args: HashMap<String, String>,
    pub(crate) labels: HashMap<String, String>,
    /// Network of its `RUN` steps. None means the engine's default bridge.
    pub(crate) network: Option<String>,
    pub(crate) cpus: f64,
    /// Memory and swap together.
    pub(crate) memory_bytes: u64,
    /// None means 64 MiB.
    pub(crate) shm_bytes: Option<u64>,
    /// Logins for the registries of the base images.
    pub(crate) logins: Vec<Login>,
    /// Use `BuildKit` instead of the classic builder.
    pub(crate) is_buildkit: bool,
}

impl Docker {
    /// A connection for builds, with a long timeout for sending a context.
    pub(crate) fn builder(&self) -> Builder {
        Builder(self.client.clone().with_timeout(CONTEXT_TIMEOUT), self.dialect.clone())
    }
}

/// See [`Docker::builder`].
pub(crate) struct Builder(bollard::Docker, Dialect);

impl Builder {
    /// Builds an image from a context's tar. The image is present when the stream ends without an error. Dropping the stream ends the
    /// build.
    pub(crate) fn build(
        &self,
        options: &BuildOptions,
        context: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> impl Stream<Item = Result<BuildWord, Fault>> + '_ {
        let words = if options.is_buildkit {
            buildkit::build(options, context)
        } else {
            self.0.build_image(build_image_options(options), logins_of(options), Some(bollard::body_try_stream(context))).boxed()
        };
        to_end(words).map(|word| word.map(build_word).map_err(|error| fault_of_build(error, &self.1)))
    }
}

/// Turns the client's error into a fault. A failed step of a build is the job's fault.
fn fault_of_build(error: Bollard, dialect: &Dialect) -> Fault {
    match error {
        Bollard::DockerStreamError { error } if dialect.is_fault_of_build(&error) => {
            Fault::Refused { status: 400, message: error.trim_end().to_owned() }
        }
        other => other.into(),
    }
}

fn build_word(info: BuildInfo) -> BuildWord {
    let progress = || {
        let status = info.status.filter(|status| !status.is_empty())?;
        Some(info.id.map_or_else(|| status.clone(), |id| format!("{id}: {status}")))
    };
    if let Some(BuildInfoAux::BuildKit(trace)) = info.aux {
        return BuildWord::Steps(steps_of(trace));
    }
    match info.stream {
        Some(text) => BuildWord::Output(text),
        None => progress().map_or(BuildWord::Nothing, BuildWord::Progress),
    }
}

fn steps_of(trace: StatusResponse) -> Vec<BuildStep> {
    let mut steps = Vec::new();
    for vertex in trace.vertexes {
        let id = vertex.digest;
        if vertex.cached {
            steps.push(BuildStep::Cached { id, name: vertex.name });
            continue;
        }
        if vertex.started.is_some() {
            steps.push(BuildStep::Begun { id: id.clone(), name: vertex.name });
        }
        if vertex.completed.is_some() || !vertex.error.is_empty() {
            steps.push(BuildStep::Ended { id, error: Some(vertex.error).filter(|error| !error.is_empty()) });
        }
    }
    let text = |log: VertexLog| (log.vertex, String::from_utf8_lossy(&log.msg).into_owned());
    steps.extend(trace.logs.into_iter().map(text).map(|(id, text)| BuildStep::Output { id, text }));
    steps
}

/// The logins by registry.
pub(super) fn logins_of(options: &BuildOptions) -> Option<HashMap<String, DockerCredentials>> {
    let logins: HashMap<_, _> = options.logins.iter().map(|login| (login.registry.clone(), credentials(login))).collect();
    (!logins.is_empty()).then_some(logins)
}

pub(super) fn build_image_options(options: &BuildOptions) -> BuildImageOptions {
    if options.is_buildkit {
        return buildkit_options(options);
    }
    let memory = i32::try_from(options.memory_bytes.min(BUILD_MEMORY_MAX)).unwrap_or(i32::MAX);
    let mut builder = BuildImageOptionsBuilder::new()
        .dockerfile(&options.dockerfile)
        .t(&options.tag)
        .buildargs(&options.args)
        .labels(&options.labels)
        .rm(true)
        .forcerm(true)
        .memory(memory)
        .memswap(memory)
        .cpuperiod(CPU_PERIOD_MICROS)
        .cpuquota(quota(options.cpus));
    if let Some(bytes) = options.shm_bytes {
        builder = builder.shmsize(i32::try_from(bytes).unwrap_or(i32::MAX));
    }
    if let Some(target) = &options.target {
        builder = builder.target(target);
    }
    if let Some(platform) = &options.platform {
        builder = builder.platform(platform);
    }
    if let Some(network) = &options.network {
        builder = builder.networkmode(network);
    }
    builder.build()
}

/// `BuildKit` has its own networks. The worker uses only `none` and the engine's default bridge.
fn buildkit_options(options: &BuildOptions) -> BuildImageOptions {
    let mut builder = BuildImageOptionsBuilder::new()
        .dockerfile(&options.dockerfile)
        .t(&options.tag)
        .buildargs(&options.args)
        .labels(&options.labels)
        .version(BuilderVersion::BuilderBuildKit)
        .session(&uuid::Uuid::new_v4().to_string());
    if let Some(target) = &options.target {
        builder = builder.target(target);
    }
    if let Some(platform) = &options.platform {
        builder = builder.platform(platform);
    }
    if options.network.as_deref() == Some("none") {
        builder = builder.networkmode("none");
    }
    builder.build()
}

/// Microseconds of cpu time in each period. The engine refuses less than 1 ms.
#[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
fn quota(cpus: f64) -> i32 {
    ((cpus * f64::from(CPU_PERIOD_MICROS)) as i32).max(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_fit_what_the_client_carries() {
        let options = |memory_bytes, cpus| build_image_options(&BuildOptions { cpus, memory_bytes, ..BuildOptions::default() });
        assert_eq!((options(96 << 20, 0.5).memory, options(96 << 20, 0.5).memswap), (Some(96 << 20), Some(96 << 20)));
        assert_eq!(options(8 << 30, 0.5).memory, Some(i32::MAX));
        assert_eq!((options(1, 0.5).cpuquota, options(1, 0.0001).cpuquota), (Some(50_000), Some(1_000)));
        assert!(options(1, 1.0).remote.is_none() && options(1, 1.0).forcerm);
    }
}
