//! The engine's calls for sandboxes: containers that only keep a network ready for another container to join.

use std::collections::HashSet;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::CreateContainerOptions;

use super::listing::Listed;
use super::{Docker, pause};
use crate::engine::images::{ImageReference, Version};
use crate::engine::{Fault, SandboxSpec};
use crate::labels::{LABEL_OWNER, LABEL_SANDBOX};

/// How the engine writes that a container has joined another container's network.
const JOINED: &str = "container:";

const TAG_CHARS: usize = 12;

/// The network of a container that joins a sandbox, for [`Confinement`](crate::engine::Confinement).
pub(crate) fn network_in(sandbox: &str) -> String {
    format!("{JOINED}{sandbox}")
}

/// A sandbox that no container has joined.
#[derive(Debug)]
pub(crate) struct UnusedSandbox {
    pub(crate) id: String,
    /// Label of the data directory of the sandbox's worker.
    pub(crate) data_label: String,
    /// The text form of the [`Owner`](crate::owner::Owner). None means that an earlier version made the sandbox.
    pub(crate) owner: Option<String>,
    /// Seconds since 1970, by the engine's clock.
    pub(crate) created: i64,
}

impl Docker {
    /// Makes the image of sandboxes, unless it exists. Returns false when there is no program for the engine's machine.
    pub(crate) async fn ensure_sandbox_image(&self) -> Result<bool, Fault> {
        match pause::rootfs(&self.architecture) {
            Some(rootfs) => self.import(&self.own_image(), rootfs).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The image's name contains the hash of its content, so that workers of two versions use different names.
    pub(super) fn own_image(&self) -> ImageReference {
        let sha256 = protocol::sha256_hex(&pause::rootfs(&self.architecture).unwrap_or_default());
        ImageReference { name: "asman/pause".to_owned(), version: Version::Tag(sha256[..TAG_CHARS].to_owned()) }
    }

    /// Removes the image of sandboxes, unless a sandbox of any worker uses it.
    pub(crate) async fn remove_sandbox_image(&self) -> Result<(), Fault> {
        self.remove_image(&self.own_image().to_string()).await.map(|_| ())
    }

    /// Makes and starts a sandbox. Returns its id.
    pub(crate) async fn open_sandbox(&self, spec: &SandboxSpec) -> Result<String, Fault> {
        let no_record = HostConfigLogConfig { typ: Some("none".to_owned()), config: None };
        let host_config = HostConfig {
            network_mode: Some(spec.network.clone()),
            dns: (!spec.dns.is_empty()).then(|| spec.dns.clone()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            log_config: Some(no_record),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(self.own_image().to_string()),
            entrypoint: Some(vec![pause::PROGRAM.to_owned()]),
            user: Some("65534:65534".to_owned()),
            labels: Some(spec.labels.clone()),
            // As the first process of its container, the program ignores all other signals, and the engine would wait ten seconds for it.
            stop_signal: Some("SIGKILL".to_owned()),
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        };
        let id = self.client.create_container(None::<CreateContainerOptions>, self.dialect.adapt(body)).await?.id;
        match self.start(&id).await {
            Ok(()) => Ok(id),
            Err(fault) => {
                // If the removal fails, the sandbox stays unused, and its label marks it for a later removal.
                let _ = self.remove_one(&id).await;
                Err(fault)
            }
        }
    }

    /// Starts a first container in a network, if the engine makes the network's bridge only then. Returns the container's id.
    pub(crate) async fn make_bridge(&self, spec: &SandboxSpec) -> Result<Option<String>, Fault> {
        if self.dialect.has_bridges_at_once() || !self.ensure_sandbox_image().await? {
            return Ok(None);
        }
        self.open_sandbox(spec).await.map(Some)
    }

    /// Whether a container runs.
    pub(crate) async fn is_running(&self, id: &str) -> Result<bool, Fault> {
        let state = self.find(id).await?.and_then(|found| found.state);
        Ok(state.and_then(|state| state.running).unwrap_or(false))
    }

    /// The sandbox that a container has joined. None when the container is gone or has its own network.
    pub(super) async fn sandbox_of(&self, id: &str) -> Result<Option<String>, Fault> {
        let config = self.find(id).await?.and_then(|found| found.host_config);
        Ok(joined(config.and_then(|config| config.network_mode).as_deref()).map(str::to_owned))
    }

    /// Returns None when the container is gone.
    async fn find(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Fault> {
        match self.inspect(id).await {
            Ok(found) => Ok(Some(found)),
            Err(Fault::Refused { status: 404, .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// All sandboxes of this engine that no container has joined, of every worker.
    pub(crate) async fn unused_sandboxes(&self) -> Result<Vec<UnusedSandbox>, Fault> {
        let containers = self.list_containers(None).await?;
        let used: HashSet<String> = containers.iter().filter_map(|one| one.sandbox().map(str::to_owned)).collect();
        let unused = |container: Listed| {
            let mut labels = container.labels.unwrap_or_default();
            let data_label = labels.remove(LABEL_SANDBOX).filter(|_| !used.contains(&container.id))?;
            Some(UnusedSandbox { id: container.id, data_label, owner: labels.remove(LABEL_OWNER), created: container.created })
        };
        Ok(containers.into_iter().filter_map(unused).collect())
    }
}

/// The container whose network a container shares, read from the engine's name of that network.
pub(super) fn joined(network_mode: Option<&str>) -> Option<&str> {
    network_mode?.strip_prefix(JOINED)
}
