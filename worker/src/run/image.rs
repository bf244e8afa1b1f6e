//! The image of a job: present, pulled, or built.

use protocol::Step;

use super::{RunError, Task};
use crate::build::{self, Block};
use crate::image::{ImageReference, InvalidImage, pull};

/// Gives the id of the job's image, which is then present.
pub(super) async fn ensure(task: &Task<'_>) -> Result<String, RunError> {
    let Some(containers) = &task.host.containers else { return Ok(String::new()) };
    let definition = &task.parsed.definition;
    let refuse = |error: build::InvalidBlock| RunError::job(Step::Build, error.to_string());
    if let Some(block) = definition.build.as_ref().map(Block::read).transpose().map_err(refuse)?.flatten() {
        return build::ensure(task, containers, block).await;
    }
    let Some(text) = definition.image.as_deref().filter(|image| !image.trim().is_empty()) else {
        return Err(refuse(build::InvalidBlock::NoDockerfile));
    };
    let image: ImageReference = text.parse().map_err(|error: InvalidImage| RunError::job(Step::Pull, error.to_string()))?;
    containers.isolation.check_registry(&image).await.map_err(|error| RunError::job(Step::Pull, error.to_string()))?;
    let builds = &task.host.builds;
    let (images, stats, patience) = (&task.host.images, &task.host.api.stats, builds.pull_patience);
    pull(&containers.docker, images, stats, &task.log, &image, &builds.logins, patience).await
}
