//! How a job's files get to it and back. Engines differ in this more than in anything else.
//!
//! An engine whose jobs see this worker's disk implements [`SharedDisk`]: the worker fills folders and reads them, and the engine only
//! shows them to the job. Another engine implements [`Files`] itself: it fetches the inputs of [`Job::parsed`] and stores the outputs on
//! the job's machine, and [`Files::collect`] returns the stored outputs. The module `run` uses only [`Files`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::{DataRef, Missing};

use super::{Job, Mount};
use crate::ends::RunError;

/// Paths of a job's folders in a container.
const INPUTS: &str = "/inputs";
const OUTPUTS: &str = "/outputs";
const CACHE: &str = "/job-cache";

/// The outputs in a result, and those that are missing from it.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) stored: BTreeMap<String, DataRef>,
    pub(crate) missing: Option<Missing>,
}

/// The paths at which a job finds its folders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) inputs: String,
    pub(crate) outputs: String,
    pub(crate) cache: String,
}

/// Brings files to a job, and collects its outputs.
pub(crate) trait Files: Send + Sync {
    /// The paths at which a job finds its folders.
    fn places(&self, job: &Job<'_>) -> Places;

    /// Brings the inputs to where the job will find them. Returns the mounts that show them.
    fn bring<'a>(&'a self, job: &'a Job<'_>, worker: &'a dyn LocalFiles) -> BoxFuture<'a, Result<Vec<Mount>, RunError>>;

    /// Stores the outputs of an ended run.
    fn collect<'a>(&'a self, job: &'a Job<'_>, worker: &'a dyn LocalFiles) -> BoxFuture<'a, Result<Outputs, RunError>>;

    /// Removes the scratch folder of a job. Returns whether it is removed.
    fn remove(&self, scratch: PathBuf) -> BoxFuture<'_, bool>;
}

/// What the worker does with a job's files on its own disk.
pub(crate) trait LocalFiles: Send + Sync {
    /// Writes the inputs to the scratch folder. Returns mounts for the inputs that the job finds outside its folder of inputs.
    fn write_inputs(&self) -> BoxFuture<'_, Result<Vec<Mount>, RunError>>;

    /// Stores the files of the folder of outputs.
    fn store_outputs(&self) -> BoxFuture<'_, Result<Outputs, RunError>>;
}

/// An engine whose jobs see folders of this machine.
pub(crate) trait SharedDisk: Send + Sync {
    /// The path at which a job finds a folder of this machine. `inside` is the path in a container.
    fn place(&self, folder: &Path, inside: &str) -> String;

    /// Lets this worker read a folder that a job wrote to.
    fn open<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<(), RunError>>;

    /// Removes a folder that a job wrote to. Returns whether it is removed.
    fn remove(&self, folder: PathBuf) -> BoxFuture<'_, bool>;
}

impl<T: SharedDisk> Files for T {
    fn places(&self, job: &Job<'_>) -> Places {
        Places {
            inputs: self.place(&job.scratch.inputs(), INPUTS),
            outputs: self.place(&job.scratch.outputs(), OUTPUTS),
            cache: self.place(job.cache, CACHE),
        }
    }

    fn bring<'a>(&'a self, job: &'a Job<'_>, worker: &'a dyn LocalFiles) -> BoxFuture<'a, Result<Vec<Mount>, RunError>> {
        let folder = |source, target: &str, is_read_only| Mount { source, target: target.to_owned(), is_read_only };
        async move {
            let mut mounts = vec![
                folder(job.scratch.inputs(), INPUTS, true),
                folder(job.scratch.outputs(), OUTPUTS, false),
                folder(job.cache.to_owned(), CACHE, false),
            ];
            mounts.extend(worker.write_inputs().await?);
            Ok(mounts)
        }
        .boxed()
    }

    fn collect<'a>(&'a self, job: &'a Job<'_>, worker: &'a dyn LocalFiles) -> BoxFuture<'a, Result<Outputs, RunError>> {
        async move {
            self.open(&job.scratch.outputs()).await?;
            worker.store_outputs().await
        }
        .boxed()
    }

    fn remove(&self, scratch: PathBuf) -> BoxFuture<'_, bool> {
        SharedDisk::remove(self, scratch)
    }
}

/// Removes a folder with everything in it, as far as this user may. Returns whether it is removed.
pub(super) async fn remove_tree(folder: PathBuf) -> bool {
    let remove = move || std::fs::remove_dir_all(&folder).or_else(|error| if folder.exists() { Err(error) } else { Ok(()) });
    // Joining fails only when the runtime ends.
    tokio::task::spawn_blocking(remove).await.is_ok_and(|removed| removed.is_ok())
}
