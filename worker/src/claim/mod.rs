//! Claims jobs while there is capacity, keeps their leases, and sees each claim to its end: finished, released or revoked.
//!
//! In: a [`Config`] and a [`Shutdown`]. Out: [`run`] returns when the worker has drained.
//!
//! `claim_loop` claims jobs of all queues while the one ledger has capacity; `fair_share` says which queue is next. A `heartbeat` for
//! each queue tells the API that the worker lives, and learns which jobs must end. `engine` checks that Docker answers. Each claimed
//! job is a task (`job`). [`run`] returns when all tasks have ended. `capacity` is the ledger of the machine, `claims` the claims that
//! this worker holds, `queues` the queues that it serves.
//!
//! # Invariants
//!
//! - The same capacity is never given to two jobs.
//! - A held claim is in every heartbeat until the API has taken its finish or its release.
//!
//! # Errors
//!
//! A start that fails is the machine's or the settings' fault and ends the worker. Later failures are the API's or the engine's, and the
//! worker tries again.

mod adoption;
pub(crate) mod capacity;
mod claim_loop;
pub(crate) mod claims;
mod cleanup;
mod delivery;
mod engine;
mod fair_share;
mod heartbeat;
mod idle;
mod job;
mod machine;
pub(crate) mod queues;
mod recovery;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use protocol::{QueueName, WorkerDescription};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use adoption::Running;
use capacity::Ledger;
use claims::Claims;
use machine::Machine;
use queues::QueueShare;

use crate::api::Api;
use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::disk::Disks;
use crate::error::Error;
use crate::health;
use crate::run::Host;
use crate::shutdown::Shutdown;
use crate::spool::Spool;

/// One queue's part of a worker. It derefs to what all queues of the worker share.
struct Session {
    queue: QueueName,
    /// Held claims of this queue.
    claims: Arc<Claims>,
    common: Arc<Common>,
}

impl Deref for Session {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}

/// What the tasks of one worker share.
pub(crate) struct Common {
    pub(crate) api: Arc<Api>,
    data: DataDirectory,
    pub(crate) spool: Spool,
    host: Host,
    pub(crate) description: WorkerDescription,
    heartbeat_every: std::time::Duration,
    pub(crate) ledger: Arc<Ledger>,
    /// The disk: images, caches, and whether there is room for a job.
    disks: Arc<Disks>,
    /// Every job and every delivery. The drain waits for them.
    pub(crate) tasks: TaskTracker,
    /// One permit for each ended container whose share is free before it is removed.
    removals: Semaphore,
    /// This machine failed a job: the worker claims no more until the machine works again.
    is_unwell: Notify,
    /// Whether the engine answered the last check.
    is_engine_there: watch::Sender<bool>,
    /// How many more jobs the worker may take.
    jobs_left: AtomicU64,
    /// Number of queues of this worker.
    pub(crate) n_queues: usize,
    /// The worker is ending: no more retries, and the spool keeps what cannot be sent now.
    is_leaving: CancellationToken,
}

/// Runs a worker until `shutdown` is signalled or `config.life` ends it, then drains.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    config.check()?;
    let shares = config.queue.shares()?;
    let listener = match config.life.health_address {
        Some(address) => Some(health::bind(address).await?),
        None => None,
    };
    let (common, left) = Common::start(&config).await?;
    let common = Arc::new(common);
    let sessions = common.sessions(shares.clone());
    let _stop = StopOnDrop(sessions.clone());
    let _health = listener.map(|listener| health::serve(listener, Arc::clone(&common)));
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
        () = claim_loop::run(&sessions, shares, leftovers) => common.until_done(&shutdown).await,
        () = idle::run(&sessions, config.life.exit_when_idle) => {
            tracing::info!("no job came within the time of --exit-when-idle");
            unheard = common.api.status.unheard();
        }
        () = shutdown.begun() => (),
    }
    drain(&sessions, &shutdown, config.drain_timeout.0).await;
    drop((heartbeats, watch));
    heartbeat::last(&sessions).await;
    if let Some(containers) = &common.host.containers {
        containers.isolation.close().await;
    }
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

/// The parts of a start that may fail after the network of jobs was made. On failure the network is removed again.
struct Begun {
    left: Vec<Running>,
    disks: Arc<Disks>,
    tasks: TaskTracker,
    builds: crate::engine::build::Settings,
}

impl Begun {
    async fn on(machine: &Machine, config: &Config, data: &DataDirectory) -> Result<Self, Error> {
        let left = adoption::sort(machine, data).await?;
        let disks = Arc::new(Disks::open(config.disk.clone(), data, machine.docker()).await?);
        // An earlier process left jobs or finishes: they come first, even on a full disk, and only claims wait for room.
        if left.is_empty() && Spool::of(data).depth() == 0 {
            disks.make_room().await?;
        }
        let tasks = TaskTracker::new();
        let builds = crate::engine::build::Settings::of(config, tasks.clone())?;
        Ok(Self { left, disks, tasks, builds })
    }
}

impl Common {
    /// Starts the shared parts. Also returns the containers that an earlier process left running.
    async fn start(config: &Config) -> Result<(Self, Vec<Running>), Error> {
        let api = Arc::new(Api::new(&config.api, config.token.clone())?.allowing_private_urls(config.allow_private_urls)?);
        let data = DataDirectory::open(&config.data_directory()?)?;
        let worker = config.worker_id()?.map_or_else(|| data.worker_id(), Ok)?;
        let (memory_asked, n_queues) = (config.memory_bytes()?, config.queue.shares()?.len());
        let machine = Machine::open(config, &data).await?;
        let begun = match Begun::on(&machine, config, &data).await {
            Ok(begun) => begun,
            Err(error) => {
                machine.close().await;
                return Err(error);
            }
        };
        let Begun { left, disks, tasks, builds } = begun;
        let cpus = config.cpus.unwrap_or(machine.cpus);
        let memory_bytes = memory_asked.unwrap_or(machine.memory_bytes);
        let jobs = config.jobs.unwrap_or_else(|| whole(cpus));
        let description = WorkerDescription {
            id: worker.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cpus,
            gpus: config.gpus.count(),
            memory: memory_bytes,
            tags: config.tags.clone(),
            max_job_duration: config.max_job_duration,
            executor: machine.executor.name().to_owned(),
            secrets: config.isolation.secrets.iter().map(|secret| secret.name.clone()).collect(),
            platforms: machine.platforms(config),
            builds: machine.builds(config),
        };
        let host = Host {
            api: Arc::clone(&api),
            executor: machine.executor,
            worker,
            data_label: data.label(),
            memory_bytes,
            max_job_duration: config.max_job_duration.0,
            stop_grace: config.stop_grace.0,
            init: config.init,
            stderr_fails: config.stderr_fails,
            secrets: config.isolation.secrets.clone(),
            containers: machine.containers,
            contents: Arc::clone(&disks.contents),
            images: Arc::clone(&disks.images),
            builds,
            failed_trial: std::sync::Mutex::default(),
        };
        let common = Self {
            api,
            spool: Spool::of(&data),
            data,
            host,
            description,
            heartbeat_every: config.heartbeat.0,
            ledger: Ledger::new(cpus, &config.gpus, memory_bytes, jobs),
            disks,
            tasks,
            removals: Semaphore::new(cleanup::REMOVALS_MAX),
            is_unwell: Notify::new(),
            is_engine_there: watch::Sender::new(true),
            jobs_left: AtomicU64::new(config.life.max_jobs.unwrap_or(u64::MAX)),
            n_queues,
            is_leaving: CancellationToken::new(),
        };
        Ok((common, left))
    }

    fn sessions(self: &Arc<Self>, shares: Vec<QueueShare>) -> Vec<Arc<Session>> {
        let session = |share: QueueShare| Session { queue: share.queue, claims: Claims::new(), common: Arc::clone(self) };
        shares.into_iter().map(session).map(Arc::new).collect()
    }

    /// Jobs that run now.
    pub(crate) fn n_running(&self) -> u32 {
        self.ledger.n_taken()
    }

    /// The worker has taken all the jobs that it may. Waits until they have ended or the worker must end.
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
    first.api.status.drains();
    first.tasks.close();
    let n_jobs: usize = sessions.iter().map(|session| session.claims.list().len()).sum();
    tracing::info!(
        n_jobs,
        "the worker drains: it claims no more jobs and waits for the running ones; a second signal releases them at once"
    );
    tokio::select! {
        () = first.tasks.wait() => return,
        () = tokio::time::sleep(timeout) => tracing::warn!("the drain timeout is over: running jobs go back to the queue"),
        () = shutdown.stop.cancelled() => (),
    }
    stop_jobs(sessions);
    first.tasks.wait().await;
}

fn stop_jobs(sessions: &[Arc<Session>]) {
    for session in sessions {
        session.is_leaving.cancel();
        session.claims.stop_all();
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie above 0 and below CPUS_MAX")]
fn whole(cpus: f64) -> u32 {
    cpus.ceil() as u32
}
