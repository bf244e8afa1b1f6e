//! How a command fails: one variant for each exit code that `asman --help` documents.

use std::process::ExitCode;

/// Why a command did not do what was asked. The text is one sentence for the person who typed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The job or the server failed: exit 1.
    #[error("{0}")]
    Failed(String),
    /// The job could not be run, for a reason that is not its own: exit 75, which says to try again.
    #[error("{0}")]
    NotRun(String),
    /// What was typed cannot be done: exit 2.
    #[error("{0}")]
    BadInput(String),
    /// Something this machine lacks, with the command that mends it: exit 3.
    #[error("{0}")]
    Missing(String),
    /// The job ended well, but its result lacks outputs: exit 4.
    #[error("{0}")]
    Incomplete(String),
    /// The container's own exit code, already reported where the job is: that code.
    #[error("the container ended with exit code {0}")]
    Container(u8),
    /// Ctrl-C: exit 130, as shells do it.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::NotRun(_) => 75,
            Self::BadInput(_) => 2,
            Self::Missing(_) => 3,
            Self::Incomplete(_) => 4,
            Self::Container(code) => *code,
            Self::Interrupted => 130,
        })
    }

    /// A failure of this machine's file system, with what was tried.
    pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Failed(format!("cannot {what} {}: {error}", crate::say::name(&path.to_string_lossy())))
    }
}
