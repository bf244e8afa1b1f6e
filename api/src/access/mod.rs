//! Who may do what with a queue: the permissions that its routes require, and the tokens that give them.
//!
//! A handler gets a queue's name out of a request only through one of the extractors here, so no handler can skip the check:
//!
//! | permission | extractors | token of the policy |
//! |---|---|---|
//! | read | [`Reader`], [`ReaderOfJob`] | `readToken` |
//! | submit, cancel, copy | [`Submitter`], [`SubmitterOfJob`] | `submitToken`; also counts against the limits on submissions |
//! | delete items | the task-queue API's | `ownerToken` if there is one, else `submitToken` |
//! | worker API | [`WorkerOf`], [`WorkerOfJob`] | `workerToken` |
//! | policy | [`Owner`] | `ownerToken`, which gives every other permission too |
//!
//! If a queue's policy has no token for a permission, everyone who knows the queue's name has it. Routes that name their queue
//! in the body call [`App::admit`] themselves, and those that find it by a job call [`Policies::may`]. Sockets and event
//! streams outlive their request: they keep their [`Caller`] and check [`Policies::may`] again from time to time.
//!
//! Invariants: a token is hashed before anything else happens to it and appears in no log line, no error and no `Debug`.

mod caller;
mod policies;
mod token;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use protocol::{ErrorCode, JobId, Qid, QueueName};

use crate::app::{App, AppState};
use crate::error::ApiError;
use crate::extract::{JobPath, QueuePath};
pub(crate) use caller::Caller;
pub(crate) use policies::{Policies, judge};
pub(crate) use token::{TokenHash, hash_new};

/// A permission that a route requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Lists, jobs, results, logs, streams, status, sockets.
    Read,
    /// Submissions, cancels, copies.
    Submit,
    /// Deleting what others have submitted, with its results.
    Remove,
    /// The worker API.
    Work,
    /// The policy itself.
    Own,
}

impl App {
    /// Checks that a caller has a permission on a queue, or says why not. A submission also counts against the limits.
    pub(crate) async fn admit(&self, qid: Qid, right: Right, caller: &Caller) -> Result<(), ApiError> {
        if !self.consents.still_admits(caller.guest) {
            return Err(ApiError::refused(ErrorCode::ForeignOrigin, "the consent for pages of this origin was revoked"));
        }
        self.policies.check(qid, right, caller).await?;
        match right {
            Right::Submit | Right::Remove => self.meters.submit(caller, qid),
            Right::Read | Right::Work | Right::Own => Ok(()),
        }
    }
}

async fn queue_of(parts: &mut Parts, app: &AppState, right: Right) -> Result<QueueName, ApiError> {
    let Path(path) = Path::<QueuePath>::from_request_parts(parts, app).await.map_err(ApiError::bad_request)?;
    enter(parts, app, right, path.queue).await
}

async fn job_of(parts: &mut Parts, app: &AppState, right: Right) -> Result<(QueueName, JobId), ApiError> {
    let Path(path) = Path::<JobPath>::from_request_parts(parts, app).await.map_err(ApiError::bad_request)?;
    let id = JobId::try_from(path.id).map_err(ApiError::invalid)?;
    Ok((enter(parts, app, right, path.queue).await?, id))
}

/// The job of the path, for a reader: with the id under which the queue stores it, even if the path names its other true id.
async fn read_job_of(parts: &mut Parts, app: &AppState, right: Right) -> Result<(QueueName, JobId), ApiError> {
    let (queue, id) = job_of(parts, app, right).await?;
    let row_id = app.db.row_id(queue.qid(), id.as_str()).await?;
    Ok((queue, JobId::try_from(row_id).map_err(ApiError::invalid)?))
}

async fn enter(parts: &mut Parts, app: &AppState, right: Right, queue: String) -> Result<QueueName, ApiError> {
    let queue = QueueName::try_from(queue).map_err(ApiError::invalid)?;
    let caller = Caller::from_request_parts(parts, app).await?;
    app.admit(queue.qid(), right, &caller).await?;
    Ok(queue)
}

macro_rules! permission {
    ($right:expr, $(#[$doc:meta])* $queue:ident) => {
        $(#[$doc])*
        pub(crate) struct $queue(pub(crate) QueueName);

        impl FromRequestParts<AppState> for $queue {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
                queue_of(parts, app, $right).await.map(Self)
            }
        }
    };
    ($right:expr, $(#[$doc:meta])* $queue:ident, $(#[$job_doc:meta])* $job:ident by $job_of:ident) => {
        permission!($right, $(#[$doc])* $queue);

        $(#[$job_doc])*
        pub(crate) struct $job(pub(crate) QueueName, pub(crate) JobId);

        impl FromRequestParts<AppState> for $job {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
                $job_of(parts, app, $right).await.map(|(queue, id)| Self(queue, id))
            }
        }
    };
}

permission!(
    Right::Read,
    /// The queue of the path, for a caller that may read it.
    Reader,
    /// The queue and the job of the path, for a caller that may read them.
    ReaderOfJob by read_job_of
);
permission!(
    Right::Submit,
    /// The queue of the path, for a caller that may submit to it.
    Submitter,
    /// The queue and the job of the path, for a caller that may submit and cancel there.
    SubmitterOfJob by job_of
);
permission!(
    Right::Work,
    /// The queue of the path, for one of its workers.
    WorkerOf,
    /// The queue and the job of the path, for one of the queue's workers.
    WorkerOfJob by job_of
);
permission!(
    Right::Own,
    /// The queue of the path, for its owner.
    Owner
);
