//! The traits through which the rest of the worker uses an engine.

use std::fmt::Debug;
use std::future::pending;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::EndCode;

use super::isolation::PendingStart;
use super::{ContainerSpec, Fault, Files, Frames, Images, Job, Left, RunEnd};
use crate::ends::RunError;

/// The life of runs. A run is a container, a process group or a job of a cluster.
///
/// The calls of one run come in this order: create, attach, start, wait (maybe with a stop during it), end, remove. Ids come from
/// `create` and `list`. Every call with an id may fail with [`Fault::Host`] when the run does not exist any more.
pub(crate) trait Runs: Debug + Send + Sync {
    /// Creates a run without starting it. Returns its id.
    fn create<'a>(&'a self, prepared: &'a mut Prepared) -> BoxFuture<'a, Result<String, Fault>>;

    /// The output of a run from its start.
    fn attach<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// The recorded output of a started run, followed by its further output. The stream may end too early: the last output of a run
    /// is only in its [`record`](Self::record).
    fn replay<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// The recorded output of a run that has ended.
    fn record<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Frames, Fault>>;

    /// Starts a run.
    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// Returns when a started run has ended.
    fn wait<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// Asks a run to end, and kills it after the grace.
    fn stop<'a>(&'a self, id: &'a str, grace: Duration) -> BoxFuture<'a, Result<(), Fault>>;

    /// How long ago a run started, by this machine's clock.
    fn age<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Duration, Fault>>;

    /// How an ended run ended.
    fn end<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<RunEnd, Fault>>;

    /// Kills a run if it still runs, and removes it.
    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Fault>>;

    /// The runs that earlier workers of this data directory left.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Left>, Fault>>;
}

/// Something that runs jobs. The default bodies are for engines that do not have the feature.
pub(crate) trait Engine: Runs {
    /// The engine's name in the worker's description.
    fn name(&self) -> &'static str;

    /// Cpus and memory of the machines on which the engine runs jobs.
    fn capacity(&self) -> Capacity;

    /// How files get to a job and back.
    fn files(&self) -> &dyn Files;

    /// The images of its jobs. None means that its jobs are scripts.
    fn images(&self) -> Option<&dyn Images>;

    /// Checks that the engine answers.
    fn ping(&self) -> BoxFuture<'_, Result<(), Fault>>;

    /// Checks that jobs can still run, because another engine may answer after an outage. An error is a sentence for the worker's owner.
    fn prove(&self) -> BoxFuture<'_, Result<(), String>> {
        async { Ok(()) }.boxed()
    }

    /// Repeats the last attempt that failed through the machine's fault, without anything of the job. Succeeds if there was no such
    /// failure.
    fn try_again(&self) -> BoxFuture<'_, Result<(), Fault>> {
        async { Ok(()) }.boxed()
    }

    /// Makes a run of a job ready to be created: adds what confines it, and refuses what the engine cannot do.
    fn prepare<'a>(&'a self, _job: &'a Job<'_>, spec: ContainerSpec) -> BoxFuture<'a, Result<Prepared, RunError>> {
        async { Ok(Prepared::from(spec)) }.boxed()
    }

    /// Finds out whether a refusal is the definition's fault. `Ok` means that the cause may have passed and the caller should try once
    /// more.
    fn doubt<'a>(&'a self, fault: &'a Fault, _prepared: &'a Prepared) -> BoxFuture<'a, Result<(), RunError>> {
        async { Err(fault.refusal(EndCode::CommandNotFound)) }.boxed()
    }

    /// Opens a watch over limits that the engine does not enforce. Call it before a new run starts.
    fn watch<'a>(&'a self, _job: &'a Job<'a>) -> BoxFuture<'a, Box<dyn Watch + 'a>> {
        async { Box::new(Unwatched) as Box<dyn Watch> }.boxed()
    }

    /// Explains to the job's author an exit code that means that a program could not be run. Fails if that program is the run's own.
    fn explain<'a>(
        &'a self,
        _job: &'a Job<'_>,
        _id: &'a str,
        _exit_code: i64,
    ) -> BoxFuture<'a, Result<Option<String>, RunError>> {
        async { Ok(None) }.boxed()
    }

    /// Removes what the engine made for this worker besides runs.
    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// What an engine has for jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) cpus: f64,
    /// 0 when the engine does not report it.
    pub(crate) memory_bytes: u64,
}

/// A run that is ready to be created. Keep it until the run has started.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) spec: ContainerSpec,
    /// The announced start. While a start is pending, the worker makes no sandboxes.
    pub(super) start: Option<PendingStart>,
}

impl From<ContainerSpec> for Prepared {
    fn from(spec: ContainerSpec) -> Self {
        Self { spec, start: None }
    }
}

/// Watches one run.
pub(crate) trait Watch: Send {
    /// Returns when the run has broken a limit. Otherwise never returns.
    fn until_over<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, ()>;

    /// Why the run was stopped, if it broke a limit.
    fn over(&self) -> Option<&str>;

    /// A sentence for the job's author about what the watch saw.
    fn note(&self) -> Option<String>;
}

/// The watch of an engine that watches nothing.
struct Unwatched;

impl Watch for Unwatched {
    fn until_over<'a>(&'a mut self, _id: &'a str) -> BoxFuture<'a, ()> {
        pending().boxed()
    }

    fn over(&self) -> Option<&str> {
        None
    }

    fn note(&self) -> Option<String> {
        None
    }
}
