//! Finds out whose fault it is that the engine refuses a container.
//!
//! The engine's message quotes the definition, so it decides nothing. Instead, the worker starts a trial container with the same image,
//! limits, gpus, rights, runtime and network, and with nothing else from the definition. If the trial fails too, the refusal is the
//! machine's fault, and the worker claims no more jobs until such a container starts again. If the trial starts, the refusal is the
//! definition's fault when the engine's status was 400 to 499, or when the engine refuses a second time.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{EndCode, Step};

use super::Containers;
use crate::ends::RunError;
use crate::engine::{ContainerSpec, Docker, Fault, ImageFacts, Mount, refusals};
use crate::labels::LABEL_DATA;

/// Longest wait for a removal. After it, the removal continues in the background.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of a trial.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Least memory of a trial. The engine refuses a limit below 6 MiB, so a trial with such a limit would fail on a machine without a fault.
const MEMORY_MIN: u64 = 64 * 1024 * 1024;

impl Containers {
    /// Finds out what a refusal means. `Ok` means that the cause may have passed and the worker should try once more.
    pub(super) async fn judge(&self, fault: &Fault, spec: &ContainerSpec) -> Result<(), RunError> {
        let mut trial = blank(spec);
        trial.confinement = self.isolation.confinement(&ImageFacts::default()).await.map_err(Fault::broken)?;
        // The image may name a user that it does not have.
        trial.confinement.user.get_or_insert_with(|| "0:0".to_owned());
        trial.labels.insert(LABEL_DATA.to_owned(), self.data.label());
        match self.try_out(&trial).await {
            Ok(()) => refusals::container_after_trial(fault, false).map_or(Ok(()), |code| Err(fault.refusal(code))),
            Err(Fault::Host(cause)) => Err(RunError::failed(EndCode::EngineGone, Step::Running, cause)),
            Err(Fault::Refused { message, .. }) => {
                *self.failed_trial() = Some(trial);
                let message = format!(
                    "this worker's engine cannot run containers with the limits and gpus that the worker offers: {message}"
                );
                Err(RunError::failed(EndCode::MachineCannotRun, Step::Running, message))
            }
        }
    }

    /// Repeats the last failed trial. Until it succeeds, the worker claims no jobs.
    pub(super) async fn repeat_trial(&self) -> Result<(), Fault> {
        let Some(trial) = self.failed_trial().take() else { return Ok(()) };
        match self.try_out(&trial).await {
            // The image was removed, so this trial proves nothing. The next job shows whether containers start.
            Ok(()) | Err(Fault::Refused { status: 404, .. }) => Ok(()),
            Err(fault) => {
                self.failed_trial().get_or_insert(trial);
                Err(fault)
            }
        }
    }

    /// Checks whether the machine starts this container, and removes it.
    async fn try_out(&self, trial: &ContainerSpec) -> Result<(), Fault> {
        let id = self.docker.create(trial.clone()).await?;
        let removal = Removal { docker: self.docker.clone(), id: Some(id.clone()) };
        let started = tokio::time::timeout(TIMEOUT, self.docker.start(&id)).await;
        let end = self.docker.end(&id).await;
        removal.now().await;
        match started {
            Err(_elapsed) => Err(Fault::Host("a container did not start within a minute".to_owned())),
            // The engine started no init, and only the program, which is a folder, could not be run. So everything else works.
            Ok(Err(_)) if end.is_ok_and(|end| matches!(end.exit_code, 126 | 127)) => Ok(()),
            Ok(result) => result,
        }
    }

    fn failed_trial(&self) -> MutexGuard<'_, Option<ContainerSpec>> {
        self.failed_trial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings of the trial. For this machine they are like those of the job, but they contain no text of the definition. The program is
/// a folder, so the trial ends at once with every image. By then the engine's init has started, and the trial tests only that.
fn blank(spec: &ContainerSpec) -> ContainerSpec {
    // Mount the folder of all jobs, because this job's own folder may be removed while the trial waits.
    let jobs = spec.mounts.first().and_then(|inputs| inputs.source.ancestors().nth(2));
    let mounts = jobs.map(|jobs| Mount { source: jobs.to_owned(), target: "/inputs".to_owned(), is_read_only: true });
    ContainerSpec {
        image: spec.image.clone(),
        entrypoint: Some(vec!["/".to_owned()]),
        command: None,
        workdir: Some("/".to_owned()),
        env: Vec::new(),
        mounts: mounts.into_iter().collect(),
        cpus: spec.cpus,
        memory_bytes: spec.memory_bytes.max(MEMORY_MIN),
        shm_bytes: None,
        gpus: spec.gpus.clone(),
        secrets: None,
        has_init: true,
        labels: std::collections::HashMap::new(),
        confinement: crate::engine::Confinement::default(),
    }
}

/// Removes a trial's container, even when the waiting task is dropped.
struct Removal {
    docker: Docker,
    id: Option<String>,
}

impl Removal {
    async fn now(mut self) {
        let Some(id) = self.id.take() else { return };
        // The removal continues when this wait ends.
        let removal = self.spawn(id);
        let _ = tokio::time::timeout(REMOVAL_TIMEOUT, removal).await;
    }

    fn spawn(&self, id: String) -> tokio::task::JoinHandle<()> {
        let docker = self.docker.clone();
        tokio::spawn(async move {
            if let Err(fault) = docker.remove(&id).await {
                tracing::warn!(%fault, container = %id, "cannot remove the container of a trial; the next start of this worker removes it");
            }
        })
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // If this fails, the next start finds the container by its label.
            drop(self.spawn(id));
        }
    }
}
