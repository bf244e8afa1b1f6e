//! Claims one named job, and ends the claim.

use protocol::{ErrorCode, FinishRequest, JobId, LogLine, Reason, StateChange, Step, WorkerId};
use sql::ClaimKey;

use super::Worker;
use crate::error::ApiError;
use crate::hint::Kinds;
use crate::routes::worker::finish_row;

impl Worker {
    /// Claims the job if it waits. If the worker already has it, claiming it again is harmless.
    pub(super) async fn claim(&mut self, worker: &WorkerId, job_id: &JobId) -> Result<(), ApiError> {
        let (app, qid) = (&self.connection.app, self.connection.queue.qid());
        if app.db.claim_one(qid, job_id.as_str(), worker.as_str()).await?.is_some() {
            metrics::counter!("asman_jobs_claimed_total").increment(1);
            app.hint(qid, Kinds::STATES);
            return Ok(());
        }
        self.held(worker, job_id).await.map(|_| ())
    }

    /// The worker's claim of the job.
    pub(super) async fn held(&mut self, worker: &WorkerId, job_id: &JobId) -> Result<ClaimKey, ApiError> {
        let (app, qid) = (&self.connection.app, self.connection.queue.qid());
        let epoch = app.db.epoch_of_worker(qid, job_id.as_str(), worker.as_str()).await?.ok_or(ApiError::StaleEpoch)?;
        Ok(ClaimKey { qid, job_id: job_id.as_str().to_owned(), epoch })
    }

    /// Ends the worker's claim. Of the log that comes with the end only lines that were not sent before are stored.
    pub(super) async fn finish(&mut self, worker: &WorkerId, change: StateChange) -> Result<(), ApiError> {
        let key = self.held(worker, &change.job).await?;
        let (Some(reason), result) = (change.value.reason, change.value.result.unwrap_or_default()) else {
            return Err(ApiError::refused(ErrorCode::InvalidRequest, "an end has a reason".to_owned()));
        };
        let request = FinishRequest { epoch: key.epoch, reason, code: None, fault: None, message: change.value.message, result };
        let logs: Vec<LogLine> = request.result.logs.clone();
        let has_run = request.reason != Reason::Error || request.result.status_code.is_some();
        let row = finish_row(key.qid, change.job, request)?;
        if has_run {
            self.keep_last_log(&key, &logs).await?;
        } else {
            self.keep_failure(&key, logs).await?;
        }
        self.connection.app.finish(row).await
    }

    /// For a job that failed before its container ran, the lines are those of pull and build, most of which were sent before.
    async fn keep_failure(&mut self, key: &ClaimKey, mut lines: Vec<LogLine>) -> Result<(), ApiError> {
        let db = &self.connection.app.db;
        let (build, run) = (db.read_tail(key, false).await?.lines, db.read_tail(key, true).await?.lines);
        lines.retain(|line| !build.contains(line) && !run.contains(line));
        if lines.is_empty() {
            return Ok(());
        }
        let step = if run.is_empty() { Step::Build } else { Step::Running };
        self.append(key, step, &lines).await
    }

    async fn keep_last_log(&mut self, key: &ClaimKey, logs: &[LogLine]) -> Result<(), ApiError> {
        if logs.is_empty() || self.connection.app.db.has_run_log(key).await? {
            return Ok(());
        }
        self.append(key, Step::Running, logs).await
    }
}
