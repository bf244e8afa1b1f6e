//! One call of a tool: the caller, the queue and the job, and the channel for progress reports.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::{ErrorCode, JobId, Qid, QueueName};
use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use sql::JobRow;
use tokio_util::sync::CancellationToken;

use super::Visitor;
use super::answer::Refusal;
use crate::access::Right;
use crate::app::AppState;
use crate::error::ApiError;
use crate::routes::job::{NO_JOB, find};

/// One call of a tool.
pub(super) struct Call<'a> {
    pub(super) app: &'a AppState,
    pub(super) visitor: &'a Visitor,
    pub(super) progress: Progress<'a>,
}

/// A job that a call is about.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) qid: Qid,
    pub(super) id: JobId,
    /// None if the job was found only by its true id.
    pub(super) queue: Option<QueueName>,
}

impl Call<'_> {
    /// The queue that the call or the address names. Fails if the caller does not have this permission on it.
    pub(super) async fn queue(&self, named: Option<&str>, right: Right) -> Result<QueueName, Refusal> {
        let queue = match named {
            Some(name) => name.parse().map_err(|error| Refusal::invalid("queue", error))?,
            None => self.visitor.queue.clone().ok_or_else(no_queue)?,
        };
        self.app.admit(queue.qid(), right, &self.visitor.caller).await.map_err(|error| Refusal::from(error).by("queue"))?;
        Ok(queue)
    }

    /// The job of the call: in its queue, or found by its true id if neither the call nor the address names a queue.
    pub(super) async fn subject(&self, queue: Option<&str>, id: &str) -> Result<Subject, Refusal> {
        let id: JobId = id.parse().map_err(|error| Refusal::invalid("jobId", error))?;
        if queue.is_none() && self.visitor.queue.is_none() {
            let found = find(self.app, id.as_str(), &self.visitor.caller).await;
            let (qid, id) = found.map_err(|error| Refusal::from(error).by("jobId"))?;
            let id = JobId::try_from(id).map_err(|error| Refusal::invalid("jobId", error))?;
            return Ok(Subject { qid, id, queue: None });
        }
        let queue = self.queue(queue, Right::Read).await?;
        let row_id = self.app.db.row_id(queue.qid(), id.as_str()).await?;
        let id = JobId::try_from(row_id).map_err(|error| Refusal::invalid("jobId", error))?;
        Ok(Subject { qid: queue.qid(), id, queue: Some(queue) })
    }

    /// The row of a job. An item of the task-queue API counts as missing.
    pub(super) async fn job(&self, subject: &Subject) -> Result<JobRow, Refusal> {
        let row = self.app.db.get_job(subject.qid, subject.id.as_str()).await?;
        row.filter(|row| !row.is_item).ok_or_else(|| Refusal::from(NO_JOB).by("jobId"))
    }
}

fn no_queue() -> Refusal {
    let sentence = "the argument queue is missing; give it, or name the queue in the address as /mcp?queue=NAME";
    Refusal::from(ApiError::refused(ErrorCode::InvalidParameter, sentence)).by("queue")
}

/// The channel for progress reports, if the caller asked for them.
pub(super) struct Progress<'a> {
    peer: &'a Peer<RoleServer>,
    token: Option<ProgressToken>,
    /// Is cancelled when the caller cancels the call or leaves.
    pub(super) gone: &'a CancellationToken,
    n_sent: AtomicU64,
}

impl<'a> Progress<'a> {
    pub(super) fn of(context: &'a RequestContext<RoleServer>) -> Self {
        let token = context.meta.get_progress_token();
        Self { peer: &context.peer, token, gone: &context.ct, n_sent: AtomicU64::new(0) }
    }

    /// Sends a numbered progress report. An error is ignored, because the call notices by itself when the caller has left.
    pub(super) async fn tell(&self, message: String) {
        let Some(token) = self.token.clone() else { return };
        let number = self.n_sent.fetch_add(1, Ordering::Relaxed) + 1;
        let mut told = ProgressNotificationParam::new(token, number as f64);
        told.message = Some(message);
        let _ = self.peer.notify_progress(told).await;
    }
}
