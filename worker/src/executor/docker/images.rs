//! Images in the engine: present, pulled, built, tagged, pushed, removed.
//!
//! What to know before you change this file:
//! - A pull without a tag pulls every tag. Errors of a pull, push or build come inside its stream.
//! - The classic builder accepts limits of memory and cpu. `BuildKit` accepts neither these limits nor a network of ours; `build::steps`
//!   limits its steps. Both end when their connection ends. The worker never sends `remote=`, because the engine would fetch it from its
//!   own network, and never asks for options that give a Dockerfile more rights.
//! - A stream may end with an error that means nothing; see [`to_end`].
//! - bollard sends the memory of a build as a 32 bit number, so a build gets at most [`BUILD_MEMORY_MAX`].
//! - The worker removes only layers that a failed build has made. An image that has a tag, or existed before the build, stays.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error as Bollard;
use bollard::moby::buildkit::v1::{StatusResponse, VertexLog};
use bollard::models::{BuildInfo, BuildInfoAux, CreateImageInfo, ImageSummary};
use bollard::query_parameters::{
    BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion, CreateImageOptionsBuilder, ListImagesOptionsBuilder,
    PushImageOptions, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::{Docker, Fault, buildkit};
use crate::error::innermost;
use crate::executor::{BuildStep, BuildWord, Login, PullProgress};
use crate::image::{ImageReference, Version};

/// Time to send a context. The engine answers when it has the whole context.
pub(super) const CONTEXT_TIMEOUT: Duration = Duration::from_mins(30);
/// Most memory of a build, because bollard sends it as a 32 bit number.
const BUILD_MEMORY_MAX: u64 = 2 * 1024 * 1024 * 1024 - 1;
const CPU_PERIOD_MICROS: i32 = 100_000;
/// Most platforms of an image that a sentence names.
const PLATFORMS_SHOWN: usize = 16;

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
    /// Network of its `RUN` steps. None: the engine's default bridge.
    pub(crate) network: Option<String>,
    pub(crate) cpus: f64,
    /// Memory and swap together.
    pub(crate) memory_bytes: u64,
    /// None: 64 MiB.
    pub(crate) shm_bytes: Option<u64>,
    /// Logins for the registries of the base images.
    pub(crate) logins: Vec<Login>,
    /// Use `BuildKit` instead of the classic builder.
    pub(crate) is_buildkit: bool,
}

impl Docker {
    /// Id of an image, if it is present.
    pub(crate) async fn image_id(&self, image: &ImageReference) -> Result<Option<String>, Fault> {
        match self.client.inspect_image(&image.to_string()).await {
            Ok(found) => Ok(Some(found.id.unwrap_or_else(|| image.to_string()))),
            Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Pulls an image, with a login if there is one. The image is present when the stream ends without an error.
    pub(crate) fn pull_as(
        &self,
        image: &ImageReference,
        login: Option<&Login>,
    ) -> impl Stream<Item = Result<PullProgress, Fault>> + use<> {
        let options = CreateImageOptionsBuilder::new().from_image(&image.name).tag(image.version.as_str()).build();
        let progress = self.client.create_image(Some(options), None, login.map(credentials));
        let word =
            |info: CreateImageInfo| PullProgress { layer: info.id.unwrap_or_default(), status: info.status.unwrap_or_default() };
        to_end(progress).map_ok(word).map_err(Fault::from)
    }

    /// The platforms that a registry has an image for, such as `linux/arm64`.
    pub(crate) async fn registry_platforms(&self, image: &ImageReference, login: Option<&Login>) -> Result<Vec<String>, Fault> {
        let found = self.client.inspect_registry_image(&image.to_string(), login.map(credentials)).await?;
        let name = |platform: bollard::models::OciPlatform| super::program::platform(platform.os, platform.architecture);
        let mut platforms: Vec<String> = found.platforms.into_iter().map(name).collect();
        platforms.retain(|platform| !platform.is_empty() && !platform.contains("unknown"));
        platforms.sort();
        platforms.dedup();
        platforms.truncate(PLATFORMS_SHOWN);
        Ok(platforms)
    }

    /// A connection for builds, with a long timeout for sending a context.
    pub(crate) fn builder(&self) -> Builder {
        Builder(self.client.clone().with_timeout(CONTEXT_TIMEOUT))
    }

    /// Gives an image another name.
    pub(crate) async fn tag(&self, image: &ImageReference, name: &ImageReference) -> Result<(), Fault> {
        let options = TagImageOptionsBuilder::new().repo(&name.name).tag(tag_of(name)?).build();
        Ok(self.client.tag_image(&image.to_string(), Some(options)).await?)
    }

    /// Removes a name of an image. With its last name the image is removed.
    pub(crate) async fn untag(&self, name: &ImageReference) -> Result<(), Fault> {
        self.remove_image_named(&name.to_string()).await
    }

    /// Pushes an image to its registry. The push has succeeded when the stream ends without an error.
    pub(crate) fn push(
        &self,
        image: &ImageReference,
        login: Option<&Login>,
    ) -> Result<impl Stream<Item = Result<String, Fault>> + use<>, Fault> {
        let options = PushImageOptions { tag: Some(tag_of(image)?.to_owned()), ..PushImageOptions::default() };
        let client = self.client.clone();
        let words = client.push_image(&image.name, Some(options), login.map(credentials)).boxed();
        Ok(to_end(words).map_ok(|info| info.status.unwrap_or_default()).map_err(Fault::from))
    }

    /// Ids of all images and layers without a name.
    pub(crate) async fn nameless_images(&self) -> Result<HashSet<String>, Fault> {
        Ok(self.nameless().await?.into_iter().map(|image| image.id).collect())
    }

    async fn nameless(&self) -> Result<Vec<ImageSummary>, Fault> {
        let filters = HashMap::from([("dangling".to_owned(), vec!["true".to_owned()])]);
        let options = ListImagesOptionsBuilder::new().all(true).filters(&filters).build();
        Ok(self.client.list_images(Some(options)).await?)
    }

    /// Bytes that a layer adds to the layer below it. 0 when the layer does not exist.
    pub(crate) async fn layer_bytes(&self, id: &str) -> u64 {
        let history = self.client.image_history(id).await.unwrap_or_default();
        history.first().and_then(|own| u64::try_from(own.size).ok()).unwrap_or(0)
    }

    /// Removes the layers that a build left, newest first. Returns how many are still in use.
    pub(crate) async fn remove_layers(&self, layers: &[String], before: &HashSet<String>) -> usize {
        let mut n_in_use = 0;
        for id in self.own_layers(layers, before).await.iter().rev() {
            match self.remove_image_named(id).await {
                Err(Fault::Refused { status: 409, .. }) => n_in_use += 1,
                Err(fault) => tracing::warn!(%fault, image = %id, "cannot remove a layer of a failed build"),
                Ok(()) => (),
            }
        }
        n_in_use
    }

    /// Full ids of the layers that a build made, then the layers made from them: when a build is stopped, the engine may have made a
    /// layer that it did not report. A layer that existed `before` or has a name is left out, because the ids come from the engine's
    /// messages, which a build can forge.
    async fn own_layers(&self, layers: &[String], before: &HashSet<String>) -> Vec<String> {
        let mut own = Vec::new();
        // The client does not escape names in URLs.
        for id in layers.iter().filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit())) {
            let Ok(found) = self.client.inspect_image(id).await else { continue };
            let is_named = found.repo_tags.iter().flatten().next().is_some();
            own.extend(found.id.filter(|id| !is_named && !before.contains(id)));
        }
        let mut others = self.nameless().await.unwrap_or_default();
        others.retain(|image| !before.contains(&image.id) && !own.contains(&image.id));
        while let Some(next) = others.iter().position(|image| own.contains(&image.parent_id)) {
            own.push(others.swap_remove(next).id);
        }
        own
    }

    async fn remove_image_named(&self, name: &str) -> Result<(), Fault> {
        let options = RemoveImageOptionsBuilder::new().force(false).noprune(true).build();
        match self.client.remove_image(name, Some(options), None).await {
            Ok(_) | Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// See [`Docker::builder`].
pub(crate) struct Builder(bollard::Docker);

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
        to_end(words).map(|word| word.map(build_word).map_err(fault_of_build))
    }
}

/// Ends a stream at the client's error for a line end that arrives apart from its line. Nothing follows that line end, so it is the
/// end of the stream, and callers check whether the image is present.
fn to_end<T>(words: impl Stream<Item = Result<T, Bollard>>) -> impl Stream<Item = Result<T, Bollard>> {
    words.take_while(|word| {
        let is_line_end = word.as_ref().is_err_and(|error| innermost(error) == "bytes remaining on stream");
        std::future::ready(!is_line_end)
    })
}

/// A failed step of a build is the job's fault.
fn fault_of_build(error: Bollard) -> Fault {
    // How the builders' messages begin when a command fails, or a Dockerfile or a context is invalid.
    const OF_STEPS: [&str; 8] = [
        "The command '",
        "executor failed running [",
        "failed to solve: process \"",
        "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error",
        "failed to solve with frontend dockerfile.v0: failed to create LLB definition: Unknown flag",
        "failed to solve with frontend dockerfile.v0: failed to build LLB: failed to compute cache key: \"",
        "failed to solve: dockerfile parse error",
        "failed to compute cache key: \"",
    ];
    match error {
        Bollard::DockerStreamError { error } if OF_STEPS.iter().any(|words| error.starts_with(words)) => {
            Fault::Refused { status: 400, message: error }
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

fn credentials(login: &Login) -> DockerCredentials {
    if login.is_token {
        return DockerCredentials {
            identitytoken: Some(login.password.clone()),
            serveraddress: Some(login.registry.clone()),
            ..DockerCredentials::default()
        };
    }
    DockerCredentials {
        username: Some(login.user.clone()),
        password: Some(login.password.clone()),
        serveraddress: Some(login.registry.clone()),
        ..DockerCredentials::default()
    }
}

fn tag_of(image: &ImageReference) -> Result<&str, Fault> {
    match &image.version {
        Version::Tag(tag) => Ok(tag),
        Version::Digest(_) => Err(Fault::Refused { status: 400, message: "an image can be given a tag only".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_of_a_separate_line_end_ends_a_stream_and_other_errors_do_not() {
        let io = |text: &str| Bollard::IOError { err: io::Error::other(text.to_owned()) };
        let words = |error| futures_util::stream::iter([Ok(1), Err(error)]);
        assert_eq!(to_end(words(io("bytes remaining on stream"))).count().await, 1);
        assert_eq!(to_end(words(io("broken pipe"))).count().await, 2);
    }

    #[test]
    fn limits_fit_what_the_client_carries() {
        let options = |memory_bytes, cpus| build_image_options(&BuildOptions { cpus, memory_bytes, ..BuildOptions::default() });
        assert_eq!((options(96 << 20, 0.5).memory, options(96 << 20, 0.5).memswap), (Some(96 << 20), Some(96 << 20)));
        assert_eq!(options(8 << 30, 0.5).memory, Some(i32::MAX));
        assert_eq!((options(1, 0.5).cpuquota, options(1, 0.0001).cpuquota), (Some(50_000), Some(1_000)));
        assert!(options(1, 1.0).remote.is_none() && options(1, 1.0).forcerm);
    }
}
