//! The address of a database: the only parser of `DATABASE_URL`, with libpq's meaning.
//!
//! Comes in: a URL (`postgres://…`) or a list of keywords (`host=… dbname=…`), and the environment (`PGHOST`, `PGPASSWORD`, …)
//! for missing parts. Goes out: an [`Address`], from which every driver gets the same settings. Each parameter is used, or is
//! known to have no effect here, or is refused by name; none is ignored silently. Errors never show a value that may be a
//! password.

mod keywords;
mod options;
mod parameters;
mod pass_file;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Parameters by libpq's names.
type Parameters = BTreeMap<String, String>;

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text has neither form.
    #[error("the database's address cannot be read: {0}")]
    Form(&'static str),
    /// An unknown parameter.
    #[error("the database's address has the parameter `{0}`, which is unknown; remove it")]
    Unknown(String),
    /// A parameter of libpq that is not supported here.
    #[error("the database's address has `{name}={value}`, which is not supported here; {hint}")]
    Unsupported {
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
        /// What to do.
        hint: &'static str,
    },
    /// A wrong value of a parameter.
    #[error("the database's address has a wrong `{name}`: {why}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// One server of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// The folder of a unix socket.
    Socket(PathBuf),
    /// A host name or an address.
    Name(String),
}

/// What libpq calls `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Only if the server requires it.
    Allow,
    /// If the server offers it.
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always; the certificate is from a known authority.
    VerifyCa,
    /// Always; the certificate is from a known authority and names the host.
    VerifyFull,
}

/// Which authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those of the machine.
    System,
    /// Those of a file.
    File(PathBuf),
}

/// Keep-alive settings of TCP connections. Missing values are left to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Whether an idle connection is probed.
    pub is_on: bool,
    /// Idle time before the first probe.
    pub idle: Option<Duration>,
    /// Time between two probes.
    pub interval: Option<Duration>,
    /// Unanswered probes until the connection is given up.
    pub count: Option<u32>,
    /// Longest time that sent bytes may stay unacknowledged.
    pub user_timeout: Option<Duration>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { is_on: true, idle: None, interval: None, count: None, user_timeout: None }
    }
}

/// How to reach a database.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The servers, in the order in which they are tried, with their ports.
    pub hosts: Vec<(Host, u16)>,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// The database.
    pub database: String,
    /// Whether to encrypt.
    pub tls: TlsMode,
    /// Which authorities may have signed the server's certificate.
    pub roots: Roots,
    /// Our own certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Shown in `pg_stat_activity`.
    pub application_name: Option<String>,
    /// Settings of the session, as on the server's command line.
    pub options: Option<String>,
    /// Longest wait for a connection.
    pub connect_timeout: Option<Duration>,
    /// Keep-alives.
    pub keepalive: Keepalive,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Address").field("hosts", &self.hosts).field("database", &self.database).finish_non_exhaustive()
    }
}

impl Address {
    /// Reads an address, with the environment of this process for missing parts.
    ///
    /// # Errors
    /// When the address cannot be used. The message names the parameter.
    pub fn read(text: &str) -> Result<Self, AddressError> {
        Self::read_with(text, |name| std::env::var(name).ok())
    }

    fn read_with(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, AddressError> {
        // A value from a file often ends in a newline.
        let text = text.trim();
        let given = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            url::parameters(text)?
        } else {
            keywords::parameters(text)?
        };
        let mut all = parameters::of_environment(&environment);
        all.extend(given);
        parameters::check(&all)?;
        parameters::address(&all, &environment)
    }

    /// The settings of the session one by one, with their values.
    pub fn settings(&self) -> Vec<(String, String)> {
        options::settings(self.options.as_deref().unwrap_or_default()).unwrap_or_default()
    }
}
