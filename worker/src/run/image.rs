//! Gets the image of a job: it is present, pulled or built.
//!
//! When a registry or another server fails, the worker tries again for half a minute or for `--retry-for`, before it releases the job: most
//! outages are shorter than the way to another worker.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::{EndCode, EndFault, InvalidBuild, Step};
use tokio::time::Instant;

use super::{RunError, Task};
use crate::engine::build::{self, Block};
use crate::engine::images::{ImageReference, InvalidImage, pull};
use crate::network::ForbiddenRegistry;

/// The pause doubles with each attempt, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Makes the job's image present. Returns its id.
pub(super) async fn ensure(task: &Task<'_>) -> Result<String, RunError> {
    let definition = &task.parsed.definition;
    let Some(containers) = &task.host.containers else {
        // The API gives such a job to no worker that runs scripts. An API of an older release may.
        return if definition.is_script() {
            Ok(String::new())
        } else {
            Err(RunError::Host("this worker runs only scripts, and the job needs a container".to_owned()))
        };
    };
    let refuse = |error: String| RunError::failed(EndCode::DefinitionInvalid, Step::Build, error);
    if let Some(block) =
        definition.build.as_ref().map(Block::read).transpose().map_err(|error| refuse(error.to_string()))?.flatten()
    {
        return with_retries(task, || build::ensure(task, containers, block.clone()).boxed()).await;
    }
    let Some(text) = definition.image.as_deref().filter(|image| !image.trim().is_empty()) else {
        return Err(refuse(InvalidBuild::NoDockerfile.to_string()));
    };
    let image: ImageReference = text
        .parse()
        .map_err(|error: InvalidImage| RunError::failed(EndCode::ImageReferenceInvalid, Step::Pull, error.to_string()))?;
    let builds = &task.host.builds;
    let (images, stats, timeout) = (&task.host.images, &task.host.api.stats, builds.pull_timeout);
    let attempt = || {
        async {
            containers.isolation.check_registry(&image).await.map_err(|error| forbidden(Step::Pull, &error))?;
            pull(&containers.docker, images, stats, &task.log, &image, &builds.logins, timeout).await
        }
        .boxed()
    };
    with_retries(task, attempt).await
}

/// The error for a registry that this worker does not pull from or cannot find.
pub(crate) fn forbidden(step: Step, error: &ForbiddenRegistry) -> RunError {
    let code = match error {
        ForbiddenRegistry::Private(_) => EndCode::RegistryNotAllowed,
        ForbiddenRegistry::Unknown(_) => EndCode::PullFailed,
    };
    RunError::failed(code, step, error.to_string())
}

/// Tries again while the network fails. A silent registry is not tried again, because its timeout was long enough.
async fn with_retries<'a, T>(task: &Task<'_>, attempt: impl Fn() -> BoxFuture<'a, Result<T, RunError>>) -> Result<T, RunError> {
    let until = Instant::now() + task.host.builds.retry_for;
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt().await {
            Err(RunError::Failed { code, step, message, .. }) if may_pass(code) && Instant::now() + pause <= until => {
                task.log.error(step, format!("{message}; the worker tries again in {}", protocol::format_duration(pause))).await;
            }
            result => return result,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn may_pass(code: EndCode) -> bool {
    code.fault() == EndFault::Network && code != EndCode::PullSilent
}
