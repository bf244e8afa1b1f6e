//! The common parts of browsers' and workers' sockets: the upgrade, sending with a timeout, signs of life, and the queue's
//! messages.
//!
//! A socket is closed when it does not accept a message within [`Config::send_timeout`](crate::Config), gives no sign of life,
//! sends too much, or when its queue requires another token. A socket that lags behind the hub gets a fresh snapshot.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use protocol::{ErrorCode, JobId, Jobs, JobsMessage, QueueName, ServerMessage, limits};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, Interval, interval_at};

use super::names::Names;
use crate::access::{Caller, Right};
use crate::app::AppState;
use crate::error::ApiError;
use crate::hub::{text_of, workers_message};
use crate::limits::{MessageBucket, Passage, SocketSlot};

/// Bounds of the time between two pings.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(30);
const LOOK_AT_GUESTS: Duration = Duration::from_secs(3);

/// One connected socket, with its queue and its caller.
pub(crate) struct Connection {
    pub(crate) app: AppState,
    pub(crate) queue: QueueName,
    pub(crate) socket: WebSocket,
    /// The caller that opened it.
    pub(crate) caller: Caller,
    /// The permission that the caller needs for as long as the socket lives.
    right: Right,
    /// Limits the messages that the client may send. `None` for workers, because the logs of their jobs come as messages.
    messages: Option<MessageBucket>,
    /// The ids that its client uses for its jobs.
    names: Names,
    last_heard: Instant,
    _slot: SocketSlot,
}

/// The socket is closed or must be closed.
pub(crate) struct Closed;

/// The behaviour of one kind of socket.
pub(crate) trait Session: Send + 'static {
    /// Runs until the socket is closed or must be closed.
    fn serve(&mut self) -> impl Future<Output = Result<(), Closed>> + Send;
    /// Its connection.
    fn connection(&mut self) -> &mut Connection;
}

/// A request for a socket, after the check of its permission.
pub(crate) struct Opening {
    pub(crate) app: AppState,
    pub(crate) queue: QueueName,
    pub(crate) caller: Caller,
    pub(crate) right: Right,
    pub(crate) messages: Option<MessageBucket>,
    pub(crate) message_bytes_max: usize,
}

impl Opening {
    /// Takes a socket slot and answers with the upgrade. Then the session is served until it ends or the server stops.
    pub(crate) fn open<S: Session>(
        self,
        upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
        begin: impl FnOnce(Connection) -> S + Send + 'static,
    ) -> Result<Response, ApiError> {
        let upgrade = bounded(upgrade, self.message_bytes_max)?;
        let place = self.app.meters.connect(&self.caller, self.queue.qid())?;
        Ok(upgrade.on_upgrade(move |socket| async move {
            let shutdown = self.app.shutdown.clone();
            let mut session = begin(self.connected(socket, place));
            if shutdown.run_until_cancelled(session.serve()).await.is_none() {
                session.connection().close().await;
            }
        }))
    }

    fn connected(self, socket: WebSocket, slot: SocketSlot) -> Connection {
        let Self { app, queue, caller, right, messages, .. } = self;
        Connection {
            app,
            queue,
            socket,
            caller,
            right,
            messages,
            names: Names::default(),
            last_heard: Instant::now(),
            _slot: slot,
        }
    }
}

/// The upgrade, with a limit for every buffer.
pub(crate) fn bounded(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    message_bytes_max: usize,
) -> Result<WebSocketUpgrade, ApiError> {
    Ok(upgrade
        .map_err(|rejection| {
            ApiError::refused(
                ErrorCode::NotAWebsocket,
                format!("this route is a WebSocket; open it with a WebSocket client: {rejection}"),
            )
        })?
        .max_message_size(message_bytes_max)
        .max_frame_size(message_bytes_max)
        .max_write_buffer_size(2 * limits::RESULT_BYTES_MAX))
}

/// Counts a message that could not be read.
pub(crate) fn ignore() {
    metrics::counter!("asman_socket_messages_ignored_total").increment(1);
}

/// Counts a message that was refused.
pub(crate) fn refuse() {
    metrics::counter!("asman_socket_messages_refused_total").increment(1);
}

impl Connection {
    /// Tells the client that the server stops.
    async fn close(&mut self) {
        let _ = self.send_frame(Message::Close(None)).await;
    }

    /// The text of a frame, if it has one and is within the limits.
    pub(crate) async fn take(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<Option<Utf8Bytes>, Closed> {
        let Some(Ok(frame)) = frame else { return Err(Closed) };
        self.last_heard = Instant::now();
        // Pings cause answers, so they count. Pongs only answer our own pings.
        if !matches!(frame, Message::Pong(_) | Message::Close(_))
            && let Some(messages) = &mut self.messages
        {
            match messages.take() {
                Passage::Pass => {}
                Passage::Ignore => return Ok(None),
                Passage::Close => return self.end(close_code::POLICY, "too many messages").await.map(|()| None),
            }
        }
        match frame {
            Message::Text(text) => return Ok(Some(text)),
            Message::Close(_) => return self.answer_close().await,
            Message::Binary(_) => ignore(),
            Message::Ping(_) | Message::Pong(_) => {}
        }
        Ok(None)
    }

    /// The client closes the socket. The library has prepared the Close frame that answers it, and sends this frame while the
    /// rest is read.
    async fn answer_close(&mut self) -> Result<Option<Utf8Bytes>, Closed> {
        let end = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = tokio::time::timeout(self.app.config.send_timeout.0, end).await;
        Err(Closed)
    }

    /// When [`Connection::look`] runs. It runs three times before a silent socket is closed. The first time is not at once,
    /// because each run resets the count of ignored messages.
    pub(crate) fn looks(&self) -> Interval {
        let idle = self.app.config.limits.socket_idle.0;
        // A guest must be disconnected soon after its consent was revoked.
        let most = if self.caller.guest.is_some() { LOOK_AT_GUESTS } else { LOOK_MAX };
        let every = if idle.is_zero() { most } else { (idle / 3).clamp(LOOK_MIN, most) };
        interval_at(Instant::now() + every, every)
    }

    /// Sends a ping, and ends a socket that gave no sign of life or has lost its permission.
    pub(crate) async fn look(&mut self) -> Result<(), Closed> {
        let idle = self.app.config.limits.socket_idle.0;
        if !idle.is_zero() && self.last_heard.elapsed() > idle {
            metrics::counter!("asman_limited_total", "limit" => "socket_idle").increment(1);
            return self.end(close_code::AWAY, "no sign of life").await;
        }
        if !self.app.consents.still_admits(self.caller.guest) {
            return self.end(close_code::POLICY, "the consent for pages of this origin was revoked").await;
        }
        if matches!(self.app.policies.may(self.queue.qid(), self.right, &self.caller).await, Ok(false)) {
            return self.end(close_code::POLICY, "the queue requires another token").await;
        }
        if let Some(messages) = &mut self.messages {
            messages.forgive();
        }
        self.send_frame(Message::Ping(Bytes::new())).await
    }

    /// Sends with a timeout.
    async fn send_frame(&mut self, frame: Message) -> Result<(), Closed> {
        match tokio::time::timeout(self.app.config.send_timeout.0, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Closed),
        }
    }

    async fn end(&mut self, code: u16, reason: &'static str) -> Result<(), Closed> {
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = self.send_frame(Message::Close(Some(frame))).await;
        Err(Closed)
    }

    /// Subscribes to the queue, then sends its workers and all its jobs.
    pub(crate) async fn greet(&mut self) -> Result<Receiver<Arc<str>>, Closed> {
        let qid = self.queue.qid();
        let messages = self.app.hub.subscribe(qid).await.map_err(|_| Closed)?;
        let workers = workers_message(&self.app.db, qid, self.app.config.lease.0).await.map_err(|_| Closed)?;
        self.send(workers).await?;
        self.send_snapshot().await?;
        Ok(messages)
    }

    /// The hub's next message. `None` after a lag, when a fresh snapshot was sent instead.
    pub(crate) async fn catch_up(
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

    pub(crate) async fn send(&mut self, text: Arc<str>) -> Result<(), Closed> {
        let large = self.app.large.clone();
        for text in self.names.translate(text) {
            let _room = large.frame(text.len()).await;
            self.send_frame(Message::Text(String::from(&*text).into())).await?;
        }
        Ok(())
    }

    /// The id under which the queue stores a job. From now on messages to this client name the job by the id that it sent.
    pub(crate) async fn row_id(&mut self, sent_id: &JobId) -> Result<String, ApiError> {
        let row_id = self.app.db.row_id(self.queue.qid(), sent_id.as_str()).await?;
        self.names.note(&row_id, sent_id.as_str());
        Ok(row_id)
    }

    /// Does the same for a caller that knows the id in the queue.
    pub(crate) fn note_name(&mut self, row_id: &str, sent_id: &str) {
        self.names.note(row_id, sent_id);
    }

    pub(crate) async fn send_snapshot(&mut self) -> Result<(), Closed> {
        // A short outage of the database does not close the socket: the hub regularly sends a snapshot to all sockets.
        match self.app.hub.snapshot(self.queue.qid()).await {
            Ok(text) => self.send(text).await,
            Err(_) => Ok(()),
        }
    }

    /// Sends `JobStateUpdates` with this job, or without any job if this one is unknown or not listed.
    pub(crate) async fn send_job(&mut self, job_id: &JobId) -> Result<(), Closed> {
        let Ok(row_id) = self.row_id(job_id).await else { return Ok(()) };
        let Ok(row) = self.app.db.get_job(self.queue.qid(), &row_id).await else { return Ok(()) };
        let cursor = row.as_ref().and_then(sql::JobRow::cursor);
        let listed = row.filter(|row| row.is_listed() && !row.is_item).map(|row| (row.job_id.clone(), row.to_job()));
        let message = JobsMessage { state: Jobs { jobs: listed.into_iter().collect() }, is_subset: true, is_past: false, cursor };
        self.send(text_of(&ServerMessage::JobStateUpdates(message))).await
    }
}
