//! Claims jobs while there is capacity, keeps their leases, and sees each claim to its end: finished, released or revoked.
//!
//! In: what a start has prepared ([`Setup`]), and a [`Shutdown`]. Out: [`run`] returns when the worker has drained.
//!
//! `claim_loop` claims jobs of all queues while the one ledger has capacity; `fair_share` chooses the next queue. A `heartbeat` for each
//! queue tells the API that the worker lives, and learns which jobs must end. `engine` checks that Docker answers. Each claimed job is a
//! task (`job`). [`run`] returns when all tasks have ended. `capacity` is the ledger of the machine, `claims` the claims that this worker
//! holds, `queues` the queues that it serves.
//!
//! # Invariants
//!
//! - The same capacity is never given to two jobs.
//! - A held claim is in every heartbeat until the API has taken its finish or its release.
//!
//! # Errors
//!
//! Calls to the API and to the engine may fail here, and the worker repeats them. The end code of a failed job decides whether the worker
//! finishes or releases the job.

mod adoption;
pub(crate) mod capacity;
mod claim_loop;
pub(crate) mod claims;
mod cleanup;
mod delivery;
mod engine;
mod fair_share;
mod fault_pause;
mod heartbeat;
mod idle;
mod job;
pub(crate) mod queues;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use protocol::{QueueName, WorkerDescription};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::api::Api;
use crate::data_directory::DataDirectory;
use crate::disk::Disks;
use crate::error::Error;
use crate::run::Host;
use crate::shutdown::Shutdown;
use crate::spool::Spool;
pub(crate) use adoption::{Running, sort};
use capacity::Ledger;
use claims::Claims;
use queues::QueueShare;

/// One queue's part of a worker.
struct Session {
    queue: QueueName,
    /// Held claims of this queue.
    claims: Arc<Claims>,
    /// What all queues of the worker share.
    common: Arc<Common>,
}

/// What the tasks of one worker share.
pub(crate) struct Common {
    pub(crate) api: Arc<Api>,
    data: Arc<DataDirectory>,
    pub(crate) spool: Spool,
    host: Host,
    pub(crate) description: WorkerDescription,
    heartbeat_every: Duration,
    pub(crate) ledger: Arc<Ledger>,
    /// The disk: images, caches, and whether there is room for a job.
    disks: Arc<Disks>,
    /// Every job and every delivery. The drain waits for them.
    tasks: TaskTracker,
    /// One permit for each ended container whose share is free before it is removed.
    removals: Semaphore,
    /// Notified when this machine made a job fail: the worker claims no more jobs until the machine works again.
    is_unwell: Notify,
    /// Whether the engine answered the last check.
    is_engine_there: watch::Sender<bool>,
    /// How many more jobs the worker may take.
    jobs_left: AtomicU64,
    /// Number of queues of this worker.
    pub(crate) n_queues: usize,
    /// Jobs of strangers run here.
    is_untrusted: bool,
    /// The worker is ending: no more retries, and the spool keeps what cannot be sent now.
    is_leaving: CancellationToken,
}

/// What a start prepares.
pub(crate) struct Setup {
    pub(crate) data: Arc<DataDirectory>,
    pub(crate) host: Host,
    pub(crate) description: WorkerDescription,
    pub(crate) heartbeat_every: Duration,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) disks: Arc<Disks>,
    /// Tasks that the drain waits for.
    pub(crate) tasks: TaskTracker,
    /// Most jobs of the worker's whole life.
    pub(crate) jobs_max: Option<u64>,
    pub(crate) n_queues: usize,
    pub(crate) is_untrusted: bool,
}

/// What [`run`] serves, and when it ends by itself.
pub(crate) struct Service {
    pub(crate) shares: Vec<QueueShare>,
    /// Containers that an earlier process left running.
    pub(crate) left: Vec<Running>,
    pub(crate) exit_when_idle: Option<protocol::Duration>,
    /// Time that running jobs get when the worker ends.
    pub(crate) drain_timeout: Duration,
}

/// Serves the queues until `shutdown` is signalled or the service ends by itself, then drains.
pub(crate) async fn run(common: Arc<Common>, service: Service, shutdown: &Shutdown) -> Result<(), Error> {
    let Service { shares, left, exit_when_idle, drain_timeout } = service;
    let sessions = common.sessions(shares.clone());
    let _stop = StopOnDrop(sessions.clone());
    let leftovers = delivery::leftovers(&sessions);
    adoption::take_over(&sessions, left);
    let beat = |session: &Arc<Session>| AbortOnDropHandle::new(tokio::spawn(heartbeat::run(Arc::clone(session))));
    let heartbeats: Vec<_> = sessions.iter().map(beat).collect();
    let watch = AbortOnDropHandle::new(tokio::spawn(engine::watch(Arc::clone(&common))));
    let disks = Arc::clone(&common.disks);
    let _disks = AbortOnDropHandle::new(tokio::spawn(async move { disks.run().await }));
    tracing::info!(worker = %common.description.id, cpus = common.description.cpus, n_queues = sessions.len(), "worker is ready");
    let mut unheard = None;
    tokio::select! {
        () = claim_loop::run(&sessions, shares, leftovers) => common.until_done(shutdown).await,
        () = idle::run(&sessions, exit_when_idle) => {
            tracing::info!("no job came within the time of --exit-when-idle");
            unheard = common.api.status.unheard();
        }
        () = shutdown.begun() => (),
    }
    drain(&sessions, shutdown, drain_timeout).await;
    drop((heartbeats, watch));
    heartbeat::last(&sessions).await;
    common.host.engine.close().await;
    tracing::info!(worker = %common.description.id, "worker has ended");
    unheard.map_or(Ok(()), |why| Err(Error::Unheard(why)))
}

/// Stops all jobs on drop, so that their containers stop even when the caller drops [`run`].
struct StopOnDrop(Vec<Arc<Session>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        stop_jobs(&self.0);
    }
}

impl Common {
    pub(crate) fn new(setup: Setup) -> Self {
        let Setup { data, host, description, heartbeat_every, ledger, disks, tasks, jobs_max, n_queues, is_untrusted } = setup;
        Self {
            api: Arc::clone(&host.api),
            spool: Spool::of(&data),
            data,
            host,
            description,
            heartbeat_every,
            ledger,
            disks,
            tasks,
            removals: Semaphore::new(cleanup::REMOVALS_MAX),
            is_unwell: Notify::new(),
            is_engine_there: watch::Sender::new(true),
            jobs_left: AtomicU64::new(jobs_max.unwrap_or(u64::MAX)),
            n_queues,
            is_untrusted,
            is_leaving: CancellationToken::new(),
        }
    }

    fn sessions(self: &Arc<Self>, shares: Vec<QueueShare>) -> Vec<Arc<Session>> {
        let session = |share: QueueShare| Session { queue: share.queue, claims: Claims::new(), common: Arc::clone(self) };
        shares.into_iter().map(session).map(Arc::new).collect()
    }

    /// Jobs that run now.
    pub(crate) fn n_running(&self) -> u32 {
        self.ledger.n_taken()
    }

    /// Called when the worker has taken all the jobs that it may. Waits until these jobs have ended or the worker must end.
    async fn until_done(&self, shutdown: &Shutdown) {
        self.tasks.close();
        tracing::info!("the worker has taken as many jobs as --max-jobs allows, and ends after the last of them");
        tokio::select! {
            () = self.tasks.wait() => (),
            () = shutdown.begun() => (),
        }
    }
}

/// Lets the running jobs finish until the drain timeout, then stops the rest.
async fn drain(sessions: &[Arc<Session>], shutdown: &Shutdown, timeout: std::time::Duration) {
    let Some(first) = sessions.first() else { return };
    first.common.api.status.drains();
    first.common.tasks.close();
    let n_jobs: usize = sessions.iter().map(|session| session.claims.list().len()).sum();
    tracing::info!(
        n_jobs,
        "the worker drains: it claims no more jobs and waits for the running ones; a second signal releases them at once"
    );
    tokio::select! {
        () = first.common.tasks.wait() => return,
        () = tokio::time::sleep(timeout) => tracing::warn!("the drain timeout is over: running jobs go back to the queue"),
        () = shutdown.stop.cancelled() => (),
    }
    stop_jobs(sessions);
    first.common.tasks.wait().await;
}

fn stop_jobs(sessions: &[Arc<Session>]) {
    for session in sessions {
        session.common.is_leaving.cancel();
        session.claims.stop_all();
    }
}
