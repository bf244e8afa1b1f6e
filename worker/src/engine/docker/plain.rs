//! Plain HTTP calls to the same engine, for what the engine's client cannot ask or read.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;

use crate::engine::Fault;
use crate::error::innermost;

const TIMEOUT: Duration = Duration::from_mins(2);
const SOCKET: &str = "/var/run/docker.sock";

/// A request to the engine.
#[derive(Debug)]
pub(super) struct Plain {
    /// What the request is about, for error messages.
    what: &'static str,
    request: RequestBuilder,
}

impl Plain {
    pub(super) fn new(what: &'static str, method: Method, path: &str, query: &[(&str, &str)]) -> Result<Self, Fault> {
        let (client, mut url) = connection().map_err(|cause| Fault::Host(format!("{what}: {cause}")))?;
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Self { what, request: client.request(method, url) })
    }

    pub(super) fn json(mut self, body: &serde_json::Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Sends the request. A refusal contains the engine's own message.
    pub(super) async fn send<T: DeserializeOwned>(self) -> Result<T, Fault> {
        let what = self.what;
        let failed = |error: reqwest::Error| Fault::Host(format!("{what}: {}", innermost(&error)));
        let answer = self.request.send().await.map_err(failed)?;
        let status = answer.status();
        if status.is_success() {
            return answer.json().await.map_err(failed);
        }
        let text = answer.text().await.map_err(failed)?;
        Err(Fault::Refused { status: status.as_u16(), message: format!("{what}: {}", message_in(&text)) })
    }
}

/// The engine's message in the body of a refusal.
fn message_in(text: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let message = json.as_ref().and_then(|json| json["message"].as_str());
    message.unwrap_or(text).trim().to_owned()
}

fn connection() -> Result<(Client, Url), String> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| format!("unix://{SOCKET}"));
    let builder = Client::builder().no_proxy().timeout(TIMEOUT);
    let (builder, base) = match host.split_once("://") {
        Some(("unix", path)) => (builder.unix_socket(path), "http://localhost".to_owned()),
        Some((_, address)) => (builder, format!("http://{address}")),
        None => return Err(format!("DOCKER_HOST ({host}) is not an address such as unix:///var/run/docker.sock")),
    };
    let client = builder.build().map_err(|error| innermost(&error))?;
    Ok((client, base.parse().map_err(|_| format!("DOCKER_HOST ({host}) is not an address"))?))
}
