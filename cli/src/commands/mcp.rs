//! `asman mcp`: the tools of an API for an agent that speaks the Model Context Protocol on standard input and output.
//!
//! Each line is a message. It goes to `/mcp` of the API unchanged, and the answers are printed as lines: the tools exist only in
//! the API. This process keeps only the agreed version and the calls in progress.
//!
//! Invariants: standard output contains only messages. A message that expects an answer gets one, even if the API fails. If the
//! API cannot be reached, the answer to a tool's call is a tool error, which the agent can read. Bounds: [`LINE_BYTES_MAX`] for a
//! line, [`CALLS_MAX`] messages in progress.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use protocol::QueueName;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::AbortHandle;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::task::TaskTracker;

use crate::args::Global;
use crate::client::{Client, Error};
use crate::failure::Failure;
use crate::sse::Parser;

const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
const CALLS_MAX: usize = 64;
/// Time for the calls in progress when standard input ends.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses between attempts to connect. A restarted API answers again within their sum.
const TRIES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(600), Duration::from_secs(2), Duration::from_secs(4)];
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const VERSION_OF_MESSAGE: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";

const HELP: &str = "\
Example of an agent's settings:
  {\"mcpServers\": {\"asman\": {\"command\": \"asman\", \"args\": [\"mcp\", \"--queue\", \"my-queue\", \"--api\", \"https://queue.example\"]}}}

The same tools are at /mcp of the API for agents that speak HTTP, and at /mcp/ws. A queue's name is its key: with --queue the agent does not need to know it. Without it each call names its queue.";

/// What `asman mcp` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Queue of calls that do not name one.
    #[arg(long, env = "ASMAN_QUEUE", hide_env_values = true)]
    queue: Option<QueueName>,
    /// Token that the queue's policy requires. Every user of the machine can read arguments, so use the environment variable.
    #[arg(long, env = "ASMAN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Forwards messages until standard input ends.
pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = Client::new(&global.api)?.with_token(args.token)?;
    let bridge = Arc::new(Bridge {
        client,
        queue: args.queue,
        version: Mutex::default(),
        calls: Mutex::default(),
        tasks: TaskTracker::new(),
        room: Semaphore::new(CALLS_MAX),
        output: AsyncMutex::new(opened(&std::io::stdout())?),
    });
    let mut lines = FramedRead::new(opened(&std::io::stdin())?, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => bridge.take(line).await,
            Err(LinesCodecError::MaxLineLengthExceeded) => {
                let sentence = format!("a message may have at most {LINE_BYTES_MAX} bytes; upload large files by HTTP");
                bridge.write(&error_of(&Value::Null, -32600, &sentence)).await;
            }
            Err(LinesCodecError::Io(_)) => break,
        }
    }
    bridge.end().await;
    Ok(())
}

/// Standard input or output as a file that does not block the other tasks.
fn opened(stream: &impl AsFd) -> Result<File, Failure> {
    let descriptor = stream
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Failure::Missing(format!("standard input and output must be open: {error}")))?;
    Ok(File::from_std(std::fs::File::from(descriptor)))
}

/// Between standard input and the API.
struct Bridge {
    client: Client,
    queue: Option<QueueName>,
    /// The version that client and API agreed on.
    version: Mutex<Option<String>>,
    /// Requests in progress, by their id.
    calls: Mutex<HashMap<String, AbortHandle>>,
    tasks: TaskTracker,
    room: Semaphore,
    output: AsyncMutex<File>,
}

impl Bridge {
    /// Sends a message. The next one does not wait for its answer.
    async fn take(self: &Arc<Self>, line: String) {
        let message: Value = match serde_json::from_str(&line) {
            Ok(message) => message,
            Err(error) => {
                return self.write(&error_of(&Value::Null, -32700, &format!("the message is not JSON: {error}"))).await;
            }
        };
        if message["method"] == "notifications/cancelled" {
            // The API stops the work of a request whose connection is closed.
            let id = message["params"]["requestId"].to_string();
            if let Some(call) = self.calls().remove(&id) {
                call.abort();
            }
            return;
        }
        let id = message["id"].to_string();
        let bridge = Arc::clone(self);
        let is_initialize = message["method"] == "initialize";
        let task = self.tasks.spawn(async move { bridge.forward(line, message).await });
        if is_initialize {
            // The agreed version is sent with all later messages.
            let _ = task.await;
            return;
        }
        let mut calls = self.calls();
        calls.retain(|_, call| !call.is_finished());
        calls.insert(id, task.abort_handle());
    }

    async fn forward(&self, line: String, message: Value) {
        let Ok(_room) = self.room.acquire().await else { return };
        let asks = !message["id"].is_null() && message["method"].is_string();
        let outcome = match self.send(&line, &message).await {
            Ok(response) => self.pass_on(response, &message).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(sentence) = outcome
            && asks
        {
            self.write(&refusal(&message, &sentence)).await;
        }
    }

    /// A connection that cannot be opened is tried again, because nothing was sent.
    async fn send(&self, line: &str, message: &Value) -> Result<Response, Error> {
        let headers = self.headers(message);
        for pause in TRIES {
            match self.client.send_message(self.queue.as_ref(), headers.clone(), line.to_owned()).await {
                Err(Error::Unreachable(_)) => tokio::time::sleep(pause).await,
                other => return other,
            }
        }
        self.client.send_message(self.queue.as_ref(), headers, line.to_owned()).await
    }

    fn headers(&self, message: &Value) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let own = message.pointer(VERSION_OF_MESSAGE).and_then(Value::as_str).map(ToOwned::to_owned);
        let agreed = || self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = message["params"]["name"].as_str().or_else(|| message["params"]["uri"].as_str());
        let texts = [(VERSION, own.or_else(agreed)), (METHOD, text(&message["method"])), (NAME, name.map(ToOwned::to_owned))];
        for (header, value) in texts {
            if let Some(value) = value.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(header, value);
            }
        }
        headers
    }

    /// Writes the API's answer: one message, or the messages of an event stream.
    async fn pass_on(&self, response: Response, message: &Value) -> Result<(), String> {
        let status = response.status();
        let is_stream =
            response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if is_stream {
            return self.pass_events(response, message).await;
        }
        let body = response.bytes().await.map_err(|_| "the connection to the API broke; call again".to_owned())?;
        let Ok(answer) = serde_json::from_slice::<Value>(&body) else {
            return if status.is_success() { Ok(()) } else { Err(format!("the API answers {status}; is --api its address?")) };
        };
        if answer["jsonrpc"] == "2.0" {
            self.learn(message, &answer);
            self.write(&answer).await;
            return Ok(());
        }
        // A refusal in the API's own form, such as a missing token or a limit.
        Err(answer["error"].as_str().map_or_else(|| format!("the API answers {status}"), ToOwned::to_owned))
    }

    async fn pass_events(&self, response: Response, message: &Value) -> Result<(), String> {
        let broken = || "the connection to the API broke before the answer came; call again".to_owned();
        let (mut parser, mut bytes, mut is_answered) = (Parser::default(), response.bytes_stream(), false);
        while let Some(chunk) = bytes.next().await {
            let events = parser.push(&chunk.map_err(|_| broken())?).map_err(|error| error.to_string())?;
            for event in events {
                let Ok(told) = serde_json::from_str::<Value>(&event.data) else { continue };
                is_answered |= !told["id"].is_null() && told["id"] == message["id"];
                self.learn(message, &told);
                self.write(&told).await;
            }
        }
        if is_answered { Ok(()) } else { Err(broken()) }
    }

    /// Stores the version in an answer to `initialize`.
    fn learn(&self, message: &Value, answer: &Value) {
        if message["method"] == "initialize"
            && let Some(version) = answer["result"]["protocolVersion"].as_str()
        {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version.to_owned());
        }
    }

    async fn write(&self, message: &Value) {
        let mut output = self.output.lock().await;
        // If the reader is gone, standard input ends too.
        let _ = output.write_all(format!("{message}\n").as_bytes()).await;
        let _ = output.flush().await;
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<String, AbortHandle>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the calls in progress, for scripts that close their side after the last message. The wait has a limit.
    async fn end(&self) {
        self.tasks.close();
        let _ = tokio::time::timeout(END_TIMEOUT, self.tasks.wait()).await;
        self.calls().drain().for_each(|(_, call)| call.abort());
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

fn error_of(id: &Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// The answer to a request that the API did not answer: for a tool a tool error, which agents show, otherwise a protocol error.
fn refusal(message: &Value, sentence: &str) -> Value {
    let id = &message["id"];
    if message["method"] != "tools/call" {
        return error_of(id, -32603, sentence);
    }
    let content = json!([{"type": "text", "text": sentence}]);
    json!({"jsonrpc": "2.0", "id": id, "result": {"isError": true, "content": content}})
}
