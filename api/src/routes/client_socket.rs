//! `/q/:queue/client`: the socket of browsers.
//!
//! On connect it sends the workers, then all jobs, then the hub's messages. Text that cannot be read is ignored and counted, and
//! never closes the socket.

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use protocol::{ClientMessage, ErrorCode, JobState, Reason, StateChange, limits};
use sql::SubmitOutcome;

use super::cancel::end_hold;
use super::socket::{Closed, Connection, Opening, Session, ignore, refuse};
use super::submit::enqueue;
use crate::access::{Caller, Reader, Right};
use crate::app::AppState;
use crate::description::schemas::{Limited, Refusals};
use crate::error::ApiError;
use crate::extract::QueuePath;
use crate::limits::MessageBucket;

/// One client, connected.
struct Client {
    connection: Connection,
}

/// `GET /q/:queue/client`, `/q/:queue/browser`, `/:queue/client`, `/:queue/browser`: the queue as a WebSocket. Text frames, JSON
/// each. The server sends `Workers` and `JobStates` on connect, then `JobStateUpdates`, `Workers` and `JobStatusPayload` as
/// things change, each as `{"type", "payload"}`. The client may send `PING` (answered `PONG`),
/// `{"type": "StateChange", "payload": {"tag": "", "job", "state", "value"}}` to submit (`Queued`, `value.enqueued` is the body
/// of a submission and `job` its id; from then on messages to this socket name the job by the id that it sent) or to cancel or
/// clear (`Finished`, `value.reason` is `Cancelled` or `Deleted`), `{"type": "QueryJob", "payload": {"jobId"}}` and `{"type":
/// "QueryJobStates"}`. Anything else is ignored, and a submission that is refused gets no answer here: POST says why.
#[utoipa::path(
    get,
    path = "/q/{queue}/client",
    tag = "clients",
    params(QueuePath),
    responses((status = 101, description = "The connection is a WebSocket from here on."), Limited, Refusals),
)]
pub(crate) async fn connect(
    State(app): State<AppState>,
    Reader(queue): Reader,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let messages = Some(MessageBucket::new(app.config.limits.messages_per_socket));
    let message_bytes_max = limits::MESSAGE_BYTES_MAX;
    let opening = Opening { app, queue, caller, right: Right::Read, messages, message_bytes_max };
    opening.open(upgrade, |connection| Client { connection })
}

impl Session for Client {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    async fn serve(&mut self) -> Result<(), Closed> {
        let mut messages = self.connection.greet().await?;
        let mut look = self.connection.looks();
        loop {
            tokio::select! {
                _ = look.tick() => self.connection.look().await?,
                message = messages.recv() => {
                    if let Some(text) = self.connection.catch_up(message, &mut messages).await? {
                        self.connection.send(text).await?;
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

impl Client {
    async fn receive(&mut self, text: &str) -> Result<(), Closed> {
        if text == "PING" {
            return self.connection.send("PONG".into()).await;
        }
        match ClientMessage::parse(text) {
            // Boxed, so that a socket that only listens does not reserve memory for a submission.
            Ok(Some(ClientMessage::StateChange(change))) => Box::pin(self.change(*change)).await,
            Ok(Some(ClientMessage::QueryJob(query))) => self.connection.send_job(&query.job_id).await,
            Ok(Some(ClientMessage::QueryJobStates)) => self.connection.send_snapshot().await,
            Ok(None) | Err(_) => {
                ignore();
                Ok(())
            }
        }
    }

    /// Submits, cancels or clears a job. The broadcast of the change is the answer. If the change fails, there is no broadcast,
    /// and the client sends the change again.
    async fn change(&mut self, change: StateChange) -> Result<(), Closed> {
        let Connection { app, queue, caller, .. } = &self.connection;
        let (app, queue) = (app.clone(), queue.clone());
        let value = change.value;
        let admitted = app.admit(queue.qid(), Right::Submit, caller).await;
        let outcome = match (change.state, value.enqueued, value.reason) {
            _ if admitted.is_err() => admitted,
            (JobState::Queued, Some(mut job), _) => {
                let sent_id = job.id.get_or_insert(change.job.clone()).clone();
                match enqueue(&app, &queue, job).await {
                    Ok(submitted) => {
                        self.connection.note_name(&submitted.job_id, sent_id.as_str());
                        if submitted.outcome != SubmitOutcome::New {
                            return self.connection.send_job(&sent_id).await;
                        }
                        // The broadcast of its first event acknowledges a new job. For an older job this event may be long
                        // past, so the job was sent above.
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
            (JobState::Finished, _, Some(reason @ (Reason::Cancelled | Reason::Deleted))) => {
                let namespace = value.namespace.unwrap_or_default();
                let message = value.message.as_deref();
                // `row_id` also notes the id that this client uses, so that the broadcast of the job's end has this id.
                match self.connection.row_id(&change.job).await {
                    Ok(_) => end_hold(&app, &queue, &change.job, &namespace, reason, message).await.map(|_| ()),
                    Err(error) => Err(error),
                }
            }
            _ => Err(ApiError::refused(ErrorCode::InvalidRequest, "a client submits, cancels or deletes".to_owned())),
        };
        if outcome.is_err() {
            refuse();
        }
        Ok(())
    }
}
