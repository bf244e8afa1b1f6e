//! Built images in the registry of `--build-registry`. A failure of that registry is only logged and does not fail the job.

use std::time::Duration;

use futures_util::StreamExt;
use protocol::Step;

use super::Work;
use crate::engine::images::{ImageReference, follow_pull};
use crate::engine::{Fault, Login};

/// After this long without a message from the registry, the worker gives up on the pull or push.
const REGISTRY_TIMEOUT: Duration = Duration::from_mins(2);

impl Work<'_> {
    /// Pulls a built image from the registry. Returns whether the registry has it.
    pub(super) async fn fetch_built(&self, key: &str, image: &ImageReference) -> bool {
        let Some(registry) = &self.containers.settings.registry else { return false };
        let (docker, log, there) = (&self.containers.docker, &self.job.log, registry.image(key));
        log.line(Step::Pull, format!("looking for {there}")).await;
        let login = registry.login().await;
        if let Err(error) = follow_pull(log, &there, docker.pull_as(&there, login.as_ref()), REGISTRY_TIMEOUT).await {
            log.line(Step::Pull, format!("the registry does not have it: {error}")).await;
            return false;
        }
        let renamed = async {
            docker.tag(&there, image).await?;
            docker.untag(&there).await
        };
        renamed.await.is_ok()
    }

    /// Pushes the image to the registry. A failure is logged and the job continues.
    pub(super) async fn keep_built(&self, key: &str, image: &ImageReference) {
        let Some(registry) = &self.containers.settings.registry else { return };
        let there = registry.image(key);
        self.job.log.line(Step::Push, format!("pushing {there}")).await;
        let pushed = async {
            self.containers.docker.tag(image, &there).await?;
            let pushed = self.push(&there, registry.login().await.as_ref()).await;
            self.containers.docker.untag(&there).await?;
            pushed
        };
        match pushed.await {
            Ok(()) => self.job.log.line(Step::Push, format!("pushed {there}")).await,
            Err(fault) => {
                let line = format!("the image stays on this worker, because it cannot be pushed: {fault}");
                self.job.log.error(Step::Push, line).await;
            }
        }
    }

    async fn push(&self, there: &ImageReference, login: Option<&Login>) -> Result<(), Fault> {
        let mut words = std::pin::pin!(self.containers.docker.push(there, login)?);
        let mut last = String::new();
        let silent = |_| Fault::Host("the registry sent nothing".to_owned());
        while let Some(word) = tokio::time::timeout(REGISTRY_TIMEOUT, words.next()).await.map_err(silent)? {
            let word = word?;
            if !word.is_empty() && word != last {
                self.job.log.line(Step::Push, &word).await;
                last = word;
            }
        }
        Ok(())
    }
}
