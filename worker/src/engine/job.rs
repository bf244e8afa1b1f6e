//! One job, as an engine sees it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use protocol::{Claim, EndCode, ParsedDefinition, Step};

use crate::data_directory::Scratch;
use crate::ends::RunError;

/// One claimed job.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) claim: &'a Claim,
    pub(crate) parsed: &'a ParsedDefinition,
    /// The gpus of the job, by index or UUID.
    pub(crate) gpus: &'a [String],
    pub(crate) scratch: Scratch,
    /// The folder of this machine that a container sees as `/job-cache`.
    pub(crate) cache: &'a Path,
    /// Memory limit. If the job states no memory, it is the worker's own limit.
    pub(crate) memory_bytes: u64,
    pub(crate) limit: TimeLimit,
    pub(crate) log: JobLog,
}

/// How long a job may run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    pub(crate) time: Duration,
    /// Whose limit it is, for the job's author.
    pub(crate) whose: &'static str,
    /// The end code when the time is over.
    pub(crate) code: EndCode,
}

impl Job<'_> {
    /// Size of `/dev/shm` in the definition.
    pub(crate) fn shm_bytes(&self) -> Result<Option<u64>, RunError> {
        let size = self.parsed.definition.shm_size.as_ref().filter(|size| !size.is_null());
        let read = |size: &serde_json::Value| {
            let text = size.as_str().map_or_else(|| size.to_string(), str::to_owned);
            protocol::parse_size(&text)
                .map_err(|error| RunError::failed(EndCode::CommandInvalid, Step::Running, error.to_string()))
        };
        size.map(read).transpose()
    }
}

/// Takes the worker's lines for a job's author.
pub(crate) trait Lines: Send + Sync {
    /// Writes one line, about a failure or not.
    fn write_line(&self, step: Step, text: String, is_failure: bool) -> BoxFuture<'_, ()>;
}

/// The log of a job. Clones write to the same log.
#[derive(Clone)]
pub(crate) struct JobLog(pub(crate) Arc<dyn Lines>);

impl JobLog {
    /// Writes one line.
    pub(crate) async fn line(&self, step: Step, text: impl Into<String>) {
        self.0.write_line(step, text.into(), false).await;
    }

    /// Writes one line about a failure.
    pub(crate) async fn error(&self, step: Step, text: impl Into<String>) {
        self.0.write_line(step, text.into(), true).await;
    }
}

impl fmt::Debug for JobLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobLog")
    }
}
