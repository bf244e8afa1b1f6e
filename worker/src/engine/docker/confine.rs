//! The engine's calls for isolation: networks, runtimes, a container's rights and its use of resources.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use bollard::models::{ContainerInspectResponse, EndpointResource, HostConfig, NetworkCreateRequest, SystemInfo, SystemVersion};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder, StatsOptionsBuilder};
use futures_util::StreamExt;

use super::dialect::{Dialect, files_max, ulimit};
use super::{Bollard, Docker};
use crate::engine::{Confinement, ContainerLocation, EngineFacts, Fault, ImageFacts, NetworkSpec, WorkerNetwork};
use crate::labels::{LABEL_LOCK, LABEL_OWNER};

const CONTAINER_ID_CHARS: usize = 64;

/// Adds the settings that isolate a container from its machine.
pub(super) fn confine(confinement: &Confinement, config: &mut HostConfig) {
    config.runtime.clone_from(&confinement.runtime);
    config.network_mode = Some(confinement.network.clone());
    config.dns = (!confinement.dns.is_empty()).then(|| confinement.dns.clone());
    config.pids_limit = Some(i64::from(confinement.pids));
    config.cap_drop = Some(vec!["ALL".to_owned()]);
    config.cap_add = Some(confinement.capabilities.clone());
    config.security_opt = Some(vec!["no-new-privileges".to_owned()]);
    config.privileged = Some(false);
    config.ulimits = Some(vec![ulimit("nofile", files_max()), ulimit("core", 0)]);
    if confinement.is_read_only {
        config.readonly_rootfs = Some(true);
        // The files in `/tmp` count as the job's memory, which has a limit already.
        config.tmpfs = Some(HashMap::from([("/tmp".to_owned(), "rw,exec,nosuid,nodev,mode=1777".to_owned())]));
    }
    config.storage_opt = confinement.rootfs_bytes.map(|bytes| HashMap::from([("size".to_owned(), bytes.to_string())]));
}

/// What the engine reports about itself.
pub(super) fn facts(dialect: &Dialect, info: SystemInfo, version: SystemVersion) -> EngineFacts {
    let versions = dialect.parts(version);
    EngineFacts {
        name: dialect.to_string(),
        noun: dialect.noun(),
        takes_runtime: dialect.takes_runtime(),
        has_user_namespaces: dialect.is_rootless() || has_user_namespaces(&info),
        may_bound_rootfs: may_bound_rootfs(&info),
        runtimes: info.runtimes.unwrap_or_default().into_keys().collect(),
        default_runtime: dialect.runtime_program(info.default_runtime.unwrap_or_default(), &versions),
        versions,
    }
}

impl Docker {
    /// Makes a network without traffic between its containers, unless it exists. Returns whether it was made.
    pub(crate) async fn ensure_network(&self, network: &NetworkSpec) -> Result<bool, Fault> {
        match self.client.inspect_network(&network.name, None::<InspectNetworkOptions>).await {
            Ok(_) => return Ok(false),
            Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => (),
            Err(error) => return Err(error.into()),
        }
        if self.dialect.has_libpod() {
            return self.create_podman_network(network).await.map(|()| true);
        }
        let options = bridge_options(network);
        let request = NetworkCreateRequest {
            name: network.name.clone(),
            driver: Some("bridge".to_owned()),
            enable_ipv6: Some(false),
            options: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            labels: Some(network.labels.clone()),
            ..NetworkCreateRequest::default()
        };
        self.client.create_network(request).await?;
        Ok(true)
    }

    /// Whether a network has its own bridge and no traffic between its containers. An engine may ignore options that it does not know.
    pub(crate) async fn is_bridge_as_asked(&self, network: &NetworkSpec) -> Result<bool, Fault> {
        if self.dialect.has_libpod() {
            return self.has_podman_bridge(network).await;
        }
        let found = self.client.inspect_network(&network.name, None::<InspectNetworkOptions>).await?;
        let options = found.options.unwrap_or_default();
        Ok(bridge_options(network).iter().all(|(name, value)| options.get(*name).is_some_and(|found| found == value)))
    }

    /// Interface of the engine's default bridge, and the addresses of the containers on it. The steps of builds are on the bridge too. The
    /// result leaves them out, which the shorter length of their ids makes possible.
    pub(crate) async fn default_bridge(&self) -> Result<(String, Vec<Ipv4Addr>), Fault> {
        let found = self.client.inspect_network("bridge", None::<InspectNetworkOptions>).await?;
        let name = found.options.unwrap_or_default().remove("com.docker.network.bridge.name");
        let containers = found.containers.unwrap_or_default().into_iter().filter(|(id, _)| id.len() == CONTAINER_ID_CHARS);
        let address = |container: EndpointResource| container.ipv4_address?.split('/').next()?.parse().ok();
        Ok((name.unwrap_or_else(|| "docker0".to_owned()), containers.filter_map(|(_, container)| address(container)).collect()))
    }

    /// The networks of all workers.
    pub(crate) async fn worker_networks(&self) -> Result<Vec<WorkerNetwork>, Fault> {
        let filters = HashMap::from([("label".to_owned(), vec![LABEL_LOCK.to_owned()])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let found = self.client.list_networks(Some(options)).await?.into_iter();
        let network = |network: bollard::models::Network| {
            let owner = network.labels.and_then(|mut labels| labels.remove(LABEL_OWNER));
            let created = network.created.map_or(i64::MAX, time::OffsetDateTime::unix_timestamp);
            Some(WorkerNetwork { name: network.name?, owner, created })
        };
        Ok(found.filter_map(network).collect())
    }

    /// Removes a network. Returns false when containers still use it.
    pub(crate) async fn remove_network(&self, name: &str) -> Result<bool, Fault> {
        match self.client.remove_network(name).await {
            Ok(()) | Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(true),
            Err(Bollard::DockerResponseServerError { status_code, .. }) if self.dialect.is_network_in_use(status_code) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The settings of a present image for its containers.
    pub(crate) async fn image_facts(&self, id: &str) -> Result<ImageFacts, Fault> {
        let config = self.client.inspect_image(id).await?.config.unwrap_or_default();
        Ok(ImageFacts {
            user: config.user.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
        })
    }

    /// The process and folders of a running container.
    pub(crate) async fn location(&self, id: &str) -> Result<ContainerLocation, Fault> {
        let found = self.inspect(id).await?;
        let upper = |found: &ContainerInspectResponse| Some(PathBuf::from(found.graph_driver.as_ref()?.data.get("UpperDir")?));
        let rootfs = upper(&found);
        let pid = found.state.as_ref().and_then(|state| state.pid).unwrap_or(0);
        let mounts = found.mounts.unwrap_or_default().into_iter();
        let volumes = mounts.filter(|mount| mount.typ.as_deref() == Some("volume"));
        Ok(ContainerLocation { pid, rootfs, volumes: volumes.filter_map(|mount| mount.source).map(PathBuf::from).collect() })
    }

    /// Bytes that a container changed in its root file system. The engine reads every file to count them.
    pub(crate) async fn rootfs_bytes(&self, id: &str) -> Result<u64, Fault> {
        let found = self.inspect_with(id, true).await?;
        Ok(found.size_rw.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }

    /// How many processes and threads a container has.
    pub(crate) async fn pids(&self, id: &str) -> Result<u64, Fault> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut answers = std::pin::pin!(self.client.stats(id, Some(options)));
        let answer = answers.next().await.transpose()?;
        Ok(answer.and_then(|stats| stats.pids_stats).and_then(|pids| pids.current).unwrap_or(0))
    }
}

fn bridge_options(network: &NetworkSpec) -> [(&'static str, &str); 2] {
    [("com.docker.network.bridge.enable_icc", "false"), ("com.docker.network.bridge.name", &network.bridge)]
}

/// Whether the engine uses `userns-remap` or does not run as root.
fn has_user_namespaces(info: &SystemInfo) -> bool {
    let options = info.security_options.as_deref().unwrap_or_default();
    options.iter().any(|option| option.contains("name=userns") || option.contains("name=rootless"))
}

/// Whether the storage may limit a root file system. overlay2 can do so only on xfs that is mounted with `pquota`, but the engine does
/// not report how xfs is mounted.
fn may_bound_rootfs(info: &SystemInfo) -> bool {
    let status = info.driver_status.as_deref().unwrap_or_default();
    let is_on_xfs =
        status.iter().any(|pair| matches!(pair.as_slice(), [name, value] if name == "Backing Filesystem" && value == "xfs"));
    match info.driver.as_deref() {
        Some("btrfs" | "zfs") => true,
        Some("overlay2") => is_on_xfs,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_root_file_system_is_tried_where_the_storage_may_support_it() {
        let info = |driver: &str, backing: &str| SystemInfo {
            driver: Some(driver.to_owned()),
            driver_status: Some(vec![vec!["Backing Filesystem".to_owned(), backing.to_owned()]]),
            ..SystemInfo::default()
        };
        assert!(may_bound_rootfs(&info("overlay2", "xfs")) && may_bound_rootfs(&info("zfs", "")));
        assert!(!may_bound_rootfs(&info("overlay2", "extfs")) && !may_bound_rootfs(&info("overlayfs", "xfs")));
    }
}
