//! Runs one build in the engine, in a task of its own. The waiting future may be dropped at any time; then the task stops the build and
//! removes what it left.
//!
//! The worker waits for these tasks when it drains. If the worker crashes, its connection closes, and the engine stops the build itself.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use protocol::{EndCode, Step};
use tokio_util::io::{ReaderStream, SyncIoBridge};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::context::Plan;
use super::disk::Bounds;
use super::progress::Progress;
use super::settings::Settings;
use super::steps::{self, Limits};
use crate::ends::RunError;
use crate::engine::images::{ImageReference, Turn};
use crate::engine::isolation::BuildGuard;
use crate::engine::{BuildOptions, Docker, JobLog, refusals};

/// Buffer for the context's bytes.
const BUFFER_BYTES: usize = 256 * 1024;
/// A layer that is still in use after this many attempts to remove it belongs to another build.
const HELD_ATTEMPTS_MAX: usize = 10;
const HELD_PAUSE: Duration = Duration::from_millis(200);

/// One build.
pub(super) struct Build {
    pub(super) docker: Docker,
    pub(super) log: JobLog,
    pub(super) options: BuildOptions,
    pub(super) plan: Plan,
    pub(super) bounds: Bounds,
    pub(super) held: Held,
}

/// What a build keeps until it has ended and is cleaned up.
pub(super) struct Held {
    pub(super) turn: Turn,
    pub(super) _alone: Option<Turn>,
    pub(super) files: Option<Files>,
    pub(super) guard: Option<BuildGuard>,
}

/// The image with a build's here-documents. It is removed on drop.
pub(super) struct Files {
    docker: Docker,
    image: Option<ImageReference>,
    tasks: TaskTracker,
}

impl Files {
    pub(super) fn new(docker: Docker, image: ImageReference, tasks: &TaskTracker) -> Self {
        Self { docker, image: Some(image), tasks: tasks.clone() }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let (docker, image) = (self.docker.clone(), self.image.take());
        self.tasks.spawn(async move {
            if let Some(image) = image
                && let Err(fault) = docker.untag(&image).await
            {
                tracing::warn!(%fault, %image, "cannot remove the image with the here-documents of a build");
            }
        });
    }
}

impl Build {
    /// Runs the build to its end. Dropping this future stops the build and removes what it left.
    pub(super) async fn run(self, settings: &Settings) -> Result<(), RunError> {
        let leave = CancellationToken::new();
        let _guard = leave.clone().drop_guard();
        let task = settings.tasks.spawn(self.work(leave));
        task.await.map_err(|error| RunError::Host(format!("a build broke off: {error}")))?
    }

    async fn work(self, leave: CancellationToken) -> Result<(), RunError> {
        let Self { docker, log, options, plan, bounds, held } = self;
        let limits = Limits { memory_bytes: options.memory_bytes, cpus: options.cpus };
        let place = if options.is_buildkit { steps::place(&docker).await } else { None };
        let before = docker.nameless_images().await.map_err(|fault| fault.during(Step::Build))?;
        let mut progress = Progress::default();
        let made = progress.made.clone();
        let result = tokio::select! {
            result = follow(&docker, &log, &options, plan, &mut progress) => result,
            sentence = bounds.until_over(&docker, &made), if !options.is_buildkit => exceeded(sentence),
            sentence = steps::until_over(&bounds, limits, place), if options.is_buildkit => exceeded(sentence),
            () = leave.cancelled() => Err(RunError::Stopped),
        };
        // Clean up before the log is written, because the log may have to wait for the API.
        if result.is_err() {
            clean_up(&docker, &made.layers(), &before).await;
        }
        if let Some(guard) = held.guard {
            guard.close().await;
        }
        drop((held.files, held.turn));
        progress.end(&log).await;
        result
    }
}

fn exceeded(sentence: String) -> Result<(), RunError> {
    Err(RunError::failed(EndCode::BuildExceeded, Step::Build, sentence))
}

async fn follow(
    docker: &Docker,
    log: &JobLog,
    options: &BuildOptions,
    plan: Plan,
    progress: &mut Progress,
) -> Result<(), RunError> {
    let builder = docker.builder();
    let mut words = std::pin::pin!(builder.build(options, stream(plan)));
    while let Some(word) = words.next().await {
        match word {
            Ok(word) => progress.take(log, word).await,
            Err(fault) => {
                let code = refusals::build(&fault, progress.step());
                return Err(RunError::failed(code, Step::Build, format!("the build failed{}: {fault}", progress.place())));
            }
        }
    }
    Ok(())
}

/// The context's tar, while a blocking task writes it. The task ends when the stream is dropped.
fn stream(plan: Plan) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (writer, reader) = tokio::io::duplex(BUFFER_BYTES);
    let task = tokio::task::spawn_blocking(move || {
        // The writer is always dropped at the end of this task, because the reader waits for that.
        plan.write(SyncIoBridge::new(writer))
    });
    // An error is the last item of the stream, so that the engine never takes an incomplete tar for a complete one.
    let end = futures_util::stream::once(async move {
        match task.await {
            Ok(result) => result.map(|()| Bytes::new()),
            Err(error) => Err(io::Error::other(error)),
        }
    });
    ReaderStream::with_capacity(reader, BUFFER_BYTES).chain(end).filter(|item| {
        let is_empty = item.as_ref().is_ok_and(Bytes::is_empty);
        std::future::ready(!is_empty)
    })
}

/// Removes the layers that the build made. The engine removes the container of the last step itself, a moment after the build was
/// stopped. Until then the container uses its layer, so one attempt may not be enough.
async fn clean_up(docker: &Docker, layers: &[String], before: &HashSet<String>) {
    for _ in 0..HELD_ATTEMPTS_MAX {
        if docker.remove_layers(layers, before).await == 0 {
            return;
        }
        tokio::time::sleep(HELD_PAUSE).await;
    }
}
