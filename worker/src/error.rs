//! Why a worker cannot run. Each sentence says what mends it.

use std::path::PathBuf;

/// Everything that [`run`](crate::run()) and its neighbours fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was to end when there is no work, and could not learn whether there is any.
    #[error("no work was found, because {0}")]
    Unheard(String),
    /// The engine does not answer.
    #[error(
        "Docker cannot be reached ({cause}); install and start it (`sudo systemctl start docker`), see that you are in the \
         group `docker`, or set DOCKER_HOST"
    )]
    NoDocker {
        /// In the engine client's own words.
        cause: String,
    },
    /// No engine, and none can be started here.
    #[error("{0}")]
    NoDockerd(String),
    /// Docker answered, and refused.
    #[error("Docker refused: {0}")]
    Docker(String),
    /// Another worker holds the lock.
    #[error("the data directory {} belongs to a worker that is running; give this one its own with --data-directory", .0.display())]
    DataDirectoryBusy(PathBuf),
    /// The data directory cannot be made, read or written.
    #[error("the data directory {}: {source}; give another with --data-directory", path.display())]
    DataDirectory {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder of scripts cannot be used.
    #[error("the folder of scripts {}: {source}; give another with --scripts", path.display())]
    Scripts {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// This machine lacks what the settings ask for.
    #[error("{0}")]
    Lack(String),
    /// A setting that makes no sense.
    #[error("{0}")]
    Config(String),
}

/// The innermost cause, which names the fault; the outer ones of HTTP clients only say that a request failed.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
