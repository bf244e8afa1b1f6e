//! Proof that this machine can run jobs, before the first is claimed: a real container, made as those of jobs are.
//!
//! What only shows when a job runs costs a queue all its jobs: a data directory that the engine does not see, a limit that it refuses
//! or ignores, a gpu runtime that is not there. So one container of the worker's own image copies a file of the data directory back
//! to it, and the limits that it finds itself under. When that fails, the same is tried with less, until it is known what is lacking.
//!
//! It leaves nothing behind, whatever happens: its container and folder go, and a crash's are swept with those of jobs.

mod limits;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::data_directory::DataDirectory;
use crate::executor::{Confinement, Docker, Fault, Helped, HelperSpec, Mount};
use limits::Limits;

/// Where the container finds the folder.
const INSIDE: &str = "/probe";
/// Exit codes of the helper: it could not read, it could not write.
const UNSEEN: [i64; 2] = [3, 4];

/// What jobs need of the engine, each with all before it.
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

/// All of them.
pub(crate) const NEEDS: [Need; 5] = [Need::Container, Need::Data, Need::Limits, Need::Confinement, Need::Gpus];

/// Something that jobs need and would not get: one sentence with its mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Unfit {
    pub(crate) need: Need,
    pub(crate) sentence: String,
}

/// Looks at the engine of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    docker: Docker,
    data: PathBuf,
    labels: HashMap<String, String>,
    /// As jobs have it, without a network.
    confinement: Confinement,
    gpus: Vec<String>,
    has_init: bool,
    /// The container's own files of its limits tell the truth.
    shares_kernel: bool,
}

/// How the containers of jobs are made.
#[derive(Clone, Debug)]
pub(crate) struct Fashion {
    pub(crate) confinement: Confinement,
    pub(crate) gpus: Vec<String>,
    pub(crate) has_init: bool,
    pub(crate) shares_kernel: bool,
}

impl Probe {
    /// For containers of this fashion.
    pub(crate) fn new(docker: &Docker, data: &DataDirectory, labels: HashMap<String, String>, fashion: Fashion) -> Self {
        let Fashion { confinement, gpus, has_init, shares_kernel } = fashion;
        Self { docker: docker.clone(), data: data.path().to_owned(), labels, confinement, gpus, has_init, shares_kernel }
    }

    /// Sees that jobs can run. An engine that vanishes meanwhile is no lack of anything.
    pub(crate) async fn run(&self, data: &DataDirectory) -> Result<Result<(), Unfit>, Fault> {
        if !self.docker.has_helper() {
            tracing::warn!("what jobs need of the engine is not looked at: there is no program for machines of this kind");
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
        // It passed when it was looked at again.
        Ok(Ok(()))
    }

    /// One container with all that is needed up to this.
    async fn attempt(&self, last: Need, data: &DataDirectory) -> Result<(), Failure> {
        let folder = data.probe_folder().map_err(|error| Failure::of(Need::Data, error.to_string()))?;
        let result = self.attempt_in(last, &folder).await;
        let left = folder.clone();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(left)).await;
        if let Ok(Err(error)) = removed {
            tracing::debug!(%error, path = %folder.display(), "the folder of a probe stays until the next start");
        }
        result
    }

    async fn attempt_in(&self, last: Need, folder: &Path) -> Result<(), Failure> {
        let token = uuid::Uuid::new_v4().to_string();
        let written = std::fs::write(folder.join("in"), &token);
        written.map_err(|error| Failure::of(Need::Data, error.to_string()))?;
        let limits = Limits::for_probe(&self.docker, self.confinement.pids);
        let helped = self.docker.help(&self.spec(last, folder, limits)).await.map_err(|fault| Failure::unknown(&fault))?;
        if last >= Need::Data {
            check_data(folder, &token, &helped)?;
        } else if helped.exit_code != 0 {
            return Err(Failure::of(Need::Container, format!("it ended with exit code {}", helped.exit_code)));
        }
        if last >= Need::Limits {
            let files = self.shares_kernel.then_some(folder);
            limits.check(files, &helped).map_err(|cause| Failure::of(Need::Limits, cause))?;
            for warning in &helped.warnings {
                tracing::debug!(warning, "the engine warns of the containers of jobs");
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
        let data = self.data.display();
        let sentence = match need {
            Need::Container => {
                format!("the Docker engine cannot run a container ({cause}); see the engine's own log, and try `docker run`")
            }
            Need::Data => format!(
                "the Docker engine does not see the data directory {data} as this worker does ({cause}); mount the data directory at \
                 the same path for both (`docker run -v {data}:{data}`), or name a folder of the engine's machine with --data-directory"
            ),
            Need::Limits => format!(
                "the Docker engine cannot bound what a job takes ({cause}); switch on the kernel's cgroup controllers cpu, memory and \
                 pids (`cgroup_enable=memory` on some kernels' command line, delegation for an engine without root)"
            ),
            Need::Confinement => {
                format!(
                    "the Docker engine cannot confine a container as jobs are ({cause}); see --runtime, --cap-add, --user and --init"
                )
            }
            Need::Gpus => format!(
                "the Docker engine cannot give a container the gpus of --gpus ({cause}); install the vendor's container toolkit and \
                 register it (`sudo nvidia-ctk runtime configure`, then restart the engine), or leave --gpus out"
            ),
        };
        Unfit { need, sentence }
    }
}

/// Why one container did not do what it should.
#[derive(Debug)]
struct Failure {
    /// None: it has to be found out.
    need: Option<Need>,
    cause: String,
}

impl Failure {
    fn of(need: Need, cause: impl Into<String>) -> Self {
        Self { need: Some(need), cause: cause.into() }
    }

    fn unknown(fault: &Fault) -> Self {
        Self { need: None, cause: fault.to_string() }
    }
}

fn check_data(folder: &Path, token: &str, helped: &Helped) -> Result<(), Failure> {
    let code = helped.exit_code;
    if code != 0 && !UNSEEN.contains(&code) {
        return Err(Failure { need: None, cause: format!("a container ended with exit code {code}") });
    }
    let back = std::fs::read_to_string(folder.join("out"));
    match back {
        Ok(back) if back == token && code == 0 => Ok(()),
        _ if code == UNSEEN[0] => Err(Failure::of(Need::Data, "a file that the worker wrote is not there in a container")),
        _ if code == UNSEEN[1] => Err(Failure::of(Need::Data, "a container may not write there")),
        _ => Err(Failure::of(Need::Data, "a file that a container wrote is not there for the worker")),
    }
}
