//! One build by the engine, in a task of its own: whoever waits for it may leave at any time, and the task ends the build and
//! takes away what it left.
//!
//! The worker waits for these tasks when it drains; after a crash the engine ends the build by itself, because its connection is
//! gone.

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
use crate::ends;
use crate::executor::{BuildOptions, Docker};
use crate::image::{ImageReference, Turn};
use crate::isolation::BuildGuard;
use crate::log::Log;
use crate::run::RunError;

/// Bytes of a context on their way.
const BUFFER_BYTES: usize = 256 * 1024;
/// A layer that is still in use after these attempts belongs to another build by now.
const HELD_ATTEMPTS_MAX: usize = 10;
const HELD_PAUSE: Duration = Duration::from_millis(200);

/// One build.
pub(super) struct Build {
    pub(super) docker: Docker,
    pub(super) log: Log,
    pub(super) options: BuildOptions,
    pub(super) plan: Plan,
    pub(super) bounds: Bounds,
    pub(super) held: Held,
}

/// What is held until nothing is left of the build.
pub(super) struct Held {
    pub(super) turn: Turn,
    pub(super) _alone: Option<Turn>,
    pub(super) files: Option<Files>,
    pub(super) guard: Option<BuildGuard>,
}

/// An image that a build copies its here-documents from; removed when this is dropped.
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
                tracing::warn!(%fault, %image, "the here-documents of a build stay as an image");
            }
        });
    }
}

impl Build {
    /// Runs the build to its end, or, when this future is dropped, to nothing.
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
        let before = docker.nameless_images().await.map_err(|fault| RunError::of(Step::Build, fault))?;
        let mut progress = Progress::default();
        let made = progress.made.clone();
        let result = tokio::select! {
            result = follow(&docker, &log, &options, plan, &mut progress) => result,
            sentence = bounds.until_over(&docker, &made), if !options.is_buildkit => exceeded(sentence),
            sentence = steps::until_over(&bounds, limits, place), if options.is_buildkit => exceeded(sentence),
            () = leave.cancelled() => Err(RunError::Halted),
        };
        // Before the log, which may have to wait for the API.
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

async fn follow(docker: &Docker, log: &Log, options: &BuildOptions, plan: Plan, progress: &mut Progress) -> Result<(), RunError> {
    let builder = docker.builder();
    let mut words = std::pin::pin!(builder.build(options, stream(plan)));
    while let Some(word) = words.next().await {
        match word {
            Ok(word) => progress.take(log, word).await,
            Err(fault) => {
                let code = ends::build(&fault, progress.step());
                return Err(RunError::failed(code, Step::Build, format!("the build failed{}: {fault}", progress.place())));
            }
        }
    }
    Ok(())
}

/// The context's tar while a blocking task writes it. The task ends when nobody reads any more.
fn stream(plan: Plan) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (writer, reader) = tokio::io::duplex(BUFFER_BYTES);
    let task = tokio::task::spawn_blocking(move || {
        // Dropped here, whatever comes of it: the reader waits for that.
        plan.write(SyncIoBridge::new(writer))
    });
    // What went wrong is the stream's last item, so that the engine never takes a tar that was cut off for a whole one.
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

/// Removes the layers that the build made. The engine removes the container of its last step by itself, a moment after the build
/// was ended; until then it holds the layer it runs on.
async fn clean_up(docker: &Docker, layers: &[String], before: &HashSet<String>) {
    for _ in 0..HELD_ATTEMPTS_MAX {
        if docker.remove_layers(layers, before).await == 0 {
            return;
        }
        tokio::time::sleep(HELD_PAUSE).await;
    }
}
