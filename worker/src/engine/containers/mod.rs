//! Runs jobs as containers of a Docker engine, which may be Podman.
//!
//! In: the engine's client, the isolation, and the settings of images. `runs` is the life of a container, and `confine` its settings.
//! `trial` finds out whose fault a refusal is, `watch` limits what a container writes, and `program` explains exit codes. `folder` gives
//! access to what a container wrote.

mod confine;
mod folder;
mod program;
mod runs;
mod trial;
mod watch;

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::build::Settings;
use super::isolation::{Isolation, IsolationConfig, Wants};
use super::{Capacity, ContainerSpec, Docker, Engine, Fault, Files, Images, Init, Job, Prepared, Watch};
use crate::api::Api;
use crate::data_directory::DataDirectory;
use crate::disk::ImageRecord;
use crate::ends::RunError;
use crate::error::Error;
use watch::ContainerWatch;

/// A Docker engine, with the isolation of a worker's containers.
#[derive(Debug)]
pub(crate) struct Containers {
    pub(super) docker: Docker,
    pub(super) isolation: Isolation,
    /// The API, which stores contexts of builds.
    pub(super) api: Arc<Api>,
    /// Settings of pulls and builds.
    pub(super) settings: Settings,
    /// The record of images that were pulled or built for jobs.
    pub(super) record: Arc<ImageRecord>,
    data: Arc<DataDirectory>,
    init: Init,
    /// The last trial container that this machine could not start.
    failed_trial: Mutex<Option<ContainerSpec>>,
}

/// What [`Containers::open`] needs.
pub(crate) struct ContainerConfig<'a> {
    pub(crate) isolation: &'a IsolationConfig,
    pub(crate) api: Arc<Api>,
    /// Address of the API, which jobs may reach.
    pub(crate) address: &'a str,
    pub(crate) settings: Settings,
    pub(crate) record: Arc<ImageRecord>,
    pub(crate) init: Init,
    /// Gpus to offer.
    pub(crate) gpus: Vec<String>,
}

impl Containers {
    /// Connects to the engine, checks that jobs can run in it, and makes their network.
    pub(crate) async fn open(config: ContainerConfig<'_>, data: Arc<DataDirectory>) -> Result<Self, Error> {
        let ContainerConfig { isolation, api, address, settings, record, init, gpus } = config;
        let docker = Docker::connect().await?;
        let wants = Wants { gpus, has_init: init != Init::Never };
        let isolation = Isolation::open(isolation, address, &docker, &data, wants).await?;
        Ok(Self { docker, isolation, api, settings, record, data, init, failed_trial: Mutex::default() })
    }
}

impl Engine for Containers {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn capacity(&self) -> Capacity {
        Capacity { cpus: f64::from(self.docker.cpus), memory_bytes: self.docker.memory_bytes }
    }

    fn files(&self) -> &dyn Files {
        self
    }

    fn images(&self) -> Option<&dyn Images> {
        Some(self)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), Fault>> {
        self.docker.ping().boxed()
    }

    fn prove(&self) -> BoxFuture<'_, Result<(), String>> {
        self.isolation.prove(&self.data).boxed()
    }

    fn try_again(&self) -> BoxFuture<'_, Result<(), Fault>> {
        self.repeat_trial().boxed()
    }

    fn prepare<'a>(&'a self, job: &'a Job<'_>, spec: ContainerSpec) -> BoxFuture<'a, Result<Prepared, RunError>> {
        self.confine(job, spec).boxed()
    }

    fn doubt<'a>(&'a self, fault: &'a Fault, prepared: &'a Prepared) -> BoxFuture<'a, Result<(), RunError>> {
        self.judge(fault, &prepared.spec).boxed()
    }

    fn watch<'a>(&'a self, job: &'a Job<'a>) -> BoxFuture<'a, Box<dyn Watch + 'a>> {
        async move { Box::new(ContainerWatch::open(self, job).await) as Box<dyn Watch> }.boxed()
    }

    fn explain<'a>(&'a self, job: &'a Job<'_>, id: &'a str, exit_code: i64) -> BoxFuture<'a, Result<Option<String>, RunError>> {
        self.program_note(job, id, exit_code).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.isolation.close().boxed()
    }
}
