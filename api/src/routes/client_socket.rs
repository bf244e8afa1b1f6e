//! `/q/:queue/client`: the socket of browsers.
//!
//! On connect the workers, then all jobs; then what the hub says. Text that is not understood is ignored and counted, and never
//! closes the socket. A socket that does not take a message within [`SEND_TIMEOUT`] is closed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use protocol::{
    ClientMessage, JobId, Jobs, JobsMessage, QueueName, Reason, ServerMessage, State as JobState, StateChange, limits,
};
use sql::SubmitOutcome;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;

use super::cancel::let_go;
use super::submit::enqueue;
use crate::access::{Caller, Reader, Right};
use crate::app::AppState;
use crate::description::answers::Refusals;
use crate::error::ApiError;
use crate::extract::QueuePath;
use crate::hub::{text_of, workers_message};
use crate::limits::{MessageBucket, Passage, Place};

const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Bounds of the time between two pings.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(30);

/// One client, connected.
struct Client {
    app: AppState,
    queue: QueueName,
    caller: Caller,
    messages: MessageBucket,
    last_heard: Instant,
    socket: WebSocket,
    _place: Place,
}

/// The socket is closed, or shall be.
struct Closed;

/// `GET /q/:queue/client`, `/q/:queue/browser`, `/:queue/client`, `/:queue/browser`: the queue as a WebSocket. Text frames, JSON
/// each. The server sends `Workers` and `JobStates` on connect, then `JobStateUpdates`, `Workers` and `JobStatusPayload` as
/// things change, each as `{"type", "payload"}`. The client may send `PING` (answered `PONG`),
/// `{"type": "StateChange", "payload": {"tag": "", "job", "state", "value"}}` to submit (`Queued`, `value.enqueued` is the body of
/// a submission) or to cancel or clear (`Finished`, `value.reason` is `Cancelled` or `Deleted`),
/// `{"type": "QueryJob", "payload": {"jobId"}}` and `{"type": "QueryJobStates"}`. Anything else is ignored.
#[utoipa::path(get, path = "/q/{queue}/client", tag = "clients", params(QueuePath),
    responses((status = 101, description = "The connection is a WebSocket from here on."), Refusals))]
pub(crate) async fn connect(
    State(app): State<AppState>,
    Reader(queue): Reader,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let bounded = upgrade
        .map_err(|rejection| ApiError::BadRequest(format!("this route is a WebSocket: {rejection}")))?
        .max_message_size(limits::MESSAGE_BYTES_MAX)
        .max_frame_size(limits::MESSAGE_BYTES_MAX)
        .max_write_buffer_size(2 * limits::RESULT_BYTES_MAX);
    let place = app.meters.connect(&caller, queue.qid())?;
    let messages = MessageBucket::new(app.config.limits.messages_per_socket);
    Ok(bounded.on_upgrade(move |socket| async move {
        let shutdown = app.shutdown.clone();
        let mut client = Client { app, queue, caller, messages, last_heard: Instant::now(), socket, _place: place };
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
        let mut look = tokio::time::interval(self.look_every());
        loop {
            tokio::select! {
                _ = look.tick() => self.look().await?,
                message = messages.recv() => self.pass_on(message, &mut messages).await?,
                frame = self.socket.recv() => self.take(frame).await?,
            }
        }
    }

    async fn take(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<(), Closed> {
        let Some(Ok(frame)) = frame else { return Err(Closed) };
        self.last_heard = Instant::now();
        // Pings are answered, so they count; pongs are answers and come one for each of ours.
        if !matches!(frame, Message::Pong(_) | Message::Close(_)) {
            match self.messages.take() {
                Passage::Pass => {}
                Passage::Ignore => return Ok(()),
                Passage::Close => return self.end(close_code::POLICY, "too many messages").await,
            }
        }
        match frame {
            Message::Text(text) => self.receive(text.as_str()).await,
            Message::Close(_) => Err(Closed),
            Message::Binary(_) => {
                ignore();
                Ok(())
            }
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    /// How often [`Client::look`] looks: three times before a silent socket is closed.
    fn look_every(&self) -> Duration {
        let idle = self.app.config.limits.socket_idle.0;
        if idle.is_zero() { LOOK_MAX } else { (idle / 3).clamp(LOOK_MIN, LOOK_MAX) }
    }

    /// Asks for a sign of life, and ends a socket that gave none or that may not read any more.
    async fn look(&mut self) -> Result<(), Closed> {
        let idle = self.app.config.limits.socket_idle.0;
        if !idle.is_zero() && self.last_heard.elapsed() > idle {
            metrics::counter!("asman_limited_total", "limit" => "socket_idle").increment(1);
            return self.end(close_code::AWAY, "no sign of life").await;
        }
        if matches!(self.app.policies.may(self.queue.qid(), Right::Read, &self.caller).await, Ok(false)) {
            return self.end(close_code::POLICY, "the queue asks for another token").await;
        }
        self.messages.forgive();
        match tokio::time::timeout(SEND_TIMEOUT, self.socket.send(Message::Ping(Bytes::new()))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Closed),
        }
    }

    async fn end(&mut self, code: u16, reason: &'static str) -> Result<(), Closed> {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = tokio::time::timeout(SEND_TIMEOUT, self.socket.send(Message::Close(Some(frame)))).await;
        Err(Closed)
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
        let admitted = self.app.admit(self.queue.qid(), Right::Submit, &self.caller).await;
        let outcome = match (change.state, value.enqueued, value.reason) {
            _ if admitted.is_err() => admitted,
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
