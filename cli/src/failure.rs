//! The errors of commands: one variant for each exit code that `asman --help` documents.

use std::process::ExitCode;

/// Why a command failed. The text is one sentence for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The job or the server failed: exit 1.
    #[error("{0}")]
    Failed(String),
    /// The job could not run for a reason outside of it: exit 75, which means to try again.
    #[error("{0}")]
    NotRun(String),
    /// The command line is wrong: exit 2.
    #[error("{0}")]
    BadInput(String),
    /// This machine lacks something; the text has the command that fixes it: exit 3.
    #[error("{0}")]
    Missing(String),
    /// The job succeeded, but its result lacks outputs: exit 4.
    #[error("{0}")]
    Incomplete(String),
    /// The container failed, and this was already reported with the job: exit with the container's code.
    #[error("the container ended with exit code {0}")]
    Container(u8),
    /// Ctrl-C: exit 130, as in shells.
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

    /// An error of the file system, with the attempted action.
    pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Failed(format!("cannot {what} {}: {error}", crate::say::name(&path.to_string_lossy())))
    }
}
