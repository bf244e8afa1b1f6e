//! Lists of containers, with only the members that the worker needs.
//!
//! The engine's client refuses a whole list for one unknown word, such as Podman's state `stopped`. So the worker requests the list here.
//! A container in an unknown state counts as one that neither runs nor has ended.

use std::collections::HashMap;

use serde::Deserialize;

use super::Docker;
use super::plain::Plain;
use super::sandbox::joined;
use crate::engine::Fault;
use crate::labels::LABEL_JOINED;

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

/// Reads a number. Any other value counts as the latest possible time.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_i64().unwrap_or(i64::MAX))
}

impl Listed {
    /// The sandbox that the container has joined. If the engine's list does not contain it, the container's label does.
    pub(super) fn sandbox(&self) -> Option<&str> {
        let mode = self.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
        joined(mode).or_else(|| self.labels.as_ref()?.get(LABEL_JOINED).map(String::as_str))
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
        let filters = label.map(|label| serde_json::json!({ "label": [label] }).to_string());
        let mut query = vec![("all", "true")];
        query.extend(filters.as_deref().map(|filters| ("filters", filters)));
        Plain::new("the engine's list of containers", reqwest::Method::GET, "/containers/json", &query)?.send().await
    }
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
        assert!(listed[0].sandbox().is_none());
        assert!(!listed[1].has_run() && listed[1].sandbox() == Some("a") && listed[1].created == i64::MAX);
    }
}
