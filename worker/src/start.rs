//! Starts a worker: opens the data directory, the engine and the disks as the settings say, and runs the room `claim` with them.
//!
//! This is the only module that knows both the settings and all rooms.

use std::sync::Arc;

use protocol::{WorkerDescription, WorkerId};
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::claim::capacity::Ledger;
use crate::claim::{self, Common, Running, Service, Setup};
use crate::config::{Config, ExecutorKind};
use crate::data_directory::DataDirectory;
use crate::disk::{Contents, Disks, ImageRecord};
use crate::engine::build::Settings;
use crate::engine::{ContainerConfig, Containers, Dockerd, Engine, Images, Processes};
use crate::error::Error;
use crate::health;
use crate::run::Host;
use crate::shutdown::Shutdown;
use crate::spool::Spool;

/// Runs a worker until `shutdown` is signalled or `config.life` ends it, then drains.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    config.check()?;
    let shares = config.queue.shares()?;
    let listener = match config.life.health_address {
        Some(address) => Some(health::bind(address).await?),
        None => None,
    };
    let (common, left) = Start::of(&config)?.common(&config).await?;
    let common = Arc::new(common);
    let _health = listener.map(|listener| health::serve(listener, Arc::clone(&common)));
    let (exit_when_idle, drain_timeout) = (config.life.exit_when_idle, config.drain_timeout.0);
    claim::run(common, Service { shares, left, exit_when_idle, drain_timeout }, &shutdown).await
}

/// Starts a Docker engine for a worker with these settings, and waits until it answers. Returns None when an engine answers already.
pub async fn start_docker(config: &Config) -> Result<Option<Dockerd>, Error> {
    Dockerd::start(|| config.data_directory()).await
}

/// What a start opens first.
struct Start {
    api: Arc<Api>,
    data: Arc<DataDirectory>,
    /// The record of images that were pulled or built for jobs.
    record: Arc<ImageRecord>,
    tasks: TaskTracker,
}

/// The parts of a start that may fail after the network of jobs was made.
struct Begun {
    left: Vec<Running>,
    disks: Arc<Disks>,
}

impl Start {
    fn of(config: &Config) -> Result<Self, Error> {
        let api = Arc::new(Api::new(&config.api, config.token.clone())?.allowing_private_urls(config.allow_private_urls)?);
        let data = Arc::new(DataDirectory::open(&config.data_directory()?)?);
        let record = Arc::new(ImageRecord::open(data.images_file()));
        Ok(Self { api, data, record, tasks: TaskTracker::new() })
    }

    /// Opens the engine that the settings name.
    async fn engine(&self, config: &Config) -> Result<Arc<dyn Engine>, Error> {
        match config.executor {
            ExecutorKind::Docker => Ok(Arc::new(self.containers(config).await?)),
            ExecutorKind::Process => Ok(Arc::new(self.processes(config)?)),
        }
    }

    async fn containers(&self, config: &Config) -> Result<Containers, Error> {
        let settings = Settings::of(&config.images, config.isolation.untrusted, self.tasks.clone())?;
        let config = ContainerConfig {
            isolation: &config.isolation,
            api: Arc::clone(&self.api),
            address: &config.api,
            settings,
            record: Arc::clone(&self.record),
            init: config.init,
            gpus: config.gpus.devices().to_vec(),
        };
        Containers::open(config, Arc::clone(&self.data)).await
    }

    fn processes(&self, config: &Config) -> Result<Processes, Error> {
        if config.isolation.untrusted {
            return Err(Error::Config(
                "--executor process does not isolate jobs of strangers; remove --untrusted or --executor process".to_owned(),
            ));
        }
        let missing = || Error::Config("--executor process needs a folder of scripts; give it with --scripts FOLDER".to_owned());
        let scripts = config.scripts.as_ref().ok_or_else(missing)?;
        let failed = |source| Error::Scripts { path: scripts.clone(), source };
        Processes::open(scripts, self.data.processes()).map_err(failed)
    }

    async fn begin(&self, config: &Config, engine: &dyn Engine) -> Result<Begun, Error> {
        let left = claim::sort(engine, &self.data).await?;
        let store = engine.images().and_then(Images::store);
        let disks = Disks::open(config.disk.clone(), &self.data, Arc::clone(&self.record), store).await?;
        // If an earlier process left jobs or finishes, these come first, even on a full disk, and only claims wait for room.
        if left.is_empty() && Spool::of(&self.data).depth() == 0 {
            disks.make_room().await?;
        }
        Ok(Begun { left, disks: Arc::new(disks) })
    }

    /// Opens everything. Also returns the containers that an earlier process left running.
    async fn common(self, config: &Config) -> Result<(Common, Vec<Running>), Error> {
        let worker = config.worker_id()?.map_or_else(|| self.data.worker_id(), Ok)?;
        let (memory, n_queues) = (config.memory_bytes()?, config.queue.shares()?.len());
        let engine = self.engine(config).await?;
        let Begun { left, disks } = match self.begin(config, &*engine).await {
            Ok(begun) => begun,
            Err(error) => {
                engine.close().await;
                return Err(error);
            }
        };
        let description = describe(config, &*engine, worker, memory.unwrap_or(engine.capacity().memory_bytes));
        let jobs = config.jobs.unwrap_or_else(|| whole(description.cpus));
        let setup = Setup {
            host: self.host(config, engine, Arc::clone(&disks.contents), &description),
            ledger: Ledger::new(description.cpus, &config.gpus, description.memory, jobs),
            data: self.data,
            description,
            heartbeat_every: config.heartbeat.0,
            disks,
            tasks: self.tasks,
            jobs_max: config.life.max_jobs,
            n_queues,
            is_untrusted: config.isolation.untrusted,
        };
        Ok((Common::new(setup), left))
    }

    fn host(&self, config: &Config, engine: Arc<dyn Engine>, contents: Arc<Contents>, worker: &WorkerDescription) -> Host {
        Host {
            api: Arc::clone(&self.api),
            engine,
            worker: worker.id.clone(),
            data_label: self.data.label(),
            memory_bytes: worker.memory,
            max_job_duration: config.max_job_duration.0,
            stop_grace: config.stop_grace.0,
            stderr_fails: config.stderr_fails,
            secrets: config.isolation.secrets.clone(),
            contents,
        }
    }
}

/// How the worker describes itself to the API.
fn describe(config: &Config, engine: &dyn Engine, id: WorkerId, memory: u64) -> WorkerDescription {
    let images = engine.images();
    let own_platform = images.map(Images::platform);
    WorkerDescription {
        id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cpus: config.cpus.unwrap_or(engine.capacity().cpus),
        gpus: config.gpus.count(),
        memory,
        tags: config.tags.clone(),
        max_job_duration: config.max_job_duration,
        executor: engine.name().to_owned(),
        secrets: config.isolation.secrets.iter().map(|secret| secret.name.clone()).collect(),
        platforms: own_platform.into_iter().chain(config.images.platforms.iter().cloned()).collect(),
        builds: images.is_some_and(Images::builds),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie above 0 and below CPUS_MAX")]
fn whole(cpus: f64) -> u32 {
    cpus.ceil() as u32
}
