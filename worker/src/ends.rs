//! Why a job has no result, and what the worker does with the job then.
//!
//! Each failure in a [`RunError`] has a code of [`protocol::EndCode`], and [`course`] maps each code to what the worker does with the job.
//! The room in which the failure occurs chooses the code: `engine` for refusals of the engine, a registry or git, `run` for inputs and
//! outputs.
//!
//! A failure without a code of its own is not the job's fault.

use protocol::{EndCode, EndFault, Step};

use crate::answer::ApiError;

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The job failed. The code decides whether the job ends or is released.
    #[error("{message}")]
    Failed {
        /// Why.
        code: EndCode,
        /// What the job was doing.
        step: Step,
        /// HTTP status for the result. 400 when there was no other status.
        status: u16,
        /// For the job's author.
        message: String,
    },
    /// The job's time limit was over before the job ran.
    #[error("{message}")]
    TimedOut {
        /// Why.
        code: EndCode,
        /// What the job was doing.
        step: Step,
        /// Which limit, for the job's author.
        message: String,
    },
    /// This machine failed, so the worker releases the claim.
    #[error("{0}")]
    Host(String),
    /// The job was told to stop.
    #[error("the worker stopped the job")]
    Stopped,
}

impl RunError {
    pub(crate) fn failed(code: EndCode, step: Step, message: impl Into<String>) -> Self {
        Self::Failed { code, step, status: 400, message: message.into() }
    }

    /// A failure of the job itself that has no more exact code than its step.
    pub(crate) fn job(step: Step, message: impl Into<String>) -> Self {
        let code = match step {
            Step::Clone => EndCode::BuildContextInvalid,
            Step::Build => EndCode::BuildFailed,
            _ => EndCode::DefinitionInvalid,
        };
        Self::failed(code, step, message)
    }

    /// The end code of the failure.
    pub(crate) const fn code(&self) -> Option<EndCode> {
        match self {
            Self::Failed { code, .. } | Self::TimedOut { code, .. } => Some(*code),
            Self::Host(_) => Some(EndCode::WorkerBroken),
            Self::Stopped => None,
        }
    }
}

/// What the worker does with a job that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// The job ends as an error.
    End,
    /// The worker releases the job: another worker may succeed, or this one later.
    Release,
    /// The worker releases the job and pauses before it claims others.
    ReleaseAndRest,
    /// The worker releases the job and claims no more until this machine can run a container.
    ReleaseAndStop,
}

/// What the worker does with a job that fails with this code.
pub(crate) const fn course(code: EndCode) -> Course {
    match code {
        EndCode::MachineCannotRun => Course::ReleaseAndStop,
        EndCode::EngineGone | EndCode::DiskFull | EndCode::WorkerBroken => Course::ReleaseAndRest,
        // The job would fail again on this worker, and it is unknown whether another worker would succeed. So the job ends, but its next
        // submission runs again.
        EndCode::ImagePlatformMismatch
        | EndCode::RegistryNotAllowed
        | EndCode::UrlNotAllowed
        | EndCode::BuildsDisabled
        | EndCode::SecretMissing
        | EndCode::TimedOutByWorker
        | EndCode::OutputNotStored => Course::End,
        code if matches!(code.fault(), EndFault::Job) => Course::End,
        _ => Course::Release,
    }
}

/// The end code for a failed fetch of something that the job names: `found` when the server's answer is final, `passing` when a later fetch
/// may succeed.
pub(crate) const fn fetch(error: &ApiError, found: EndCode, passing: EndCode) -> EndCode {
    match error {
        ApiError::Forbidden(_) => EndCode::UrlNotAllowed,
        ApiError::Away(_) | ApiError::Stale | ApiError::Refused { status: 408 | 425 | 429 | 500.., .. } => passing,
        ApiError::Refused { .. } => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fetch_is_the_fault_of_the_job_the_network_or_the_settings() {
        let fetch = |error: &ApiError| fetch(error, EndCode::InputNotFound, EndCode::InputUnreachable);
        let refused = |status| ApiError::Refused { status, sentence: String::new() };
        assert_eq!(fetch(&ApiError::Forbidden(String::new())), EndCode::UrlNotAllowed);
        for status in [400, 401, 403, 404, 410] {
            assert_eq!(fetch(&refused(status)), EndCode::InputNotFound, "{status}");
        }
        for error in [refused(408), refused(429), refused(500), refused(503), ApiError::Away(String::new())] {
            assert_eq!(fetch(&error), EndCode::InputUnreachable, "{error:?}");
        }
    }

    #[test]
    fn every_failure_of_the_job_ends_it_and_no_failure_of_the_network_does() {
        for code in EndCode::ALL {
            match code.fault() {
                EndFault::Job => assert_eq!(course(*code), Course::End, "{code}"),
                EndFault::Network => assert_eq!(course(*code), Course::Release, "{code}"),
                EndFault::Machine | EndFault::Settings | EndFault::Cluster => (),
            }
        }
    }
}
