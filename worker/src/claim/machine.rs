//! The executor that runs jobs, and the capacity of its machine.

use std::sync::Arc;

use crate::config::{Config, ExecutorKind};
use crate::data_directory::DataDirectory;
use crate::engine::Init;
use crate::engine::isolation::{Containers, Isolation, Wants};
use crate::engine::{Docker, Executor, Processes};
use crate::error::Error;

/// A ready executor.
pub(super) struct Machine {
    pub(super) executor: Arc<dyn Executor>,
    /// None when the executor runs jobs without containers.
    pub(super) containers: Option<Containers>,
    pub(super) cpus: f64,
    pub(super) memory_bytes: u64,
}

impl Machine {
    /// Opens the executor that the settings name.
    pub(super) async fn open(config: &Config, data: &DataDirectory) -> Result<Self, Error> {
        match config.executor {
            ExecutorKind::Docker => Self::with_docker(config, data).await,
            ExecutorKind::Process => Self::with_scripts(config, data),
        }
    }

    /// The engine, if there is one.
    pub(super) fn docker(&self) -> Option<Docker> {
        self.containers.as_ref().map(|containers| containers.docker.clone())
    }

    /// Whether the worker builds images.
    pub(super) fn builds(&self, config: &Config) -> bool {
        let may = |containers: &Containers| !config.no_build && !containers.isolation.refuses_builds();
        self.containers.as_ref().is_some_and(may)
    }

    /// Platforms that the worker builds images for: the engine's own, and those of `--platforms`.
    pub(super) fn platforms(&self, config: &Config) -> Vec<String> {
        let own = self.containers.iter().map(|containers| containers.docker.platform.clone());
        own.chain(config.platforms.iter().cloned()).collect()
    }

    /// Removes the network, its rules and the prepared sandboxes.
    pub(super) async fn close(&self) {
        if let Some(containers) = &self.containers {
            containers.isolation.close().await;
        }
    }

    async fn with_docker(config: &Config, data: &DataDirectory) -> Result<Self, Error> {
        let docker = Docker::connect().await?;
        let wants = Wants { gpus: config.gpus.devices().to_vec(), has_init: config.init != Init::Never };
        let isolation = Isolation::open(&config.isolation, &config.api, &docker, data, wants).await?;
        Ok(Self {
            executor: Arc::new(docker.clone()),
            cpus: f64::from(docker.cpus),
            memory_bytes: docker.memory_bytes,
            containers: Some(Containers { docker, isolation }),
        })
    }

    fn with_scripts(config: &Config, data: &DataDirectory) -> Result<Self, Error> {
        if config.isolation.untrusted {
            return Err(Error::Config(
                "--executor process does not isolate jobs of strangers; remove --untrusted or --executor process".to_owned(),
            ));
        }
        let missing = || Error::Config("--executor process needs a folder of scripts; give it with --scripts FOLDER".to_owned());
        let scripts = config.scripts.as_ref().ok_or_else(missing)?;
        let failed = |source| Error::Scripts { path: scripts.clone(), source };
        let processes = Processes::open(scripts, data.processes()).map_err(failed)?;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
        Ok(Self { executor: Arc::new(processes), containers: None, cpus, memory_bytes: memory_of_this_machine() })
    }
}

/// Bytes of memory; 0 when the system does not say.
fn memory_of_this_machine() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram * u64::from(system.mem_unit)
}
