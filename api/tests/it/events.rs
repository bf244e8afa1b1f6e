//! A stream of server-sent events, as a test reads it.

use futures_util::{Stream, StreamExt};
use reqwest::Method;
use serde_json::Value;
use std::pin::Pin;

use crate::test_api::{TestApi, in_time};

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Event {
    /// The texts of the log lines in this event.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.data["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
        lines.iter().map(|line| line[0].as_str().unwrap().to_owned()).collect()
    }
}

/// A stream that is being read.
pub(crate) struct Events {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    buffer: String,
}

impl Events {
    /// Follows a job of queue `q`, from the start or after an event.
    pub(crate) async fn follow(api: &TestApi, job: &str, last_id: Option<&str>) -> Self {
        let mut request = api.request(Method::GET, &format!("/q/q/j/{job}/stream"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { bytes: Box::pin(response.bytes_stream()), buffer: String::new() }
    }

    /// The next event. `None` when the server closed the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let event = parse(block);
                self.buffer = String::from(rest);
                if event.is_some() {
                    return event;
                }
            }
            let chunk = in_time(self.bytes.next()).await?.unwrap();
            self.buffer += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// All events up to the end of the stream.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The log lines of all events with this name, in order.
pub(crate) fn lines_of(events: &[Event], name: &str) -> Vec<String> {
    events.iter().filter(|event| event.name == name).flat_map(Event::lines).collect()
}

/// Parses an event. Returns `None` for a comment; comments keep the connection alive.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim_start).map(ToOwned::to_owned)
    };
    let data = serde_json::from_str(&field("data")?).unwrap();
    Some(Event { name: field("event").unwrap_or_default(), id: field("id").unwrap_or_default(), data })
}
