//! What the sockets of browsers and of workers have in common: the upgrade, sending within a bound, and the queue's messages.
//!
//! A socket that does not take a message within [`SEND_TIMEOUT`] is closed; one that lags behind the hub gets a fresh snapshot.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use protocol::{JobId, Jobs, JobsMessage, QueueName, ServerMessage, limits};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::app::AppState;
use crate::error::ApiError;
use crate::hub::{text_of, workers_message};

const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// One connected socket, and what it is for.
pub(super) struct Connection {
    pub(super) app: AppState,
    pub(super) queue: QueueName,
    pub(super) socket: WebSocket,
}

/// The socket is closed, or shall be.
pub(super) struct Closed;

/// The upgrade with every buffer bounded.
pub(super) fn bounded(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    message_bytes_max: usize,
) -> Result<WebSocketUpgrade, ApiError> {
    Ok(upgrade
        .map_err(|rejection| ApiError::BadRequest(format!("this route is a WebSocket: {rejection}")))?
        .max_message_size(message_bytes_max)
        .max_frame_size(message_bytes_max)
        .max_write_buffer_size(2 * limits::RESULT_BYTES_MAX))
}

/// Counts a message that was not understood.
pub(super) fn ignore() {
    metrics::counter!("asman_socket_messages_ignored_total").increment(1);
}

/// Counts a message that was understood and not obeyed.
pub(super) fn refuse() {
    metrics::counter!("asman_socket_messages_refused_total").increment(1);
}

impl Connection {
    /// Subscribes to the queue, then sends its workers and all its jobs.
    pub(super) async fn greet(&mut self) -> Result<Receiver<Arc<str>>, Closed> {
        let qid = self.queue.qid();
        let messages = self.app.hub.subscribe(qid).await.map_err(|_| Closed)?;
        let workers = workers_message(&self.app.db, qid, self.app.config.lease.0).await.map_err(|_| Closed)?;
        self.send(workers).await?;
        self.send_snapshot().await?;
        Ok(messages)
    }

    /// The hub's next message. `None` after a lag, when a fresh snapshot was sent instead.
    pub(super) async fn catch_up(
        &mut self,
        message: Result<Arc<str>, RecvError>,
        messages: &mut Receiver<Arc<str>>,
    ) -> Result<Option<Arc<str>>, Closed> {
        match message {
            Ok(text) => Ok(Some(text)),
            Err(RecvError::Lagged(_)) => {
                metrics::counter!("asman_socket_lags_total").increment(1);
                *messages = messages.resubscribe();
                self.send_snapshot().await?;
                Ok(None)
            }
            Err(RecvError::Closed) => Err(Closed),
        }
    }

    pub(super) async fn send(&mut self, text: Arc<str>) -> Result<(), Closed> {
        let message = Message::Text(String::from(&*text).into());
        match tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Closed),
        }
    }

    pub(super) async fn send_snapshot(&mut self) -> Result<(), Closed> {
        // A database that is away for a moment is no reason to close: the next whole tick brings a snapshot.
        match self.app.hub.snapshot(self.queue.qid()).await {
            Ok(text) => self.send(text).await,
            Err(_) => Ok(()),
        }
    }

    /// `JobStateUpdates` with that job, or without any when it is unknown.
    pub(super) async fn send_job(&mut self, job_id: &JobId) -> Result<(), Closed> {
        let Ok(row) = self.app.db.get_job(self.queue.qid(), job_id.as_str()).await else { return Ok(()) };
        let listed = row.filter(sql::JobRow::is_listed).map(|row| (row.job_id.clone(), row.to_job()));
        let message = JobsMessage { state: Jobs { jobs: listed.into_iter().collect() }, is_subset: true };
        self.send(text_of(&ServerMessage::JobStateUpdates(message))).await
    }
}
