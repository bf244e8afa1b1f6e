//! `/q/:queue/client`: the socket of browsers.
//!
//! On connect the workers, then all jobs; then what the hub says. Text that is not understood is ignored and counted, and never
//! closes the socket. A socket that does not take a message within [`SEND_TIMEOUT`] is closed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use protocol::{
    ClientMessage, JobId, Jobs, JobsMessage, QueueName, Reason, ServerMessage, State as JobState, StateChange, limits,
};
use sql::SubmitOutcome;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::cancel::let_go;
use super::submit::enqueue;
use crate::app::AppState;
use crate::description::answers::Refusals;
use crate::error::ApiError;
use crate::extract::{InQueue, QueuePath};
use crate::hub::{text_of, workers_message};

const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// One client, connected.
struct Client {
    app: AppState,
    queue: QueueName,
    socket: WebSocket,
}

/// The socket is closed, or shall be.
struct Closed;

/// `GET /q/:queue/client`, `/q/:queue/browser`, `/:queue/client`, `/:queue/browser`: the queue as a WebSocket. Text frames,
/// JSON
/// each. The server sends `Workers` and `JobStates` on connect, then `JobStateUpdates`, `Workers` and `JobStatusPayload` as
/// things change, each as `{"type", "payload"}`. The client may send `PING` (answered `PONG`),
/// `{"type": "StateChange", "payload": {"tag": "", "job", "state", "value"}}` to submit (`Queued`, `value.enqueued` is the
/// body of
/// a submission) or to cancel or clear (`Finished`, `value.reason` is `Cancelled` or `Deleted`),
/// `{"type": "QueryJob", "payload": {"jobId"}}` and `{"type": "QueryJobStates"}`. Anything else is ignored.
#[utoipa::path(
    get,
    path = "/q/{queue}/client",
    tag = "clients",
    params(QueuePath),
    responses((status = 101, description = "The connection is a WebSocket from here on."), Refusals),
)]
pub(crate) async fn connect(
    State(app): State<AppState>,
    InQueue(queue): InQueue,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let bounded = upgrade
        .map_err(|rejection| ApiError::BadRequest(format!("this route is a WebSocket: {rejection}")))?
        .max_message_size(limits::MESSAGE_BYTES_MAX)
        .max_frame_size(limits::MESSAGE_BYTES_MAX)
        .max_write_buffer_size(2 * limits::RESULT_BYTES_MAX);
    Ok(bounded.on_upgrade(move |socket| async move {
        let shutdown = app.shutdown.clone();
        let mut client = Client { app, queue, socket };
        // Served to its end, or told that the server goes away.
        if shutdown.run_until_cancelled(client.serve()).await.is_none() {
            let _ = client.socket.send(Message::Close(None)).await;
        }
    }))
}

fn ignore() {
    metrics::counter!("asman_socket_messages_ignored_total").increment(1);
}

impl Client {
    async fn serve(&mut self) -> Result<(), Closed> {
        let qid = self.queue.qid();
        let mut messages = self.app.hub.subscribe(qid).await.map_err(|_| Closed)?;
        let workers = workers_message(&self.app.db, qid, self.app.config.lease.0).await.map_err(|_| Closed)?;
        self.send(workers).await?;
        self.send_snapshot().await?;
        loop {
            tokio::select! {
                message = messages.recv() => self.pass_on(message, &mut messages).await?,
                frame = self.socket.recv() => match frame {
                    Some(Ok(Message::Text(text))) => self.receive(text.as_str()).await?,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Closed),
                    Some(Ok(Message::Binary(_))) => ignore(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                },
            }
        }
    }

    async fn pass_on(&mut self, message: Result<Arc<str>, RecvError>, messages: &mut Receiver<Arc<str>>) -> Result<(), Closed> {
        match message {
            Ok(text) => self.send(text).await,
            Err(RecvError::Lagged(_)) => {
                metrics::counter!("asman_socket_lags_total").increment(1);
                *messages = messages.resubscribe();
                self.send_snapshot().await
            }
            Err(RecvError::Closed) => Err(Closed),
        }
    }

    async fn send(&mut self, text: Arc<str>) -> Result<(), Closed> {
        let message = Message::Text(String::from(&*text).into());
        match tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Closed),
        }
    }

    async fn send_snapshot(&mut self) -> Result<(), Closed> {
        // A database that is away for a moment is no reason to close: the next whole tick brings a snapshot.
        match self.app.hub.snapshot(self.queue.qid()).await {
            Ok(text) => self.send(text).await,
            Err(_) => Ok(()),
        }
    }

    async fn receive(&mut self, text: &str) -> Result<(), Closed> {
        if text == "PING" {
            return self.send("PONG".into()).await;
        }
        match ClientMessage::parse(text) {
            // Boxed: a socket that only listens is not to keep room for a submission.
            Ok(Some(ClientMessage::StateChange(change))) => Box::pin(self.change(*change)).await,
            Ok(Some(ClientMessage::QueryJob(job_id))) => self.answer_query(&job_id).await,
            Ok(Some(ClientMessage::QueryJobStates)) => self.send_snapshot().await,
            Ok(None) | Err(_) => {
                ignore();
                Ok(())
            }
        }
    }

    /// Submits, cancels or clears. The answer is the broadcast; what failed is sent again by the client.
    async fn change(&mut self, change: StateChange) -> Result<(), Closed> {
        let value = change.value;
        let outcome = match (change.state, value.enqueued, value.reason) {
            (JobState::Queued, Some(mut job), _) => {
                job.id.get_or_insert(change.job.clone());
                match enqueue(&self.app, &self.queue, job).await {
                    // The broadcast of its first event acknowledges a new job. Others may have had theirs long ago.
                    Ok((_, SubmitOutcome::New)) => Ok(()),
                    Ok((job_id, _)) => return self.answer_query(&job_id).await,
                    Err(error) => Err(error),
                }
            }
            (JobState::Finished, _, Some(reason @ (Reason::Cancelled | Reason::Deleted))) => {
                let namespace = value.namespace.unwrap_or_default();
                let message = value.message.as_deref();
                let_go(&self.app, &self.queue, &change.job, &namespace, reason, message).await.map(|_| ())
            }
            _ => Err(ApiError::BadRequest("a client submits, cancels or deletes".to_owned())),
        };
        if outcome.is_err() {
            metrics::counter!("asman_socket_messages_refused_total").increment(1);
        }
        Ok(())
    }

    /// `JobStateUpdates` with that job, or without any when it is unknown.
    async fn answer_query(&mut self, job_id: &JobId) -> Result<(), Closed> {
        let Ok(row) = self.app.db.get_job(self.queue.qid(), job_id.as_str()).await else { return Ok(()) };
        let listed = row.filter(sql::JobRow::is_listed).map(|row| (row.job_id.clone(), row.to_job()));
        let message = JobsMessage { state: Jobs { jobs: listed.into_iter().collect() }, is_subset: true };
        self.send(text_of(&ServerMessage::JobStateUpdates(message))).await
    }
}
