//! The image of a job: present, pulled, or built.
//!
//! What a registry or another server failed at is tried again here, for half a minute or as its owner says, before the job is given
//! back: most outages are shorter than the way to another worker.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::{EndCode, EndFault, InvalidBuild, Step};
use tokio::time::Instant;

use super::{RunError, Task};
use crate::build::{self, Block};
use crate::image::{ImageReference, InvalidImage, pull};
use crate::isolation::ForbiddenRegistry;

/// Doubles with each attempt, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Gives the id of the job's image, which is then present.
pub(super) async fn ensure(task: &Task<'_>) -> Result<String, RunError> {
    let definition = &task.parsed.definition;
    let Some(containers) = &task.host.containers else {
        // A queue's API gives such a job to no worker that runs scripts; one of an older release may.
        return if definition.is_script() {
            Ok(String::new())
        } else {
            Err(RunError::Host("this worker runs scripts, and the job asks for a container".to_owned()))
        };
    };
    let refuse = |error: String| RunError::failed(EndCode::DefinitionInvalid, Step::Build, error);
    if let Some(block) =
        definition.build.as_ref().map(Block::read).transpose().map_err(|error| refuse(error.to_string()))?.flatten()
    {
        return patiently(task, || build::ensure(task, containers, block.clone()).boxed()).await;
    }
    let Some(text) = definition.image.as_deref().filter(|image| !image.trim().is_empty()) else {
        return Err(refuse(InvalidBuild::NoDockerfile.to_string()));
    };
    let image: ImageReference = text
        .parse()
        .map_err(|error: InvalidImage| RunError::failed(EndCode::ImageReferenceInvalid, Step::Pull, error.to_string()))?;
    let builds = &task.host.builds;
    let (images, stats, patience) = (&task.host.images, &task.host.api.stats, builds.pull_patience);
    let attempt = || {
        async {
            containers.isolation.check_registry(&image).await.map_err(|error| forbidden(Step::Pull, &error))?;
            pull(&containers.docker, images, stats, &task.log, &image, &builds.logins, patience).await
        }
        .boxed()
    };
    patiently(task, attempt).await
}

/// A registry that this worker does not pull from, or does not find.
pub(crate) fn forbidden(step: Step, error: &ForbiddenRegistry) -> RunError {
    let code = match error {
        ForbiddenRegistry::Private(_) => EndCode::RegistryNotAllowed,
        ForbiddenRegistry::Unknown(_) => EndCode::PullFailed,
    };
    RunError::failed(code, step, error.to_string())
}

/// Tries again while the network fails. A silence was long enough.
async fn patiently<'a, T>(task: &Task<'_>, attempt: impl Fn() -> BoxFuture<'a, Result<T, RunError>>) -> Result<T, RunError> {
    let until = Instant::now() + task.host.builds.retry_for;
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt().await {
            Err(RunError::Failed { code, step, message, .. }) if may_pass(code) && Instant::now() + pause <= until => {
                task.log.error(step, format!("{message}; tried again in {}", protocol::format_duration(pause))).await;
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
