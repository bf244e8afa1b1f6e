//! The settings of a job's container.

use std::collections::HashMap;

use protocol::{EndCode, Step};

use super::{RunError, Task, command, environment};
use crate::engine::{Confinement, ContainerSpec, LABEL_DATA, LABEL_EPOCH, LABEL_JOB, LABEL_WORKER, Mount};

impl Task<'_> {
    /// The settings for a present image and written files, without isolation.
    pub(super) fn container_spec(&self, image: String, files: Vec<Mount>) -> Result<ContainerSpec, RunError> {
        let definition = &self.parsed.definition;
        let refuse = |error: command::InvalidCommand| RunError::failed(EndCode::CommandInvalid, Step::Running, error.to_string());
        let memory = self.parsed.memory_bytes;
        Ok(ContainerSpec {
            image,
            entrypoint: command::entrypoint(definition).map_err(refuse)?,
            command: command::command(definition).map_err(refuse)?,
            workdir: definition.workdir.clone().filter(|path| !path.is_empty()),
            env: self.environment(),
            mounts: self.mounts(files),
            cpus: self.parsed.cpus,
            memory_bytes: if memory == 0 { self.host.memory_bytes } else { memory },
            shm_bytes: self.shm_bytes()?,
            gpus: self.gpus.to_vec(),
            has_init: true,
            labels: self.labels(),
            confinement: Confinement::default(),
        })
    }

    /// Size of `/dev/shm` in the definition.
    pub(crate) fn shm_bytes(&self) -> Result<Option<u64>, RunError> {
        let size = self.parsed.definition.shm_size.as_ref().filter(|size| !size.is_null());
        let read = |size: &serde_json::Value| {
            let text = size.as_str().map_or_else(|| size.to_string(), str::to_owned);
            protocol::parse_size(&text)
                .map_err(|error| RunError::failed(EndCode::CommandInvalid, Step::Running, error.to_string()))
        };
        size.map(read).transpose()
    }

    fn environment(&self) -> Vec<String> {
        let executor = &self.host.executor;
        let folders = environment::Folders {
            inputs: executor.place(&self.scratch.inputs(), "/inputs"),
            outputs: executor.place(&self.scratch.outputs(), "/outputs"),
            cache: executor.place(&self.cache, "/job-cache"),
        };
        environment::environment(&self.parsed.definition, &self.host.api, &self.claim.job_id, self.gpus, folders)
    }

    fn mounts(&self, files: Vec<Mount>) -> Vec<Mount> {
        let folder = |source, target: &str, is_read_only| Mount { source, target: target.to_owned(), is_read_only };
        let mut mounts = vec![
            folder(self.scratch.inputs(), "/inputs", true),
            folder(self.scratch.outputs(), "/outputs", false),
            folder(self.cache.clone(), "/job-cache", false),
        ];
        mounts.extend(files);
        mounts
    }

    fn labels(&self) -> HashMap<String, String> {
        let labels = [
            (LABEL_WORKER, self.host.worker.to_string()),
            (LABEL_JOB, self.claim.job_id.to_string()),
            (LABEL_EPOCH, self.claim.epoch.to_string()),
            (LABEL_DATA, self.host.data_label.clone()),
        ];
        labels.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
