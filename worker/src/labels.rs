//! Labels, in the sense of Docker, of the objects that a worker makes in an engine.

/// Label with the job's id.
pub(crate) const LABEL_JOB: &str = "asman.job";
/// Label with the claim's epoch.
pub(crate) const LABEL_EPOCH: &str = "asman.epoch";
/// Label with the worker's id.
pub(crate) const LABEL_WORKER: &str = "asman.worker";
/// Label with the hash of the data directory's path. A start finds by it what earlier processes left.
pub(crate) const LABEL_DATA: &str = "asman.data";

/// Label of a network or sandbox with its worker's [`Owner`](crate::owner::Owner), so that another worker can remove the object when this
/// worker is dead.
pub(crate) const LABEL_OWNER: &str = "asman.owner";

/// Label with the lock file of the worker's data directory, for people and for workers of an earlier version.
pub(crate) const LABEL_LOCK: &str = "asman.lock";

/// Label of a sandbox, with the value of [`LABEL_DATA`]. A sandbox does not have [`LABEL_DATA`] itself, because it is not a job's
/// container.
pub(crate) const LABEL_SANDBOX: &str = "asman.sandbox";

/// Label of a job's container with the sandbox that it has joined, because not every engine reports it.
pub(crate) const LABEL_JOINED: &str = "asman.joined";
