//! The settings of a job's container.

use std::collections::HashMap;

use protocol::{EndCode, Step};

use super::secrets::Given;
use super::{RunError, Task, command, environment};
use crate::engine::{Confinement, ContainerSpec, Job, Mount};
use crate::labels::{LABEL_DATA, LABEL_EPOCH, LABEL_JOB, LABEL_WORKER};

impl Task<'_> {
    /// The settings for a present image, files and secrets, without isolation.
    pub(super) fn container_spec(&self, image: String, mounts: Vec<Mount>, given: Given) -> Result<ContainerSpec, RunError> {
        let definition = &self.job.parsed.definition;
        let mut env = self.environment();
        for (name, value) in given.env {
            env.retain(|line| line.split_once('=').is_none_or(|(other, _)| other != name));
            env.push(format!("{name}={value}"));
        }
        let refuse = |error: command::InvalidCommand| RunError::failed(EndCode::CommandInvalid, Step::Running, error.to_string());
        Ok(ContainerSpec {
            image,
            entrypoint: command::entrypoint(definition).map_err(refuse)?,
            command: command::command(definition).map_err(refuse)?,
            workdir: definition.workdir.clone().filter(|path| !path.is_empty()),
            env,
            mounts,
            cpus: self.job.parsed.cpus,
            memory_bytes: self.job.memory_bytes,
            shm_bytes: self.job.shm_bytes()?,
            gpus: self.job.gpus.to_vec(),
            secrets: given.mount,
            has_init: true,
            labels: self.labels(),
            confinement: Confinement::default(),
        })
    }

    fn environment(&self) -> Vec<String> {
        let places = self.host.engine.files().places(&self.job);
        let Job { parsed, claim, gpus, .. } = &self.job;
        environment::environment(&parsed.definition, &self.host.api, &claim.job_id, gpus, places)
    }

    fn labels(&self) -> HashMap<String, String> {
        let labels = [
            (LABEL_WORKER, self.host.worker.to_string()),
            (LABEL_JOB, self.job.claim.job_id.to_string()),
            (LABEL_EPOCH, self.job.claim.epoch.to_string()),
            (LABEL_DATA, self.host.data_label.clone()),
        ];
        labels.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
