//! Why a worker cannot run. Each sentence names the problem and the fix.

use std::path::PathBuf;

/// Errors of [`run`](crate::run()) and of the other functions of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The worker had to end when there is no job, but it could not find out whether there is one.
    #[error("cannot find out whether there are jobs: {0}")]
    Unheard(String),
    /// The engine does not answer.
    #[error(
        "Docker cannot be reached ({cause}); install and start it (`sudo systemctl start docker`), see that you are in the \
         group `docker`, or set DOCKER_HOST"
    )]
    NoDocker {
        /// What the engine's client said.
        cause: String,
    },
    /// There is no engine, and the worker cannot start one here.
    #[error("{0}")]
    NoDockerd(String),
    /// Docker answered with a refusal.
    #[error("Docker refused: {0}")]
    Docker(String),
    /// Another worker holds the lock.
    #[error("a running worker already uses the data directory {}; give this worker its own with --data-directory", .0.display())]
    DataDirectoryBusy(PathBuf),
    /// The data directory cannot be made, read or written.
    #[error("cannot use the data directory {}: {source}; give another one with --data-directory", path.display())]
    DataDirectory {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder of scripts cannot be used.
    #[error("cannot use the folder of scripts {}: {source}; give another one with --scripts", path.display())]
    Scripts {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// This machine does not have what the settings ask for.
    #[error("{0}")]
    Machine(String),
    /// A setting is invalid.
    #[error("{0}")]
    Config(String),
}

/// The innermost cause, which names the fault. The outer causes of HTTP clients only say that a request failed.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
