//! A worker's life: start, claim, heartbeat, drain.
//!
//! `claims` asks for jobs of all queues while there is capacity in the one ledger (`lanes` says whose turn it is); a `heartbeat`
//! for each queue says that the worker lives and hears which jobs must end; `engine` sees that Docker answers. Each claimed job
//! is a task of its own (`job`). [`run`] returns when all of them have ended.

mod adoption;
mod claims;
mod delivery;
mod engine;
mod heartbeat;
mod idle;
mod job;
mod lanes;
mod machine;
mod remains;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use protocol::{QueueName, WorkerDescription};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use adoption::Running;
use machine::Machine;

use crate::api::Api;
use crate::capacity::Ledger;
use crate::care::Care;
use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::error::Error;
use crate::health;
use crate::holds::Holds;
use crate::queues::QueueShare;
use crate::run::Host;
use crate::shutdown::Shutdown;
use crate::spool::Spool;

/// One queue's part of a worker. What it shares with the other queues is reached as if it were its own.
struct Session {
    queue: QueueName,
    /// Claims of this queue, which its heartbeat names.
    holds: Arc<Holds>,
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
    care: Arc<Care>,
    /// Every job and every delivery: the drain waits for them.
    pub(crate) tasks: TaskTracker,
    /// One for each ended container whose share is free before it is removed.
    removals: Semaphore,
    /// This machine failed a job: claims wait until it is seen to work again.
    is_unwell: Notify,
    /// Whether the engine answered when it was last asked.
    is_engine_there: watch::Sender<bool>,
    /// Jobs that may still be taken on.
    jobs_left: AtomicU64,
    /// Queues of this worker.
    pub(crate) n_lanes: usize,
    /// No more retries: what cannot be sent now stays in the spool.
    is_leaving: CancellationToken,
}

/// Works until `shutdown` says otherwise, or as long as `config.life` says, then drains.
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
    let _leave = LeaveOnDrop(sessions.clone());
    let _health = listener.map(|listener| health::serve(listener, Arc::clone(&common)));
    let leftovers = delivery::leftovers(&sessions);
    adoption::take_over(&sessions, left);
    let beat = |session: &Arc<Session>| AbortOnDropHandle::new(tokio::spawn(heartbeat::run(Arc::clone(session))));
    let heartbeats: Vec<_> = sessions.iter().map(beat).collect();
    let watch = AbortOnDropHandle::new(tokio::spawn(engine::watch(Arc::clone(&common))));
    let care = Arc::clone(&common.care);
    let _care = AbortOnDropHandle::new(tokio::spawn(async move { care.run().await }));
    tracing::info!(worker = %common.description.id, cpus = common.description.cpus, n_queues = sessions.len(), "worker is ready");
    let mut unheard = None;
    tokio::select! {
        () = claims::run(&sessions, shares, leftovers) => common.until_done(&shutdown).await,
        () = idle::run(&sessions, config.life.exit_when_idle) => {
            tracing::info!("no job for as long as the worker was to wait");
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

/// Tells all jobs to end, so that a caller that drops [`run`] half way still gets its containers stopped.
struct LeaveOnDrop(Vec<Arc<Session>>);

impl Drop for LeaveOnDrop {
    fn drop(&mut self) {
        leave(&self.0);
    }
}

/// The parts of a start that may fail when the machine has its network already, which then goes again.
struct Begun {
    left: Vec<Running>,
    care: Arc<Care>,
    tasks: TaskTracker,
    builds: crate::build::Settings,
}

impl Begun {
    async fn on(machine: &Machine, config: &Config, data: &DataDirectory) -> Result<Self, Error> {
        let left = adoption::sort(machine, data).await?;
        let care = Arc::new(Care::open(config.care.clone(), data, machine.docker()).await?);
        // What an earlier process left to do is done first, whatever room there is: then claims alone wait for it.
        if left.is_empty() && Spool::of(data).depth() == 0 {
            care.make_room().await?;
        }
        let tasks = TaskTracker::new();
        let builds = crate::build::Settings::of(config, tasks.clone())?;
        Ok(Self { left, care, tasks, builds })
    }
}

impl Common {
    /// And what an earlier process left running.
    async fn start(config: &Config) -> Result<(Self, Vec<Running>), Error> {
        let api = Arc::new(Api::new(&config.api, config.token.clone())?.allowing_private_urls(config.allow_private_urls)?);
        let data = DataDirectory::open(&config.data_directory()?)?;
        let worker = config.worker_id()?.map_or_else(|| data.worker_id(), Ok)?;
        let (memory_asked, n_lanes) = (config.memory_bytes()?, config.queue.shares()?.len());
        let machine = Machine::open(config, &data).await?;
        let begun = match Begun::on(&machine, config, &data).await {
            Ok(begun) => begun,
            Err(error) => {
                machine.close().await;
                return Err(error);
            }
        };
        let Begun { left, care, tasks, builds } = begun;
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
            contents: Arc::clone(&care.contents),
            images: Arc::clone(&care.images),
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
            care,
            tasks,
            removals: Semaphore::new(remains::REMOVALS_MAX),
            is_unwell: Notify::new(),
            is_engine_there: watch::Sender::new(true),
            jobs_left: AtomicU64::new(config.life.max_jobs.unwrap_or(u64::MAX)),
            n_lanes,
            is_leaving: CancellationToken::new(),
        };
        Ok((common, left))
    }

    fn sessions(self: &Arc<Self>, shares: Vec<QueueShare>) -> Vec<Arc<Session>> {
        let session = |share: QueueShare| Session { queue: share.queue, holds: Holds::new(), common: Arc::clone(self) };
        shares.into_iter().map(session).map(Arc::new).collect()
    }

    /// Jobs that run now.
    pub(crate) fn n_running(&self) -> u32 {
        self.ledger.n_taken()
    }

    /// All jobs that were to be taken are: they run as long as they want, unless the worker is told to end.
    async fn until_done(&self, shutdown: &Shutdown) {
        self.tasks.close();
        tracing::info!("as many jobs are taken as were wanted; the worker ends with the last of them");
        tokio::select! {
            () = self.tasks.wait() => (),
            () = shutdown.begun() => (),
        }
    }
}

/// Waits for the running jobs, then for none.
async fn drain(sessions: &[Arc<Session>], shutdown: &Shutdown, patience: std::time::Duration) {
    let Some(first) = sessions.first() else { return };
    first.api.status.drains();
    first.tasks.close();
    let n_jobs: usize = sessions.iter().map(|session| session.holds.list().len()).sum();
    tracing::info!(n_jobs, "worker drains: it takes no more jobs and lets these end; a second signal gives them back at once");
    tokio::select! {
        () = first.tasks.wait() => return,
        () = tokio::time::sleep(patience) => tracing::warn!("drain timeout reached: running jobs go back to the queue"),
        () = shutdown.stop.cancelled() => (),
    }
    leave(sessions);
    first.tasks.wait().await;
}

fn leave(sessions: &[Arc<Session>]) {
    for session in sessions {
        session.is_leaving.cancel();
        session.holds.leave_all();
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie above 0 and below CPUS_MAX")]
fn whole(cpus: f64) -> u32 {
    cpus.ceil() as u32
}
