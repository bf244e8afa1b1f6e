//! Calls only for Podman. Its own API can choose the name of a network's bridge, which its copy of Docker's API ignores. Its description
//! shows whether it runs without root.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Docker;
use super::plain::Plain;
use crate::engine::{Fault, NetworkSpec};

/// Base path of Podman's own API, with the oldest API version that both Podman 4 and 5 serve.
const BASE: &str = "/v4.0.0/libpod";

#[derive(Debug, Deserialize)]
struct FoundNetwork {
    network_interface: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rights {
    rootless: bool,
}

/// Whether Podman runs without root. The Docker engine reports that among its security options, and Podman in a member of its own.
pub(super) async fn is_rootless() -> Result<bool, Fault> {
    let rights: Rights = Plain::new("the engine's description", Method::GET, "/info", &[])?.send().await?;
    Ok(rights.rootless)
}

impl Docker {
    /// Makes a network. Its containers use the name servers of the machine, because a name server of Podman would reveal to a job the names
    /// of its neighbours.
    pub(super) async fn create_podman_network(&self, network: &NetworkSpec) -> Result<(), Fault> {
        let body = json!({
            "name": network.name,
            "driver": "bridge",
            "network_interface": network.bridge,
            "ipv6_enabled": false,
            "dns_enabled": false,
            "labels": network.labels,
        });
        let path = format!("{BASE}/networks/create");
        Plain::new("the network of jobs", Method::POST, &path, &[])?.json(&body).send::<Value>().await.map(|_| ())
    }

    /// Whether a network's bridge has the name that was asked for.
    pub(super) async fn has_podman_bridge(&self, network: &NetworkSpec) -> Result<bool, Fault> {
        let path = format!("{BASE}/networks/{}/json", network.name);
        let found: FoundNetwork = Plain::new("the network of jobs", Method::GET, &path, &[])?.send().await?;
        Ok(found.network_interface.as_deref() == Some(&network.bridge))
    }
}
