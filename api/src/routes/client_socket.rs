//! `/q/:queue/client`: the socket of browsers.
//!
//! On connect the workers, then all jobs; then what the hub says. Text that is not understood is ignored and counted, and never
//! closes the socket. A socket that does not take a message within [`SEND_TIMEOUT`] is closed.

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use protocol::{ClientMessage, Reason, State as JobState, StateChange, limits};
use sql::SubmitOutcome;

use super::cancel::let_go;
use super::socket::{Closed, Connection, bounded, ignore, refuse};
use super::submit::enqueue;
use crate::app::AppState;
use crate::error::ApiError;
use crate::extract::InQueue;

/// One client, connected.
struct Client {
    connection: Connection,
}

/// `GET /q/:queue/client`, `/q/:queue/browser`, `/:queue/client`, `/:queue/browser`.
pub(crate) async fn connect(
    State(app): State<AppState>,
    InQueue(queue): InQueue,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = bounded(upgrade, limits::MESSAGE_BYTES_MAX)?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        let shutdown = app.shutdown.clone();
        let mut client = Client { connection: Connection { app, queue, socket } };
        // Served to its end, or told that the server goes away.
        if shutdown.run_until_cancelled(client.serve()).await.is_none() {
            let _ = client.connection.socket.send(Message::Close(None)).await;
        }
    }))
}

impl Client {
    async fn serve(&mut self) -> Result<(), Closed> {
        let mut messages = self.connection.greet().await?;
        loop {
            tokio::select! {
                message = messages.recv() => {
                    if let Some(text) = self.connection.catch_up(message, &mut messages).await? {
                        self.connection.send(text).await?;
                    }
                }
                frame = self.connection.socket.recv() => match frame {
                    Some(Ok(Message::Text(text))) => self.receive(text.as_str()).await?,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Closed),
                    Some(Ok(Message::Binary(_))) => ignore(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                },
            }
        }
    }

    async fn receive(&mut self, text: &str) -> Result<(), Closed> {
        if text == "PING" {
            return self.connection.send("PONG".into()).await;
        }
        match ClientMessage::parse(text) {
            // Boxed: a socket that only listens is not to keep room for a submission.
            Ok(Some(ClientMessage::StateChange(change))) => Box::pin(self.change(*change)).await,
            Ok(Some(ClientMessage::QueryJob(query))) => self.connection.send_job(&query.job_id).await,
            Ok(Some(ClientMessage::QueryJobStates)) => self.connection.send_snapshot().await,
            Ok(None) | Err(_) => {
                ignore();
                Ok(())
            }
        }
    }

    /// Submits, cancels or clears. The answer is the broadcast; what failed is sent again by the client.
    async fn change(&mut self, change: StateChange) -> Result<(), Closed> {
        let Connection { app, queue, .. } = &self.connection;
        let value = change.value;
        let outcome = match (change.state, value.enqueued, value.reason) {
            (JobState::Queued, Some(mut job), _) => {
                job.id.get_or_insert(change.job.clone());
                match enqueue(app, queue, job).await {
                    // The broadcast of its first event acknowledges a new job. Others may have had theirs long ago.
                    Ok((_, SubmitOutcome::New)) => Ok(()),
                    Ok((job_id, _)) => return self.connection.send_job(&job_id).await,
                    Err(error) => Err(error),
                }
            }
            (JobState::Finished, _, Some(reason @ (Reason::Cancelled | Reason::Deleted))) => {
                let namespace = value.namespace.unwrap_or_default();
                let message = value.message.as_deref();
                let_go(app, queue, &change.job, &namespace, reason, message).await.map(|_| ())
            }
            _ => Err(ApiError::BadRequest("a client submits, cancels or deletes".to_owned())),
        };
        if outcome.is_err() {
            refuse();
        }
        Ok(())
    }
}
