//! Why a call to an engine failed.

use protocol::{EndCode, Step};

use crate::ends::RunError;

/// Why a call to the engine failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The engine refused the call. `refusals` finds the end code from the call and the status: see [`ends`](crate::ends).
    #[error("{message}")]
    Refused {
        /// HTTP status of the engine. 500 for a failure inside a stream.
        status: u16,
        /// The engine's message.
        message: String,
    },
    /// The engine gave no answer, because it is gone or broken. Another machine may succeed.
    #[error("{0}")]
    Host(String),
}

impl Fault {
    /// The failure of a call that has nothing from a definition, so it is never the job's fault.
    pub(crate) fn during(&self, step: Step) -> RunError {
        let code = if matches!(self, Self::Host(_)) { EndCode::EngineGone } else { EndCode::EngineRefused };
        RunError::failed(code, step, self.to_string())
    }

    /// The failure of a run that existed a moment ago. It is not the job's fault.
    pub(crate) fn broken(self) -> RunError {
        self.during(Step::Running)
    }

    /// The failure of a refused run, with a code that says whose fault it is.
    pub(crate) fn refusal(&self, code: EndCode) -> RunError {
        let status = if let Self::Refused { status, .. } = self { *status } else { 500 };
        RunError::Failed { code, step: Step::Running, status, message: self.to_string() }
    }
}
