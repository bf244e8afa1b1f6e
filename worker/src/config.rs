//! Settings of one worker. The doc comments are the text of `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::{Duration, QueueName, WorkerId, parse_size};

use crate::claim::queues::Queues;
use crate::disk::DiskConfig;
use crate::engine::{Gpus, ImageConfig, Init, IsolationConfig};
use crate::error::Error;

const API_DEFAULT: &str = "http://localhost:8000";
/// Most jobs that a heartbeat can name.
#[expect(clippy::cast_possible_wrap, reason = "a few thousands")]
const JOBS_MAX: i64 = protocol::limits::HEARTBEAT_JOBS_MAX as i64;
const CPUS_WANTED: &str = "give a number above 0 and at most 4096, such as 2 or 0.5";

/// What runs a worker's jobs.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutorKind {
    /// Containers, in a Docker engine.
    #[default]
    Docker,
    /// Scripts of a folder, as processes of this machine. Use it only for people who may run anything on this machine.
    Process,
}

/// Settings of one worker.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the help of the whole command")]
    pub queue: Queues,
    /// Address of the API.
    #[arg(long, env = "ASMAN_API", default_value = API_DEFAULT)]
    pub api: String,
    /// Cpus to offer, fractions allowed [default: all that Docker has].
    #[arg(long, allow_hyphen_values = true, value_parser = read_cpus)]
    pub cpus: Option<f64>,
    /// Gpus to offer: how many (2), or which ones (device=1,3 or device=GPU-3a23c669, as `nvidia-smi -L` lists them). A job sees
    /// only the gpus that it was given, and no two jobs share a gpu.
    #[arg(long, default_value_t = Gpus::default(), allow_hyphen_values = true)]
    pub gpus: Gpus,
    /// Memory to offer, such as 8g. It is also the limit of a job that does not ask for memory [default: all that Docker has].
    #[arg(long, allow_hyphen_values = true)]
    pub memory: Option<String>,
    /// Most jobs at once [default: cpus rounded up].
    #[arg(long, allow_hyphen_values = true, value_parser = clap::value_parser!(u32).range(1..=JOBS_MAX))]
    pub jobs: Option<u32>,
    /// Tags of this worker, separated by commas. A job that asks for a tag runs only on a worker that has it.
    #[arg(long, value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Longest run of a job. The worker does not get jobs that ask for more, and stops a job that runs longer as timed out.
    #[arg(long, default_value = "24h", allow_hyphen_values = true)]
    pub max_job_duration: Duration,
    /// Folder for scratch files, caches and undelivered results [default: a folder for the first queue, in /var/lib/asman/workers
    /// for root, else in asman/workers below `$XDG_DATA_HOME` or ~/.local/share].
    #[arg(long, env = "ASMAN_WORKER_DATA")]
    pub data_directory: Option<PathBuf>,
    /// Id of this worker in its queue [default: generated once and kept in the data directory].
    #[arg(long)]
    pub id: Option<String>,
    /// Time between the stop signal to a container and the kill.
    #[arg(long, default_value = "10s", allow_hyphen_values = true)]
    pub stop_grace: Duration,
    /// Time that running jobs get to finish when the worker is told to end. After it they go back to the queue.
    #[arg(long, default_value = "10m", allow_hyphen_values = true)]
    pub drain_timeout: Duration,
    /// Token that the queue's policy asks for from workers.
    #[arg(long, env = "ASMAN_WORKER_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// What runs the jobs.
    #[arg(long, value_enum, default_value_t)]
    pub executor: ExecutorKind,
    /// Folder of the scripts that `--executor process` runs. The first word of a job's command is the name of a script.
    #[arg(long, value_name = "FOLDER", env = "ASMAN_WORKER_SCRIPTS")]
    pub scripts: Option<PathBuf>,
    /// Whether a container gets an init from the engine as its first process.
    #[arg(long, value_enum, default_value_t, env = "ASMAN_WORKER_INIT")]
    pub init: Init,
    /// Count a job that writes to stderr as failed, even when its exit code is 0.
    #[arg(long)]
    pub stderr_fails: bool,
    /// Allow build contexts and inputs from URLs in the worker's own network: private and loopback addresses, and git over plain
    /// http. Use it only for a queue of your own: on a public queue it opens that network to strangers.
    #[arg(long, env = "ASMAN_WORKER_ALLOW_PRIVATE_URLS")]
    pub allow_private_urls: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the help of the whole command")]
    pub images: ImageConfig,
    /// Time between heartbeats.
    #[arg(long, default_value = "5s", hide = true)]
    pub heartbeat: Duration,
    /// How jobs are isolated from this machine.
    #[command(flatten)]
    pub isolation: IsolationConfig,
    /// What the worker keeps on disk, and how much.
    #[command(flatten)]
    pub disk: DiskConfig,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the help of the whole command")]
    pub life: Life,
}

/// When a worker ends by itself, and where it reports its health.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Life {
    /// End when the worker had no job for this long, for autoscalers. The exit code is 0 if the queue was empty, and 3 if the API did
    /// not answer or refused the worker, as for a wrong address or token.
    #[arg(long, env = "ASMAN_WORKER_EXIT_WHEN_IDLE", value_name = "TIME", allow_hyphen_values = true)]
    pub exit_when_idle: Option<Duration>,
    /// End with exit code 0 after this many jobs.
    #[arg(long, env = "ASMAN_WORKER_MAX_JOBS", value_name = "N", allow_hyphen_values = true)]
    #[arg(value_parser = read_count)]
    pub max_jobs: Option<u64>,
    /// Address for GET /healthz and GET /metrics, such as 127.0.0.1:8001. Strangers must not be able to reach it.
    #[arg(long, env = "ASMAN_WORKER_HEALTH_ADDRESS", value_name = "ADDRESS")]
    pub health_address: Option<SocketAddr>,
}

fn read_cpus(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|cpus| are_cpus(*cpus)).ok_or(CPUS_WANTED)
}

fn read_count(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|count| *count > 0).ok_or("give a whole number from 1")
}

fn are_cpus(cpus: f64) -> bool {
    cpus > 0.0 && cpus <= protocol::limits::CPUS_MAX
}

impl Config {
    /// The defaults, for a program that embeds a worker.
    pub fn for_queue(queue: QueueName, api: impl Into<String>) -> Self {
        Self {
            queue: queue.into(),
            api: api.into(),
            cpus: None,
            gpus: Gpus::default(),
            memory: None,
            jobs: None,
            tags: Vec::new(),
            max_job_duration: Duration(protocol::limits::DURATION_DEFAULT),
            data_directory: None,
            id: None,
            stop_grace: Duration(std::time::Duration::from_secs(10)),
            drain_timeout: Duration(std::time::Duration::from_mins(10)),
            token: None,
            executor: ExecutorKind::Docker,
            scripts: None,
            init: Init::default(),
            stderr_fails: false,
            allow_private_urls: false,
            images: ImageConfig::default(),
            heartbeat: Duration(protocol::limits::HEARTBEAT),
            isolation: IsolationConfig::default(),
            disk: DiskConfig::default(),
            life: Life::default(),
        }
    }

    /// The data directory of the settings, or this user's default.
    pub(crate) fn data_directory(&self) -> Result<PathBuf, Error> {
        if let Some(path) = &self.data_directory {
            return Ok(path.clone());
        }
        // Workers of different queues get different folders. The folder's name does not reveal the queue's name.
        let folder = format!("asman/workers/{}", &self.queue.qid().simple().to_string()[..12]);
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib").join(folder));
        }
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        named("XDG_DATA_HOME")
            .or_else(|| named("HOME").map(|home| home.join(".local/share")))
            .map(|base| base.join(folder))
            .ok_or_else(|| Error::Config("neither HOME nor XDG_DATA_HOME is set; give --data-directory".to_owned()))
    }

    /// Refuses invalid settings before the worker changes anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |sentence: &str| Err(Error::Config(sentence.to_owned()));
        if self.cpus.is_some_and(|cpus| !are_cpus(cpus)) {
            return refuse(&format!("--cpus: {CPUS_WANTED}"));
        }
        if self.tags.len() > protocol::limits::TAGS_MAX {
            return refuse("a worker may have at most 32 --tags");
        }
        if self.jobs.is_some_and(|jobs| jobs == 0 || jobs as usize > protocol::limits::HEARTBEAT_JOBS_MAX) {
            return refuse("--jobs must be from 1 to 4096");
        }
        if self.heartbeat.0.is_zero() || self.heartbeat.0 > protocol::limits::WAIT_MAX {
            return refuse("--heartbeat must be above 0 and at most 30s");
        }
        self.images.check()?;
        self.isolation.check()?;
        self.disk.check()?;
        self.queue.shares()?;
        self.memory_bytes().map(|_| ())
    }

    /// Bytes of `--memory`.
    pub(crate) fn memory_bytes(&self) -> Result<Option<u64>, Error> {
        let read = |text: &String| parse_size(text).map_err(|error| Error::Config(format!("--memory: {error}")));
        self.memory.as_ref().map(read).transpose()
    }

    /// The worker id of the settings.
    pub(crate) fn worker_id(&self) -> Result<Option<WorkerId>, Error> {
        let read = |text: &String| text.parse().map_err(|error| Error::Config(format!("--id: {error}")));
        self.id.as_ref().map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};

    fn parse(arguments: &[&str]) -> Config {
        let command = Config::augment_args(Command::new("worker"));
        command.clone().debug_assert();
        Config::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
    }

    #[test]
    fn an_embedded_worker_has_the_defaults_of_the_command_line() {
        let embedded = Config::for_queue("q".parse().unwrap(), API_DEFAULT);
        assert_eq!(format!("{:?}", parse(&["worker", "q"])), format!("{embedded:?}"));
    }

    #[test]
    fn flags_read_as_people_write_them() {
        let config = parse(&["worker", "q", "--tags", "a,b", "--memory", "2g", "--max-job-duration", "90s", "--cpus", "0.5"]);
        assert_eq!((config.tags.len(), config.memory_bytes().unwrap(), config.cpus), (2, Some(2 << 30), Some(0.5)));
        assert_eq!(config.max_job_duration.0.as_secs(), 90);
        assert!(config.check().is_ok());
    }
}
