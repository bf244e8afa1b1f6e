//! What a job left shut, for a worker that is not root.

use std::path::PathBuf;

use super::{RunError, Task, broken};
use crate::shut;

impl Task<'_> {
    /// Lets this worker read all outputs: a root in a container makes files that its user may not read.
    pub(super) async fn open_outputs(&self) -> Result<(), RunError> {
        let Some(containers) = &self.host.containers else { return Ok(()) };
        let folder: PathBuf = self.scratch.outputs();
        shut::open(&containers.docker, &folder, &self.host.data_label).await.map_err(broken)
    }
}
