//! A job's files on this machine's disk, for engines that see it.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{RunError, Task, inputs, outputs};
use crate::engine::{LocalFiles, Mount, Outputs};

impl LocalFiles for Task<'_> {
    fn write_inputs(&self) -> BoxFuture<'_, Result<Vec<Mount>, RunError>> {
        inputs::write(self).boxed()
    }

    fn store_outputs(&self) -> BoxFuture<'_, Result<Outputs, RunError>> {
        outputs::collect(self).boxed()
    }
}
