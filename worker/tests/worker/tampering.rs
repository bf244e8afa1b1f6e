//! An engine that refuses or changes requests to create a container. All other calls go to the real engine.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::engine::socket;

/// What the engine does with a request to create a container.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tamper {
    /// The request is passed on.
    Nothing,
    /// A request with these words is refused.
    Refuse(&'static str),
    /// The numbers after these names become 0.
    Zero(&'static [&'static str]),
    /// The request for gpus is removed.
    NoGpus,
}

/// An engine at the test's own socket. It runs until it is dropped.
pub(crate) struct Engine {
    tamper: Arc<Mutex<Tamper>>,
    asked: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Engine {
    pub(crate) fn start(tamper: Tamper) -> Self {
        let listener = UnixListener::bind(socket()).unwrap();
        let (tamper, asked) = (Arc::new(Mutex::new(tamper)), Arc::<Mutex<String>>::default());
        let (how, record) = (Arc::clone(&tamper), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(pass(client, Arc::clone(&how), Arc::clone(&record)));
            }
        });
        Self { tamper, asked, task }
    }

    pub(crate) fn now(&self, tamper: Tamper) {
        *self.tamper.lock().unwrap() = tamper;
    }

    /// All requests to create a container, as they were before a change.
    pub(crate) fn asked(&self) -> String {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(socket());
    }
}

async fn pass(mut client: UnixStream, tamper: Arc<Mutex<Tamper>>, asked: Arc<Mutex<String>>) -> std::io::Result<()> {
    let mut engine = UnixStream::connect("/var/run/docker.sock").await?;
    let (mut question, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            n = client.read(&mut question) => match n? {
                0 => return engine.shutdown().await,
                n if question[..n].starts_with(b"POST /containers/create") => {
                    let whole = whole(&mut client, question[..n].to_vec()).await?;
                    asked.lock().unwrap().push_str(&whole);
                    let how = *tamper.lock().unwrap();
                    match changed(whole, how) {
                        Some(changed) => engine.write_all(changed.as_bytes()).await?,
                        None => client.write_all(refusal().as_bytes()).await?,
                    }
                }
                n => engine.write_all(&question[..n]).await?,
            },
            n = engine.read(&mut answer) => match n? {
                0 => return client.shutdown().await,
                n => client.write_all(&answer[..n]).await?,
            },
        }
    }
}

/// Reads the whole head and body of a request.
async fn whole(client: &mut UnixStream, mut bytes: Vec<u8>) -> std::io::Result<String> {
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = |head: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length")).map_or(0, |(_, value)| value.parse().unwrap())
        };
        if text.split_once("\r\n\r\n").is_some_and(|(head, body)| body.len() >= length(head)) {
            return Ok(text);
        }
        client.read_buf(&mut bytes).await?;
    }
}

/// The changed request, which has the same number of bytes. `None` means that the request is refused.
fn changed(text: String, how: Tamper) -> Option<String> {
    match how {
        Tamper::Nothing => Some(text),
        Tamper::Refuse(words) => (!text.contains(words)).then_some(text),
        Tamper::Zero(names) => {
            Some(names.iter().fold(text, |text, name| blank(text, name, |value| value.find(|c: char| !c.is_ascii_digit()), "0")))
        }
        Tamper::NoGpus => {
            let end = |value: &str| value.find("}]").map(|at| at + 2);
            Some(blank(text, "\"DeviceRequests\":", end, "[]"))
        }
    }
}

/// Replaces the value after a name by `instead`, and fills the rest of its length with blanks.
fn blank(text: String, name: &str, end: impl Fn(&str) -> Option<usize>, instead: &str) -> String {
    let Some(start) = text.find(name).map(|at| at + name.len()) else { return text };
    let length = end(&text[start..]).unwrap();
    format!("{}{instead:<length$}{}", &text[..start], &text[start + length..])
}

fn refusal() -> String {
    let body = r#"{"message":"NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"}"#;
    format!("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
