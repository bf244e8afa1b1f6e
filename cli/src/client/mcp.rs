//! Messages of the Model Context Protocol to the API.

use protocol::QueueName;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response};

use super::{Client, Error};

impl Client {
    /// Sends one message. Returns the answer with any status: a refusal is a message too.
    pub(crate) async fn send_message(
        &self,
        queue: Option<&QueueName>,
        headers: HeaderMap,
        body: String,
    ) -> Result<Response, Error> {
        let mut url = self.url(&["mcp"])?;
        if let Some(queue) = queue {
            url.query_pairs_mut().append_pair("queue", queue.as_str());
        }
        // A call may send nothing while it waits. The client for ordinary requests would treat that as a broken connection.
        let request = self.uploads.request(Method::POST, url).headers(headers).body(body);
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = request.header(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.map_err(|error| self.broken(&error))
    }
}
