//! A worker's life: start, claim, heartbeat, drain.
//!
//! Two loops share the ledger and the holds: `claims` asks for jobs while there is capacity, `heartbeat` says that the worker lives
//! and hears which jobs must end. Each claimed job is a task of its own (`job`). [`run`] returns when all of them have ended.

mod adoption;
mod claims;
mod delivery;
mod heartbeat;
mod job;
mod machine;

use std::sync::Arc;

use protocol::{QueueName, WorkerDescription};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use machine::Machine;

use crate::api::Api;
use crate::capacity::Ledger;
use crate::care::Care;
use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::error::Error;
use crate::holds::Holds;
use crate::run::Host;
use crate::shutdown::Shutdown;
use crate::spool::Spool;

/// What the tasks of one worker share.
struct Session {
    queue: QueueName,
    api: Arc<Api>,
    data: DataDirectory,
    spool: Spool,
    host: Host,
    description: WorkerDescription,
    heartbeat_every: std::time::Duration,
    ledger: Arc<Ledger>,
    holds: Arc<Holds>,
    /// The disk: images, caches, and whether there is room for a job.
    care: Arc<Care>,
    /// Every job and every delivery: the drain waits for them.
    tasks: TaskTracker,
    /// The API does not know this worker: a claim, which describes it, is due.
    is_unknown: Notify,
    /// This machine failed a job: claims wait until it is seen to work again.
    is_unwell: Notify,
    /// No more retries: what cannot be sent now stays in the spool.
    is_leaving: CancellationToken,
    /// Running jobs of an earlier worker process, until they are taken over.
    left: std::sync::Mutex<Vec<adoption::Running>>,
}

/// Works until `shutdown` says otherwise, then drains.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let session = Arc::new(Session::start(&config).await?);
    let _leave = LeaveOnDrop(Arc::clone(&session));
    let leftovers = session.leftovers();
    session.take_over();
    let heartbeat = AbortOnDropHandle::new(tokio::spawn(heartbeat::run(Arc::clone(&session))));
    let care = Arc::clone(&session.care);
    let _care = AbortOnDropHandle::new(tokio::spawn(async move { care.run().await }));
    tracing::info!(worker = %session.description.id, cpus = session.description.cpus, "worker is ready");
    tokio::select! {
        () = claims::run(&session, leftovers) => (),
        () = shutdown.begun() => (),
    }
    session.drain(&shutdown, config.drain_timeout.0).await;
    drop(heartbeat);
    if let Some(containers) = &session.host.containers {
        containers.isolation.close().await;
    }
    tracing::info!(worker = %session.description.id, "worker has ended");
    Ok(())
}

/// Tells all jobs to end, so that a caller that drops [`run`] half way still gets its containers stopped.
struct LeaveOnDrop(Arc<Session>);

impl Drop for LeaveOnDrop {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Session {
    async fn start(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let api = Arc::new(Api::new(&config.api, config.token.clone())?.allowing_private_urls(config.allow_private_urls)?);
        let data = DataDirectory::open(&config.data_directory()?)?;
        let worker = config.worker_id()?.map_or_else(|| data.worker_id(), Ok)?;
        let machine = Machine::open(config, &data).await?;
        let left = adoption::sort(&*machine.executor, &data).await?;
        let cpus = config.cpus.unwrap_or(machine.cpus);
        let memory_bytes = config.memory_bytes()?.unwrap_or(machine.memory_bytes);
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
        };
        let care = Arc::new(Care::open(config.care.clone(), &data, machine.docker()).await?);
        let tasks = TaskTracker::new();
        let host = Host {
            api: Arc::clone(&api),
            executor: machine.executor,
            worker,
            data_label: data.label(),
            memory_bytes,
            max_job_duration: config.max_job_duration.0,
            stop_grace: config.stop_grace.0,
            stderr_fails: config.stderr_fails,
            secrets: config.isolation.secrets.clone(),
            containers: machine.containers,
            contents: Arc::clone(&care.contents),
            images: Arc::clone(&care.images),
            builds: crate::build::Settings::of(config, tasks.clone())?,
        };
        Ok(Self {
            queue: config.queue.clone(),
            api,
            spool: Spool::of(&data),
            data,
            host,
            description,
            heartbeat_every: config.heartbeat.0,
            ledger: Ledger::new(cpus, &config.gpus, memory_bytes, jobs),
            holds: Holds::new(),
            care,
            tasks,
            is_unknown: Notify::new(),
            is_unwell: Notify::new(),
            is_leaving: CancellationToken::new(),
            left: std::sync::Mutex::new(left),
        })
    }

    /// Waits for the running jobs, then for none.
    async fn drain(&self, shutdown: &Shutdown, patience: std::time::Duration) {
        self.tasks.close();
        tracing::info!(n_jobs = self.holds.list().len(), "worker drains");
        tokio::select! {
            () = self.tasks.wait() => return,
            () = tokio::time::sleep(patience) => tracing::warn!("drain timeout reached: running jobs go back to the queue"),
            () = shutdown.stop.cancelled() => (),
        }
        self.leave();
        self.tasks.wait().await;
    }

    fn leave(&self) {
        self.is_leaving.cancel();
        self.holds.leave_all();
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie above 0 and below CPUS_MAX")]
fn whole(cpus: f64) -> u32 {
    cpus.ceil() as u32
}
