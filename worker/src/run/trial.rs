//! Whose fault it is that the engine will not have a container.
//!
//! The engine's sentence quotes the definition and decides nothing. So this machine starts another container: with the same limits,
//! gpus, rights, runtime and network, and with no word of the definition in it. Where that fails too, the machine is at fault, and
//! it takes no more jobs until such a container starts again. Where it starts, the definition is at fault once the engine has
//! refused it for what was asked (a status from 400 to 499), or twice.

use std::time::Duration;

use protocol::{EndCode, Step};

use super::{Host, RunError, Task, broken};
use crate::ends::{self, Phase};
use crate::executor::{ContainerSpec, Executor, Fault, ImageFacts, LABEL_DATA, Mount};

/// A removal that takes longer goes on by itself.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(5);
/// A trial that takes longer has failed.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The engine refuses less than 6 MiB, for which the job is to blame.
const MEMORY_MIN: u64 = 64 * 1024 * 1024;

impl Task<'_> {
    /// What a refusal means. `Ok`: it may have passed, and the engine should be asked once more.
    pub(super) async fn doubt(
        &self,
        phase: Phase,
        fault: &Fault,
        id: Option<&str>,
        spec: &ContainerSpec,
    ) -> Result<(), RunError> {
        let exit_code = match id {
            Some(id) if phase == Phase::Start => self.host.executor.ending(id).await.ok().map(|ending| ending.exit_code),
            _ => None,
        };
        if let Some(code) = ends::container(phase, fault, exit_code) {
            return Err(refusal(code, fault));
        }
        let Some(containers) = &self.host.containers else { return Err(refusal(EndCode::CommandNotFound, fault)) };
        let mut trial = blank(spec);
        trial.confinement = containers.isolation.confinement(&ImageFacts::default()).await.map_err(broken)?;
        // The image's own may be unknown in it.
        trial.confinement.user.get_or_insert_with(|| "0:0".to_owned());
        trial.labels.insert(LABEL_DATA.to_owned(), self.host.data_label.clone());
        match self.host.try_out(&trial).await {
            Ok(()) => ends::container_after_trial(fault, false).map_or(Ok(()), |code| Err(refusal(code, fault))),
            Err(Fault::Host(cause)) => Err(RunError::failed(EndCode::EngineGone, Step::Running, cause)),
            Err(Fault::Refused { message, .. }) => {
                self.host.note_cannot_run(trial);
                let message = format!("this worker's engine cannot run containers with what the worker offers: {message}");
                Err(RunError::failed(EndCode::MachineCannotRun, Step::Running, message))
            }
        }
    }
}

/// What a second refusal means, after a trial that went well.
pub(super) fn refused_twice(fault: &Fault) -> RunError {
    let code = ends::container_after_trial(fault, true).unwrap_or(EndCode::EngineRefused);
    refusal(code, fault)
}

fn refusal(code: EndCode, fault: &Fault) -> RunError {
    let status = if let Fault::Refused { status, .. } = fault { *status } else { 500 };
    RunError::Failed { code, step: Step::Running, status, message: fault.to_string() }
}

/// A container that asks for the same of this machine, without a word of the definition's. Its program is a folder, so that it ends
/// at once whatever the image holds: the engine's init has started by then.
fn blank(spec: &ContainerSpec) -> ContainerSpec {
    // The folder of all jobs stays when this job's own is gone.
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
        has_init: true,
        labels: std::collections::HashMap::new(),
        confinement: crate::executor::Confinement::default(),
    }
}

impl Host {
    /// Whether the machine starts this container. Nothing is left of it.
    pub(crate) async fn try_out(&self, trial: &ContainerSpec) -> Result<(), Fault> {
        let id = self.executor.create(trial.clone()).await?;
        let removal = Removal { executor: std::sync::Arc::clone(&self.executor), id: Some(id.clone()) };
        let started = tokio::time::timeout(TIMEOUT, self.executor.start(&id)).await;
        let ending = self.executor.ending(&id).await;
        removal.now().await;
        match started {
            Err(_elapsed) => Err(Fault::Host("a container did not start within a minute".to_owned())),
            // Without the engine's init it is the program that cannot be started: all else could.
            Ok(Err(_)) if ending.is_ok_and(|ending| matches!(ending.exit_code, 126 | 127)) => Ok(()),
            Ok(result) => result,
        }
    }

    /// Keeps the trial that failed, for claims to wait until it does not.
    fn note_cannot_run(&self, trial: ContainerSpec) {
        *self.failed_trial.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(trial);
    }

    /// The trial that failed last, once.
    pub(crate) fn take_failed_trial(&self) -> Option<ContainerSpec> {
        self.failed_trial.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

/// Removes a trial's container, also when whoever waits for it leaves.
struct Removal {
    executor: std::sync::Arc<dyn Executor>,
    id: Option<String>,
}

impl Removal {
    async fn now(mut self) {
        let Some(id) = self.id.take() else { return };
        // It goes on when nobody waits for it any more.
        let removal = self.spawn(id);
        let _ = tokio::time::timeout(REMOVAL_PATIENCE, removal).await;
    }

    fn spawn(&self, id: String) -> tokio::task::JoinHandle<()> {
        let executor = std::sync::Arc::clone(&self.executor);
        tokio::spawn(async move {
            if let Err(fault) = executor.remove(&id).await {
                tracing::warn!(%fault, container = %id, "container of a trial stays until the next start");
            }
        })
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // What stays is removed at the next start, by its label.
            drop(self.spawn(id));
        }
    }
}
