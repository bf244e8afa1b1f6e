//! The routes of a queue's policy.

use protocol::QueueName;
use reqwest::Method;
use serde_json::Value;

use super::{Client, Data, Error};

/// A queue's policy, in the order of the server.
pub(crate) type Policy = serde_json::Map<String, Value>;

impl Client {
    /// `GET /q/:queue/policy`.
    pub(crate) async fn policy(&self, queue: &QueueName) -> Result<Policy, Error> {
        Ok(self.json::<Data<_>>(self.request(Method::GET, &["q", queue.as_str(), "policy"])?).await?.data)
    }

    /// `PUT /q/:queue/policy`: returns the changed policy.
    pub(crate) async fn change_policy(&self, queue: &QueueName, body: &Policy) -> Result<Policy, Error> {
        let request = self.request(Method::PUT, &["q", queue.as_str(), "policy"])?.json(body);
        Ok(self.json::<Data<_>>(request).await?.data)
    }

    /// `DELETE /q/:queue/policy`: returns the defaults.
    pub(crate) async fn clear_policy(&self, queue: &QueueName) -> Result<Policy, Error> {
        Ok(self.json::<Data<_>>(self.request(Method::DELETE, &["q", queue.as_str(), "policy"])?).await?.data)
    }
}
