//! Inspects a container.
//!
//! Podman has a state that the engine's client refuses: a container that has ended and is not cleaned up yet is `stopped`. So the worker
//! reads Podman's answer itself.

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptionsBuilder;
use serde_json::Value;

use super::Docker;
use super::plain::Plain;
use crate::engine::Fault;

impl Docker {
    pub(super) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, Fault> {
        self.inspect_with(id, false).await
    }

    /// With `has_size`, the engine counts the bytes of the root file system.
    pub(super) async fn inspect_with(&self, id: &str, has_size: bool) -> Result<ContainerInspectResponse, Fault> {
        if self.dialect.has_known_states() {
            let options = InspectContainerOptionsBuilder::new().size(has_size).build();
            return Ok(self.client.inspect_container(id, Some(options)).await?);
        }
        let path = format!("/containers/{id}/json");
        let query = if has_size { &[("size", "true")][..] } else { &[] };
        let found: Value = Plain::new("a container", reqwest::Method::GET, &path, query)?.send().await?;
        serde_json::from_value(in_known_words(found)).map_err(|error| Fault::Host(format!("a container: {error}")))
    }
}

fn in_known_words(mut found: Value) -> Value {
    if found["State"]["Status"] == "stopped" {
        found["State"]["Status"] = "exited".into();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_container_has_ended() {
        let text = r#"{"Id":"a","State":{"Status":"stopped","ExitCode":3,"FinishedAt":"2026-01-01T00:00:00Z"}}"#;
        let found: ContainerInspectResponse =
            serde_json::from_value(in_known_words(serde_json::from_str(text).unwrap())).unwrap();
        assert_eq!(found.state.unwrap().exit_code, Some(3));
    }
}
