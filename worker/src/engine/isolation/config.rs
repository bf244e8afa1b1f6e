//! Settings for the isolation of jobs. The doc comments are part of `--help`.

use std::net::IpAddr;

use protocol::parse_size;

use crate::error::Error;
use crate::network::{Destination, RegistryHost};
use crate::secrets::{SecretSource, check_sources};

/// What a job may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// Nothing.
    None,
    /// Public addresses. Jobs reach neither this machine, its private networks, other jobs nor mail servers.
    #[default]
    Guarded,
    /// Everything that the engine's default network reaches.
    Open,
}

/// Settings for the isolation of jobs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Isolation of jobs")]
pub struct IsolationConfig {
    /// Serve strangers: jobs run in gVisor with as few rights as possible and share nothing. The worker does not start when a guard
    /// is missing.
    #[arg(long, env = "ASMAN_WORKER_UNTRUSTED")]
    pub untrusted: bool,
    /// Runtime of the engine for jobs [default: runsc with --untrusted, else the engine's default].
    #[arg(long)]
    pub runtime: Option<String>,
    /// What jobs may reach.
    #[arg(long, value_enum, default_value_t)]
    pub network: Network,
    /// Private address that jobs may reach, such as 10.0.0.5:9000 or 192.168.7.0/24; may be repeated.
    #[arg(long = "network-allow", value_name = "ADDRESS[/BITS][:PORT]")]
    pub network_allow: Vec<Destination>,
    /// Registry in a private network that the jobs of a worker with --untrusted may use, such as 10.0.0.5:5000; may be repeated.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_registry: Vec<RegistryHost>,
    /// Name server for jobs; may be repeated [default: those of this machine; with --untrusted only public ones].
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<IpAddr>,
    /// Linux capabilities to add for jobs, separated by commas, such as `SYS_PTRACE`.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub cap_add: Vec<String>,
    /// Jobs cannot write to the files of their image, and /tmp is in memory.
    #[arg(long)]
    pub read_only_rootfs: bool,
    /// User of jobs, as UID or UID:GID [default: the image's user; with --untrusted --runtime runc never root].
    #[arg(long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Most processes and threads of a job.
    #[arg(long, default_value_t = Self::PIDS, allow_hyphen_values = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub pids: u32,
    /// Most bytes that a job may write, such as 20g: root file system, outputs, volumes and cache together.
    #[arg(long, default_value = Self::DISK, allow_hyphen_values = true)]
    pub disk: String,
    /// Secret for jobs that ask for it by name, from a file or from an environment variable (NAME=env:VARIABLE); may be repeated.
    /// Everyone who can submit to the queue can read it.
    #[arg(long = "secret", value_name = "NAME=FILE")]
    pub secrets: Vec<SecretSource>,
}

impl IsolationConfig {
    const PIDS: u32 = 1024;
    const DISK: &'static str = "20g";

    /// Refuses invalid settings before the worker changes anything.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |sentence: String| Err(Error::Config(sentence));
        if self.untrusted && self.network == Network::Open {
            return refuse("--untrusted needs --network guarded or --network none".to_owned());
        }
        if self.untrusted && !self.secrets.is_empty() {
            return refuse(
                "--secret cannot be used with --untrusted, because jobs of strangers would read the secret".to_owned(),
            );
        }
        if self.pids == 0 || i32::try_from(self.pids).is_err() {
            return refuse("--pids must be from 1 to 2147483647".to_owned());
        }
        if let Some(user) = self.user.as_deref().filter(|user| !is_user(user)) {
            return refuse(format!("--user: {user:?} is not a user; write it as UID or UID:GID, such as 1000:1000"));
        }
        let is_word = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        if let Some(name) = self.cap_add.iter().find(|name| !is_word(name)) {
            return refuse(format!("--cap-add: {name:?} is not a capability; write it as SYS_PTRACE"));
        }
        check_sources(&self.secrets)?;
        self.disk_bytes().map(|_| ())
    }

    /// Bytes of `--disk`.
    pub(crate) fn disk_bytes(&self) -> Result<u64, Error> {
        match parse_size(&self.disk) {
            Ok(0) => Err(Error::Config("--disk must be above 0".to_owned())),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(Error::Config(format!("--disk: {error}"))),
        }
    }
}

impl Default for IsolationConfig {
    fn default() -> Self {
        Self {
            untrusted: false,
            runtime: None,
            network: Network::default(),
            network_allow: Vec::new(),
            allow_registry: Vec::new(),
            dns: Vec::new(),
            cap_add: Vec::new(),
            read_only_rootfs: false,
            user: None,
            pids: Self::PIDS,
            disk: Self::DISK.to_owned(),
            secrets: Vec::new(),
        }
    }
}

/// Whether a text is a UID or UID:GID. Names are refused, because the image decides what they mean.
pub(super) fn is_user(text: &str) -> bool {
    let is_id = |part: &str| part.parse::<u32>().is_ok();
    text.split_once(':').map_or_else(|| is_id(text), |(user, group)| is_id(user) && is_id(group))
}
