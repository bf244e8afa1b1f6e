//! A client's WebSocket in a test.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::test_api::{TestApi, in_time};

/// One connected client.
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects and takes the first two messages, which every client gets.
    pub(crate) async fn connect(api: &TestApi, path: &str) -> Self {
        let mut socket = Self::connect_raw(api, path).await;
        assert_eq!(socket.next().await["type"], "Workers");
        assert_eq!(socket.next().await["type"], "JobStates");
        socket
    }

    /// Connects without taking any message.
    pub(crate) async fn connect_raw(api: &TestApi, path: &str) -> Self {
        let (stream, _) = in_time(connect_async(format!("{}{path}", api.url.replace("http", "ws")))).await.unwrap();
        Self { stream }
    }

    /// The next text message: as JSON, or as a string if it is not JSON.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match in_time(self.stream.next()).await.expect("the socket is open").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap_or_else(|_| json!(text.as_str())),
                Message::Close(frame) => panic!("the server closed the socket: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Waits until the server closes the socket. Returns the close code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let end = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        in_time(end).await
    }

    /// Returns what `find` returns for the first message for which it returns something. Earlier messages are dropped.
    pub(crate) async fn until<T>(&mut self, find: impl Fn(&Value) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = find(&self.next().await) {
                    return found;
                }
            }
        };
        in_time(search).await
    }

    /// Waits for a message of either kind that shows the job in this state. Returns the job.
    pub(crate) async fn until_job(&mut self, id: &str, state: &str) -> Value {
        self.until(|message| {
            let job = &message["payload"]["state"]["jobs"][id];
            (job["state"] == state).then(|| job.clone())
        })
        .await
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Returns when the server has handled everything that was sent before. Fails if the socket is closed.
    pub(crate) async fn ping(&mut self) {
        self.send_text("PING").await;
        self.until(|message| (message == "PONG").then_some(())).await;
    }
}

/// Submits as browsers do.
pub(crate) fn submission(id: &str, definition: &Value) -> Value {
    json!({"type": "StateChange", "payload": {"tag": "", "job": id, "state": "Queued",
        "value": {"type": "Queued", "time": 1, "enqueued": {"id": id, "definition": definition}}}})
}

/// Cancels or clears as browsers do.
pub(crate) fn ending(id: &str, reason: &str) -> Value {
    json!({"type": "StateChange", "payload": {"tag": "", "job": id, "state": "Finished",
        "value": {"type": "Finished", "reason": reason, "time": 1}}})
}
