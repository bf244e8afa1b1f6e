//! The Model Context Protocol over a WebSocket: one JSON-RPC message in each text frame. A frame that cannot be read is
//! answered, and the socket stays open.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::ErrorCode;
use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::service::serve_directly_with_ct;
use rmcp::transport::Transport;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Agent;
use crate::limits::{MessageBucket, Passage, SocketSlot};

/// The subprotocol that clients request.
pub(crate) const SUBPROTOCOL: &str = "mcp";
/// How often a silent socket is pinged.
const LOOK: Duration = Duration::from_secs(30);
const LOOK_MIN: Duration = Duration::from_millis(100);

/// Serves one socket to its end.
pub(crate) async fn serve(agent: Agent, socket: WebSocket, slot: SocketSlot) {
    let shutdown = agent.app.shutdown.child_token();
    let frames = Frames::new(&agent, socket, shutdown.clone());
    let service = serve_directly_with_ct(agent, frames, None, shutdown);
    let _ = service.waiting().await;
    drop(slot);
}

/// The frames of a socket as messages.
struct Frames {
    source: SplitStream<WebSocket>,
    sink: Arc<Mutex<SplitSink<WebSocket, Message>>>,
    messages: MessageBucket,
    send_timeout: Duration,
    idle: Duration,
    last_heard: Instant,
    forgiven_at: Instant,
    /// Ends the socket when a writer finds it broken.
    end: CancellationToken,
}

impl Frames {
    fn new(agent: &Agent, socket: WebSocket, end: CancellationToken) -> Self {
        let config = &agent.app.config;
        let (sink, source) = socket.split();
        Self {
            source,
            sink: Arc::new(Mutex::new(sink)),
            messages: MessageBucket::new(config.limits.messages_per_socket),
            send_timeout: config.send_timeout.0,
            idle: config.limits.socket_idle.0,
            last_heard: Instant::now(),
            forgiven_at: Instant::now(),
            end,
        }
    }

    /// The next frame; sends pings while nothing comes. `None` when the socket is closed or dead.
    async fn next_frame(&mut self) -> Option<Message> {
        let look = if self.idle.is_zero() { LOOK } else { (self.idle / 3).clamp(LOOK_MIN, LOOK) };
        loop {
            match timeout(look, self.source.next()).await {
                Ok(Some(Ok(frame))) => {
                    if self.forgiven_at.elapsed() >= LOOK {
                        self.messages.forgive();
                        self.forgiven_at = Instant::now();
                    }
                    self.last_heard = Instant::now();
                    return Some(frame);
                }
                Ok(_) => return None,
                Err(_) if !self.idle.is_zero() && self.last_heard.elapsed() > self.idle => return None,
                Err(_) => self.write(Message::Ping(Bytes::new())).await.ok()?,
            }
        }
    }

    async fn write(&self, frame: Message) -> Result<(), Closed> {
        write(&self.sink, self.send_timeout, frame).await
    }

    /// The message of a frame. A frame that cannot be read is answered. The function never waits, because its caller may be
    /// dropped while it waits.
    fn take(&mut self, frame: Message) -> Result<Option<ClientJsonRpcMessage>, Closed> {
        let text = match frame {
            Message::Text(text) => text,
            Message::Close(_) => return Err(Closed),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => return Ok(None),
        };
        match self.messages.take() {
            Passage::Pass => {}
            Passage::Ignore => return Ok(None),
            Passage::Close => return Err(Closed),
        }
        match read(text.as_bytes()) {
            Ok(message) => Ok(Some(*message)),
            Err(answer) => {
                let (sink, limit) = (Arc::clone(&self.sink), self.send_timeout);
                tokio::spawn(async move { write(&sink, limit, Message::Text(answer.to_string().into())).await });
                Ok(None)
            }
        }
    }
}

/// Reads a message, or returns the answer to a message that cannot be read.
pub(crate) fn read(bytes: &[u8]) -> Result<Box<ClientJsonRpcMessage>, Value> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| error_of(&Value::Null, -32700, &format!("the message is not JSON: {error}")))?;
    let id = value.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or(Value::Null);
    if value.is_array() {
        return Err(error_of(&id, -32600, "a list of messages is not supported; send each message separately"));
    }
    serde_json::from_value(value).map(Box::new).map_err(|error| {
        error_of(&id, -32600, &format!("the message is not a JSON-RPC 2.0 message with a method of this protocol: {error}"))
    })
}

/// A JSON-RPC error. Its data contains one of our error codes, as every refusal does.
fn error_of(id: &Value, code: i32, message: &str) -> Value {
    let data = json!({"code": ErrorCode::InvalidBody});
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}})
}

/// The socket is closed.
#[derive(Debug, thiserror::Error)]
#[error("the socket is closed")]
struct Closed;

async fn write(sink: &Mutex<SplitSink<WebSocket, Message>>, limit: Duration, frame: Message) -> Result<(), Closed> {
    let mut sink = sink.lock().await;
    match timeout(limit, sink.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Closed),
    }
}

impl Transport<RoleServer> for Frames {
    type Error = Closed;

    fn send(&mut self, message: ServerJsonRpcMessage) -> impl Future<Output = Result<(), Closed>> + Send + 'static {
        let (sink, limit, end) = (Arc::clone(&self.sink), self.send_timeout, self.end.clone());
        async move {
            let text = serde_json::to_string(&message).map_err(|_| Closed)?;
            write(&sink, limit, Message::Text(text.into())).await.inspect_err(|_| end.cancel())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let frame = self.next_frame().await?;
            match self.take(frame) {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(Closed) => return None,
            }
        }
    }

    async fn close(&mut self) -> Result<(), Closed> {
        self.write(Message::Close(None)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_answered_with_the_id_that_it_has() {
        assert_eq!(read(b"{").unwrap_err()["error"]["code"], -32700);
        assert_eq!(read(b"[]").unwrap_err()["error"]["code"], -32600);
        let answer = read(br#"{"id": 7, "method": "ping"}"#).unwrap_err();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-32600)));
        assert!(read(br#"{"jsonrpc": "2.0", "id": 1, "method": "no/such"}"#).is_ok());
    }
}
