//! Gets the image of a job: uses a present image, or pulls or builds it.
//!
//! When a registry or another server fails, the worker tries again for half a minute or for `--retry-for`, before it releases the job,
//! because most outages end before another worker would get the job.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::{EndCode, EndFault, InvalidBuild, Step};
use tokio::time::Instant;

use super::{ImageReference, Images, InvalidImage, Present, pull};
use crate::disk::ImageStore;
use crate::ends::RunError;
use crate::engine::build::{self, Block};
use crate::engine::{Containers, Fault, Job};
use crate::network::ForbiddenRegistry;

/// The first pause before another attempt. The pause doubles with each attempt, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

impl Images for Containers {
    fn ensure<'a>(&'a self, job: &'a Job<'_>) -> BoxFuture<'a, Result<Present, RunError>> {
        async move {
            // Check the network meanwhile. If the image takes long, the network is checked again later.
            let network = async { self.isolation.network().await.map_err(Fault::broken) };
            let (id, _network) = tokio::try_join!(self.image_of(job), network)?;
            Ok(Present { _in_use: self.record.used(&id), id })
        }
        .boxed()
    }

    fn builds(&self) -> bool {
        self.settings.is_on && !self.isolation.refuses_builds()
    }

    fn platform(&self) -> String {
        self.docker.platform.clone()
    }

    fn store(&self) -> Option<Arc<dyn ImageStore>> {
        Some(Arc::new(self.docker.clone()))
    }
}

impl Containers {
    /// Pulls or builds the job's image unless it is present. Returns its id.
    async fn image_of(&self, job: &Job<'_>) -> Result<String, RunError> {
        let definition = &job.parsed.definition;
        let refuse = |error: String| RunError::failed(EndCode::DefinitionInvalid, Step::Build, error);
        let block = definition.build.as_ref().map(Block::read).transpose().map_err(|error| refuse(error.to_string()))?;
        if let Some(block) = block.flatten() {
            return self.with_retries(job, || build::ensure(job, self, block.clone()).boxed()).await;
        }
        let Some(text) = definition.image.as_deref().filter(|image| !image.trim().is_empty()) else {
            return Err(refuse(InvalidBuild::NoDockerfile.to_string()));
        };
        let image: ImageReference = text
            .parse()
            .map_err(|error: InvalidImage| RunError::failed(EndCode::ImageReferenceInvalid, Step::Pull, error.to_string()))?;
        let attempt = || {
            async {
                self.isolation.check_registry(&image).await.map_err(|error| forbidden(Step::Pull, &error))?;
                pull(self, &job.log, &image).await
            }
            .boxed()
        };
        self.with_retries(job, attempt).await
    }

    /// Tries again while the network fails. A silent registry is not tried again, because its timeout was long enough.
    async fn with_retries<'a, T>(
        &self,
        job: &Job<'_>,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, RunError>>,
    ) -> Result<T, RunError> {
        let until = Instant::now() + self.settings.retry_for;
        let mut pause = FIRST_PAUSE;
        loop {
            match attempt().await {
                Err(RunError::Failed { code, step, message, .. }) if may_pass(code) && Instant::now() + pause <= until => {
                    job.log
                        .error(step, format!("{message}; the worker tries again in {}", protocol::format_duration(pause)))
                        .await;
                }
                result => return result,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The error for a registry that this worker does not pull from or cannot find.
pub(crate) fn forbidden(step: Step, error: &ForbiddenRegistry) -> RunError {
    let code = match error {
        ForbiddenRegistry::Private(_) => EndCode::RegistryNotAllowed,
        ForbiddenRegistry::Unknown(_) => EndCode::PullFailed,
    };
    RunError::failed(code, step, error.to_string())
}

fn may_pass(code: EndCode) -> bool {
    code.fault() == EndFault::Network && code != EndCode::PullSilent
}
