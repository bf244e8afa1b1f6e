//! Access to a job's outputs for a worker that is not root.

use std::path::PathBuf;

use super::{RunError, Task, broken};
use crate::engine::folder_access;

impl Task<'_> {
    /// Lets this worker read all outputs, because root in a container makes files that the worker's user may not read.
    pub(super) async fn open_outputs(&self) -> Result<(), RunError> {
        let Some(containers) = &self.host.containers else { return Ok(()) };
        let folder: PathBuf = self.scratch.outputs();
        folder_access::open(&containers.docker, &folder, &self.host.data_label).await.map_err(broken)
    }
}
