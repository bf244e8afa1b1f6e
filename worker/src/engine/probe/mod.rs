//! Checks that this machine can run jobs before the first job is claimed, with a real container that has the settings of jobs.
//!
//! Without this check, a fault that shows only when a job runs would fail all jobs of a queue: a data directory that the engine does not
//! see, a limit that it refuses or ignores, a missing gpu runtime. So a container of the worker's own image copies a file of the data
//! directory and the kernel's files with its limits. When that fails, the probe begins again with the fewest settings and adds one after
//! another, until it knows which setting fails.
//!
//! The probe always removes its container and its folder. After a crash the next start removes them together with those of jobs.

mod limits;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::data_directory::DataDirectory;
use crate::engine::{Confinement, Docker, Fault, Helped, HelperSpec, Mount};
use limits::Limits;

/// Path of the folder in the container.
const INSIDE: &str = "/probe";
/// Exit codes of the helper when it cannot read and when it cannot write.
const UNSEEN: [i64; 2] = [3, 4];

/// What jobs need from the engine. Each need includes the needs before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A container that runs.
    Container,
    /// The data directory, to read and to write.
    Data,
    /// Bounds of cpu, memory and processes.
    Limits,
    /// The runtime, rights and init that jobs get.
    Confinement,
    /// The gpus of `--gpus`.
    Gpus,
}

/// All needs.
pub(crate) const NEEDS: [Need; 5] = [Need::Container, Need::Data, Need::Limits, Need::Confinement, Need::Gpus];

/// A need of jobs that is not met: one sentence with the problem and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Unfit {
    pub(crate) need: Need,
    pub(crate) sentence: String,
}

/// The check of one worker's engine.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    docker: Docker,
    data: PathBuf,
    labels: HashMap<String, String>,
    /// The confinement of jobs, without a network.
    confinement: Confinement,
    gpus: Vec<String>,
    has_init: bool,
    /// Containers share this machine's kernel, so the kernel's files in them show the real limits.
    shares_kernel: bool,
}

/// How the containers of jobs are made.
#[derive(Clone, Debug)]
pub(crate) struct ContainerStyle {
    pub(crate) confinement: Confinement,
    pub(crate) gpus: Vec<String>,
    pub(crate) has_init: bool,
    pub(crate) shares_kernel: bool,
}

impl Probe {
    /// A probe for containers of this style.
    pub(crate) fn new(docker: &Docker, data: &DataDirectory, labels: HashMap<String, String>, style: ContainerStyle) -> Self {
        let ContainerStyle { confinement, gpus, has_init, shares_kernel } = style;
        Self { docker: docker.clone(), data: data.path().to_owned(), labels, confinement, gpus, has_init, shares_kernel }
    }

    /// Checks that jobs can run. If the engine stops answering, returns a [`Fault`] instead of an unmet need.
    pub(crate) async fn run(&self, data: &DataDirectory) -> Result<Result<(), Unfit>, Fault> {
        if !self.docker.has_helper() {
            tracing::warn!(
                "the worker does not check what jobs need from the engine, because it has no helper program for this architecture"
            );
            return Ok(Ok(()));
        }
        let last = if self.gpus.is_empty() { Need::Confinement } else { Need::Gpus };
        let Err(failure) = self.attempt(last, data).await else { return Ok(Ok(())) };
        if let Some(need) = failure.need {
            return Ok(Err(self.unfit(need, &failure.cause)));
        }
        self.docker.ping().await?;
        for need in NEEDS.into_iter().filter(|need| *need <= last) {
            if let Err(failure) = self.attempt(need, data).await {
                self.docker.ping().await?;
                return Ok(Err(self.unfit(failure.need.unwrap_or(need), &failure.cause)));
            }
        }
        // Every need was met in the second attempt.
        Ok(Ok(()))
    }

    /// Runs one container with all needs up to this one.
    async fn attempt(&self, last: Need, data: &DataDirectory) -> Result<(), ProbeFailure> {
        let folder = data.probe_folder().map_err(|error| ProbeFailure::of(Need::Data, error.to_string()))?;
        let result = self.attempt_in(last, &folder).await;
        let left = folder.clone();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(left)).await;
        if let Ok(Err(error)) = removed {
            tracing::debug!(%error, path = %folder.display(), "cannot remove the folder of a probe; the next start of this worker removes it");
        }
        result
    }

    async fn attempt_in(&self, last: Need, folder: &Path) -> Result<(), ProbeFailure> {
        if last >= Need::Gpus && !self.docker.dialect.gives_gpus() {
            return Err(ProbeFailure::of(Need::Gpus, "it ignores a request for gpus"));
        }
        let token = uuid::Uuid::new_v4().to_string();
        let written = std::fs::write(folder.join("in"), &token);
        written.map_err(|error| ProbeFailure::of(Need::Data, error.to_string()))?;
        let limits = Limits::for_probe(&self.docker, self.confinement.pids);
        let helped = self.docker.help(&self.spec(last, folder, limits)).await.map_err(|fault| ProbeFailure::unknown(&fault))?;
        if last >= Need::Data {
            check_data(folder, &token, &helped)?;
        } else if helped.exit_code != 0 {
            return Err(ProbeFailure::of(Need::Container, format!("the container ended with exit code {}", helped.exit_code)));
        }
        if last >= Need::Limits {
            let files = self.shares_kernel.then_some(folder);
            limits.check(files, &helped).map_err(|cause| ProbeFailure::of(Need::Limits, cause))?;
            for warning in &helped.warnings {
                tracing::debug!(warning, "the engine has a warning about the containers of jobs");
            }
        }
        Ok(())
    }

    fn spec(&self, last: Need, folder: &Path, limits: Limits) -> HelperSpec {
        let mount = Mount { source: folder.to_owned(), target: INSIDE.to_owned(), is_read_only: false };
        let has = |need| last >= need;
        let without = || Confinement { runtime: None, user: None, ..self.confinement.clone() };
        HelperSpec {
            arguments: if has(Need::Data) { limits::arguments(INSIDE) } else { limits::no_arguments() },
            mounts: if has(Need::Data) { vec![mount] } else { Vec::new() },
            limits: has(Need::Limits).then_some((limits.cpus, limits.memory_bytes)),
            confinement: match () {
                () if has(Need::Confinement) => Some(self.confinement.clone()),
                () if has(Need::Limits) => Some(without()),
                () => None,
            },
            gpus: if has(Need::Gpus) { self.gpus.clone() } else { Vec::new() },
            has_init: self.has_init && has(Need::Confinement),
            labels: self.labels.clone(),
        }
    }

    fn unfit(&self, need: Need, cause: &str) -> Unfit {
        let (data, engine) = (self.data.display(), &self.docker.dialect);
        let (noun, run) = (engine.noun(), engine.program());
        let sentence = match need {
            Need::Container => format!("{noun} cannot run a container ({cause}); see the engine's own log, and try `{run} run`"),
            Need::Data => format!(
                "{noun} does not see the data directory {data} as this worker does ({cause}); mount the data directory at \
                 the same path for both (`{run} run -v {data}:{data}`), or name a folder of the engine's machine with --data-directory"
            ),
            Need::Limits => format!("{noun} cannot limit a job ({cause}); {}", engine.mend_of_limits()),
            Need::Confinement => {
                format!("{noun} cannot run a container with the isolation of jobs ({cause}); {}", engine.mend_of_confinement())
            }
            Need::Gpus => format!("{noun} cannot give a container the gpus of --gpus ({cause}); {}", engine.mend_of_gpus()),
        };
        Unfit { need, sentence }
    }
}

/// Why one container of a probe failed.
#[derive(Debug)]
struct ProbeFailure {
    /// The need that failed. None when it is still unknown.
    need: Option<Need>,
    cause: String,
}

impl ProbeFailure {
    fn of(need: Need, cause: impl Into<String>) -> Self {
        Self { need: Some(need), cause: cause.into() }
    }

    fn unknown(fault: &Fault) -> Self {
        Self { need: None, cause: fault.to_string() }
    }
}

fn check_data(folder: &Path, token: &str, helped: &Helped) -> Result<(), ProbeFailure> {
    let code = helped.exit_code;
    if code != 0 && !UNSEEN.contains(&code) {
        return Err(ProbeFailure { need: None, cause: format!("a container ended with exit code {code}") });
    }
    let back = std::fs::read_to_string(folder.join("out"));
    match back {
        Ok(back) if back == token && code == 0 => Ok(()),
        _ if code == UNSEEN[0] => Err(ProbeFailure::of(Need::Data, "a container does not find a file that the worker wrote")),
        _ if code == UNSEEN[1] => Err(ProbeFailure::of(Need::Data, "a container may not write to it")),
        _ => Err(ProbeFailure::of(Need::Data, "the worker does not find a file that a container wrote")),
    }
}
