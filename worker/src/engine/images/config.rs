//! Settings of images: pulls, logins and builds. The doc comments are the text of `--help`.

use std::path::PathBuf;

use protocol::Duration;

use crate::error::Error;

/// For which jobs the worker uses its owner's logins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DockerLogin {
    /// For every job of this worker.
    #[default]
    Jobs,
    /// For no job.
    None,
}

/// Settings of the images of jobs.
#[derive(clap::Args, Clone, Debug)]
pub struct ImageConfig {
    /// Build no images, so that jobs with a build block fail. (A build gets its job's cpus and memory, but at most 2 GiB of memory.)
    #[arg(long, env = "ASMAN_WORKER_NO_BUILD")]
    pub no_build: bool,
    /// More platforms to build images for, such as linux/arm64. The machine must emulate them.
    #[arg(long, env = "ASMAN_WORKER_PLATFORMS", value_delimiter = ',', value_name = "PLATFORM")]
    pub platforms: Vec<String>,
    /// Registry to keep built images in, as HOST/PREFIX: the other workers pull an image that one worker has built. The worker uses
    /// the login of `docker login` [default: none, built images stay in this engine].
    #[arg(long, env = "ASMAN_WORKER_BUILD_REGISTRY")]
    pub build_registry: Option<String>,
    /// For which jobs the worker uses the logins of `docker login`, in pulls and in builds. A worker with --untrusted never uses
    /// them.
    #[arg(long, env = "ASMAN_WORKER_DOCKER_LOGIN", value_enum, default_value_t)]
    pub docker_login: DockerLogin,
    /// Folder with the config.json of `docker login` [default: .docker in the home of the worker's user].
    #[arg(long, env = "DOCKER_CONFIG", value_name = "FOLDER")]
    pub docker_config: Option<PathBuf>,
    /// The git program.
    #[arg(long, default_value = "git", hide = true)]
    pub git: PathBuf,
    /// Time that a registry may stay silent during a pull. The engine may take five times as long to unpack [default: 2m].
    #[arg(long = "pull-patience", env = "ASMAN_WORKER_PULL_PATIENCE")]
    pub pull_timeout: Option<Duration>,
    /// How long the worker tries again when a registry or another server fails, before the job goes back to the queue [default: 30s].
    #[arg(long, env = "ASMAN_WORKER_RETRY_FOR")]
    pub retry_for: Option<Duration>,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            no_build: false,
            platforms: Vec::new(),
            build_registry: None,
            docker_login: DockerLogin::default(),
            docker_config: None,
            git: PathBuf::from("git"),
            pull_timeout: None,
            retry_for: None,
        }
    }
}

impl ImageConfig {
    /// Refuses invalid settings before the worker changes anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.platforms.iter().find(|text| protocol::labels::platform_label(text).is_none()) {
            Some(platform) => Err(Error::Config(format!("--platforms: {platform:?} is not a platform; write it as linux/arm64"))),
            None => Ok(()),
        }
    }
}
