//! Lists of containers, with only the members that the worker needs.
//!
//! The engine's client refuses a whole list for one unknown word, such as Podman's state `stopped`. So the worker requests the list here.
//! An unknown state means that the container neither runs nor has ended.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use super::Docker;
use crate::engine::Fault;
use crate::error::innermost;

const TIMEOUT: Duration = Duration::from_mins(2);
const SOCKET: &str = "/var/run/docker.sock";

/// One container of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    pub(super) id: String,
    #[serde(rename = "ImageID")]
    pub(super) image_id: String,
    /// State, in the engine's words.
    pub(super) state: String,
    pub(super) labels: Option<HashMap<String, String>>,
    host_config: Option<ListedHostConfig>,
    /// Seconds since 1970, by the engine's clock.
    #[serde(deserialize_with = "seconds")]
    pub(super) created: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListedHostConfig {
    network_mode: Option<String>,
}

/// Reads a number. Another value of an engine counts as 0.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_i64().unwrap_or(i64::MAX))
}

impl Listed {
    pub(super) fn network_mode(&self) -> Option<&str> {
        self.host_config.as_ref()?.network_mode.as_deref()
    }

    /// Whether the container runs, or has run to its end.
    pub(super) fn has_run(&self) -> bool {
        // `stopped` is Podman's word for a container that has ended and is not cleaned up yet.
        matches!(self.state.as_str(), "running" | "exited" | "stopped")
    }
}

impl Docker {
    /// All containers, or those with a label (`name` or `name=value`).
    pub(super) async fn list_containers(&self, label: Option<&str>) -> Result<Vec<Listed>, Fault> {
        let (client, base) = plain().map_err(|cause| Fault::Host(format!("the engine's list of containers: {cause}")))?;
        let filters = label.map(|label| serde_json::json!({ "label": [label] }).to_string());
        let query = filters.map(|filters| [("filters", filters)]);
        let mut url = base;
        url.set_path("/containers/json");
        url.query_pairs_mut().append_pair("all", "true").extend_pairs(query.iter().flatten());
        let failed = |error: reqwest::Error| Fault::Host(format!("the engine's list of containers: {}", innermost(&error)));
        let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        answer.json().await.map_err(failed)
    }
}

/// A plain HTTP client for the same engine.
fn plain() -> Result<(reqwest::Client, reqwest::Url), String> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| format!("unix://{SOCKET}"));
    let builder = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
    let (builder, base) = match host.split_once("://") {
        Some(("unix", path)) => (builder.unix_socket(path), "http://localhost".to_owned()),
        Some((_, address)) => (builder, format!("http://{address}")),
        None => return Err(format!("DOCKER_HOST ({host}) is not an address such as unix:///var/run/docker.sock")),
    };
    let client = builder.build().map_err(|error| innermost(&error))?;
    Ok((client, base.parse().map_err(|_| format!("DOCKER_HOST ({host}) is not an address"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_unknown_words_is_read() {
        let text = r#"[{"Id":"a","ImageID":"i","State":"stopped","Labels":null,"Created":7,"Mounts":[{"Type":"odd"}]},
            {"Id":"b","State":"no such","Labels":{"x":"y"},"HostConfig":{"NetworkMode":"container:a"},"Created":"?"}]"#;
        let listed: Vec<Listed> = serde_json::from_str(text).unwrap();
        assert!(listed[0].has_run() && listed[0].created == 7 && listed[0].image_id == "i");
        assert!(!listed[1].has_run() && listed[1].network_mode() == Some("container:a") && listed[1].created == i64::MAX);
    }
}
