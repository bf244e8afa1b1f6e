//! Who may do what with a queue: the doors of its routes, and the tokens that open them.
//!
//! A handler gets a queue's name out of a request only through one of the extractors here, so none can forget to ask:
//!
//! | door | extractors | token of the policy |
//! |---|---|---|
//! | read | [`Reader`], [`ReaderOfJob`] | `readToken` |
//! | submit, cancel, copy | [`Submitter`], [`SubmitterOfJob`] | `submitToken`; also counts against the limits on submissions |
//! | taking items away | the task-queue API's | `ownerToken` where there is one, else `submitToken` |
//! | worker API | [`WorkerOf`], [`WorkerOfJob`] | `workerToken` |
//! | policy | [`Owner`] | `ownerToken`, which opens every other door too |
//!
//! A queue whose policy names no token for a door leaves it open to everybody who knows its name. Routes that name their queue
//! in the body or find it by a job ask [`App::admit`] themselves. What outlives its request (sockets, event streams) keeps its
//! [`Caller`] and asks [`Policies::may`] again from time to time.
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

/// What a door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Lists, jobs, results, logs, streams, status, sockets.
    Read,
    /// Submissions, cancels, copies.
    Submit,
    /// Taking away what others have put there and what became of it.
    Remove,
    /// The worker API.
    Work,
    /// The policy itself.
    Own,
}

impl App {
    /// Lets a caller through a door of a queue, or says why not. A submission also takes its place in the limits.
    pub(crate) async fn admit(&self, qid: Qid, right: Right, caller: &Caller) -> Result<(), ApiError> {
        if !self.consents.still_admits(caller.guest) {
            return Err(ApiError::refused(ErrorCode::ForeignOrigin, "the consent for pages of this origin was taken back"));
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

/// The job of the path for one who reads: under the id that the queue has it under, whichever of its true ids the path names.
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

macro_rules! door {
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
        door!($right, $(#[$doc])* $queue);

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

door!(
    Right::Read,
    /// The queue of the path, for one who may read it.
    Reader,
    /// The queue and the job of the path, for one who may read them.
    ReaderOfJob by read_job_of
);
door!(
    Right::Submit,
    /// The queue of the path, for one who may submit to it.
    Submitter,
    /// The queue and the job of the path, for one who may submit and cancel there.
    SubmitterOfJob by job_of
);
door!(
    Right::Work,
    /// The queue of the path, for one of its workers.
    WorkerOf,
    /// The queue and the job of the path, for one of the queue's workers.
    WorkerOfJob by job_of
);
door!(
    Right::Own,
    /// The queue of the path, for its owner.
    Owner
);
