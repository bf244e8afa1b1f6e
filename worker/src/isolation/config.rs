//! Settings of how far jobs are kept from this machine. The doc comments are part of `--help`.

use std::net::IpAddr;

use protocol::parse_size;

use super::destination::Destination;
use super::registries::RegistryHost;
use super::secrets::{SecretSource, check_sources};
use crate::error::Error;

/// What a job may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// Nothing.
    None,
    /// Public addresses: not this machine, its private networks, other jobs, or mail servers.
    #[default]
    Guarded,
    /// All that the engine's default network reaches.
    Open,
}

/// Settings of how far jobs are kept from this machine.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Isolation of jobs")]
pub struct IsolationConfig {
    /// Serve strangers: jobs run in gVisor, as few rights as possible, nothing shared between jobs, and the worker does not start
    /// where a guard is missing.
    #[arg(long, env = "ASMAN_WORKER_UNTRUSTED")]
    pub untrusted: bool,
    /// Runtime of the engine that jobs run in [default: runsc with --untrusted, else the engine's default].
    #[arg(long)]
    pub runtime: Option<String>,
    /// What jobs may reach.
    #[arg(long, value_enum, default_value_t)]
    pub network: Network,
    /// Private address that jobs may reach all the same, such as 10.0.0.5:9000 or 192.168.7.0/24; may be repeated.
    #[arg(long = "network-allow", value_name = "ADDRESS[/BITS][:PORT]")]
    pub network_allow: Vec<Destination>,
    /// Registry of a private network that the jobs of a worker with --untrusted may name in their images, such as 10.0.0.5:5000;
    /// may be repeated.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_registry: Vec<RegistryHost>,
    /// Name server for jobs; may be repeated [default: those of this machine, with --untrusted only public ones].
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<IpAddr>,
    /// Linux capabilities to add for jobs, comma separated, such as `SYS_PTRACE`.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub cap_add: Vec<String>,
    /// Jobs cannot write to their image's files; /tmp lies in memory.
    #[arg(long)]
    pub read_only_rootfs: bool,
    /// User, as UID or UID:GID, that jobs run as [default: the image's own; with --untrusted --runtime runc never root].
    #[arg(long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Most processes and threads of a job.
    #[arg(long, default_value_t = Self::PIDS, allow_hyphen_values = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub pids: u32,
    /// Most that a job may write, such as 20g: its root file system, outputs, volumes and cache together.
    #[arg(long, default_value = Self::DISK, allow_hyphen_values = true)]
    pub disk: String,
    /// Secret for jobs that ask for it by name, read from a file or from a variable (NAME=env:VARIABLE); may be repeated. Whoever
    /// can submit to the queue can read it.
    #[arg(long = "secret", value_name = "NAME=FILE")]
    pub secrets: Vec<SecretSource>,
}

impl IsolationConfig {
    const PIDS: u32 = 1024;
    const DISK: &'static str = "20g";

    /// Refuses what makes no sense, before anything is touched.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |sentence: String| Err(Error::Config(sentence));
        if self.untrusted && self.network == Network::Open {
            return refuse("--untrusted needs --network guarded or none".to_owned());
        }
        if self.untrusted && !self.secrets.is_empty() {
            return refuse("a stranger's job would read what --secret gives: it cannot stand with --untrusted".to_owned());
        }
        if self.pids == 0 || i32::try_from(self.pids).is_err() {
            return refuse("--pids must be from 1 to 2147483647".to_owned());
        }
        if let Some(user) = self.user.as_deref().filter(|user| !is_user(user)) {
            return refuse(format!("--user: {user:?} is no UID or UID:GID"));
        }
        let is_word = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        if let Some(name) = self.cap_add.iter().find(|name| !is_word(name)) {
            return refuse(format!("--cap-add: {name:?} is no capability; write it as SYS_PTRACE"));
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

/// Numbers alone: a name means what the image's own list of users says.
pub(super) fn is_user(text: &str) -> bool {
    let is_id = |part: &str| part.parse::<u32>().is_ok();
    text.split_once(':').map_or_else(|| is_id(text), |(user, group)| is_id(user) && is_id(group))
}
