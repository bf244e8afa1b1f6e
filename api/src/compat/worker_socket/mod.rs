//! `/q/:queue/worker`: the socket of published workers, which claim one named job at a time.
//!
//! On connect it sends the workers, all jobs and a status request. After that it sends the hub's messages, each after the
//! definitions of its newly queued jobs. Such a worker asks for a job that it saw queued, and the database gives the job to the
//! first worker that asks. A worker's messages about a job count only while the worker has the claim of this job. The
//! registrations of a worker, about every 10 s, are its heartbeats. A closed socket does not end a claim; only the end of the
//! lease does.
//!
//! Text that cannot be read is ignored and counted, and never closes the socket. Items that are not container jobs never appear
//! here. Bounds: a message of a worker has at most [`limits::WORKER_MESSAGE_BYTES_MAX`], and a message with [`definitions`] a
//! few mebibytes.

mod claim;
mod definitions;
mod logs;

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use protocol::{ErrorCode, JobState, ServerMessage, StateChange, WorkerId, WorkerMessage, WorkerRegistration, limits};
use sql::WorkerSeen;

use crate::access::{Caller, Right, WorkerOf};
use crate::app::AppState;
use crate::description::schemas::{Limited, Refusals};
use crate::error::ApiError;
use crate::extract::QueuePath;
use crate::hint::Kinds;
use crate::hub::{WorkerSocket, text_of};
use crate::routes::socket::{Closed, Connection, Opening, Session, ignore, refuse};
use crate::routes::worker::check_worker;

/// The ending of a message about states that jobs have left.
const PAST: &str = r#""isPast":true}}"#;

/// One worker, connected.
struct Worker {
    connection: Connection,
    /// Its id, once it has registered.
    id: Option<WorkerId>,
    /// Keeps this socket out of the number of clients.
    _counted: WorkerSocket,
}

/// `GET /q/:queue/worker`, `/:queue/worker`: the queue as a WebSocket, for published workers. Text frames, JSON each. The server
/// sends what it sends to clients, `BroadcastJobDefinitions` before newly queued jobs, and `StatusRequest` on connect. The worker sends
/// `WorkerRegistration` about every 10 s, which is its heartbeat, `StateChange` to claim (`Running`) and to end (`Finished`) a
/// job, `JobStatusLogs`, `RequestJobDefinitions`, `WorkerStatusResponse` and `PING`. Anything else is ignored. New workers use
/// `claim` instead.
#[utoipa::path(
    get,
    path = "/q/{queue}/worker",
    tag = "workers",
    params(QueuePath),
    responses((status = 101, description = "The connection is a WebSocket from here on."), Limited, Refusals),
)]
pub(crate) async fn connect(
    State(app): State<AppState>,
    WorkerOf(queue): WorkerOf,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let message_bytes_max = limits::WORKER_MESSAGE_BYTES_MAX;
    let opening = Opening { app, queue, caller, right: Right::Work, messages: None, message_bytes_max };
    opening.open(upgrade, |connection| {
        let counted = connection.app.hub.count_worker(connection.queue.qid());
        Worker { connection, id: None, _counted: counted }
    })
}

impl Session for Worker {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    async fn serve(&mut self) -> Result<(), Closed> {
        let mut messages = self.connection.greet().await?;
        self.connection.send(text_of(&ServerMessage::StatusRequest {})).await?;
        let mut look = self.connection.looks();
        loop {
            tokio::select! {
                _ = look.tick() => self.connection.look().await?,
                message = messages.recv() => {
                    if let Some(text) = self.connection.catch_up(message, &mut messages).await? {
                        self.pass_on(text).await?;
                    }
                }
                frame = self.connection.socket.recv() => {
                    if let Some(text) = self.connection.take(frame).await? {
                        self.receive(text.as_str()).await?;
                    }
                }
            }
        }
    }
}

impl Worker {
    /// Sends the hub's message, after the definitions of its queued jobs. A message about states that jobs have left is not
    /// sent.
    async fn pass_on(&mut self, text: Arc<str>) -> Result<(), Closed> {
        if text.ends_with(PAST) {
            return Ok(());
        }
        let job_ids = definitions::newly_queued(&text);
        self.send_definitions(&job_ids).await?;
        self.connection.send(text).await
    }

    async fn receive(&mut self, text: &str) -> Result<(), Closed> {
        if text == "PING" {
            let name = self.id.as_ref().map_or("unknown", WorkerId::as_str);
            return self.connection.send(format!("PONG {name}").into()).await;
        }
        match WorkerMessage::parse(text) {
            Ok(Some(WorkerMessage::WorkerRegistration(registration))) => self.register(registration).await,
            // Boxed, so that a worker that only listens does not reserve memory for a result.
            Ok(Some(WorkerMessage::StateChange(change))) => Box::pin(self.change(*change)).await?,
            Ok(Some(WorkerMessage::JobStatusLogs(logs))) => Box::pin(self.keep_logs(logs)).await,
            Ok(Some(WorkerMessage::RequestJobDefinitions(request))) => {
                let job_ids: Vec<&str> = request.job_ids.iter().map(protocol::JobId::as_str).collect();
                self.send_definitions(&job_ids).await?;
            }
            Ok(Some(WorkerMessage::WorkerStatusResponse(_))) => self.beat().await,
            Ok(None) | Err(_) => ignore(),
        }
        Ok(())
    }

    /// Stores the worker's description and its sign of life.
    async fn register(&mut self, registration: WorkerRegistration) {
        let worker = registration.describe();
        if check_worker(&worker).is_err() {
            return refuse();
        }
        let (app, qid) = (&self.connection.app, self.connection.queue.qid());
        if let Ok(seen) = app.db.register_worker(qid, &worker, None).await {
            if seen == WorkerSeen::Changed {
                app.hint(qid, Kinds::WORKERS);
            }
            self.id = Some(worker.id);
        }
    }

    /// Stores a sign of life: every status response is one.
    async fn beat(&mut self) {
        if let Some(id) = &self.id {
            // If a heartbeat is not stored, another one follows.
            let _ = self.connection.app.db.heartbeat(self.connection.queue.qid(), id.as_str()).await;
        }
    }

    /// Handles a claim or an end. The answer is the stored state of the job, in which a worker sees that it has lost its claim.
    async fn change(&mut self, change: StateChange) -> Result<(), Closed> {
        let job_id = change.job.clone();
        let outcome = match (self.speaker(&change), change.state) {
            (Some(worker), JobState::Running) => {
                let outcome = self.claim(&worker, &job_id).await;
                if outcome.is_ok() {
                    self.send_withheld(&worker, &job_id).await?;
                }
                outcome
            }
            (Some(worker), JobState::Finished) => self.finish(&worker, change).await,
            _ => Err(ApiError::refused(ErrorCode::InvalidRequest, "a registered worker claims or finishes a job".to_owned())),
        };
        if outcome.is_err() {
            refuse();
        }
        self.connection.send_job(&job_id).await
    }

    /// The sender: the registered worker, or before the registration the worker in the message. `None` if these two differ or
    /// neither is known.
    fn speaker(&self, change: &StateChange) -> Option<WorkerId> {
        match (&self.id, &change.value.worker) {
            (Some(id), Some(named)) if id != named => None,
            (Some(id), _) | (None, Some(id)) => Some(id.clone()),
            (None, None) => None,
        }
    }
}
