//! A bare round trip through the Docker engine, and the image that it and the jobs use.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// An image with one static busybox, as `true`, `sleep` and `sh`.
pub(crate) const IMAGE: &str = "asman-bench:busybox";
const NETWORK: &str = "asman-bench";

/// A client that calls the engine's API directly.
#[derive(Debug)]
pub(crate) struct Engine {
    http: Client,
}

impl Engine {
    /// Connects to the local socket, and makes the image if the engine does not have it.
    pub(crate) async fn connect() -> Result<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let socket = host.strip_prefix("unix://").context("DOCKER_HOST must be a unix socket here")?;
        let engine = Self { http: Client::builder().unix_socket(socket).build()? };
        if engine.call(Method::GET, &format!("/images/{IMAGE}/json"), None).await.is_err() {
            worker::import_image(IMAGE, rootfs()?).await?;
        }
        Ok(engine)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request = self.http.request(method, format!("http://engine{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "the engine answers {path} with {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Settings like those that a worker gives a job's container: a network of its own, limits, folders, a record of the output. The
    /// container's rights are left out, because they cost no time.
    pub(crate) async fn settings_of_a_job(&self, folder: &Path) -> Result<Value> {
        let network =
            json!({ "Name": NETWORK, "Driver": "bridge", "Options": { "com.docker.network.bridge.enable_icc": "false" } });
        if self.call(Method::GET, &format!("/networks/{NETWORK}"), None).await.is_err() {
            self.call(Method::POST, "/networks/create", Some(&network)).await?;
        }
        let mut mounts = Vec::new();
        for name in ["inputs", "outputs", "job-cache"] {
            let source = folder.join(name);
            std::fs::create_dir_all(&source)?;
            mounts.push(json!({ "Type": "bind", "Source": source, "Target": format!("/{name}"), "ReadOnly": name == "inputs" }));
        }
        Ok(json!({
            "NetworkMode": NETWORK, "Mounts": mounts, "Init": true, "NanoCpus": 1_000_000_000, "Memory": 1_u64 << 30,
            "MemorySwap": 1_u64 << 30, "PidsLimit": 1024,
            "LogConfig": { "Type": "json-file", "Config": { "max-size": "32m", "max-file": "2" } },
        }))
    }

    /// Removes the network of [`Self::settings_of_a_job`].
    pub(crate) async fn remove_network(&self) -> Result<()> {
        self.call(Method::DELETE, &format!("/networks/{NETWORK}"), None).await.map(|_| ())
    }

    /// Creates a container of the image, starts it and waits for its end. Then it calls `done`, and removes the container last.
    pub(crate) async fn round_trip(&self, command: &[&str], settings: &Value, done: impl FnOnce()) -> Result<()> {
        let body = json!({ "Image": IMAGE, "Cmd": command, "HostConfig": settings });
        let created = self.call(Method::POST, "/containers/create", Some(&body)).await?;
        let id = created["Id"].as_str().context("a container has an id")?;
        self.call(Method::POST, &format!("/containers/{id}/start"), None).await?;
        self.call(Method::POST, &format!("/containers/{id}/wait"), None).await?;
        done();
        self.call(Method::DELETE, &format!("/containers/{id}?force=1&v=1"), None).await?;
        Ok(())
    }
}

fn rootfs() -> Result<Vec<u8>> {
    let places = ["/bin/busybox", "/usr/bin/busybox"];
    let busybox = places.iter().map(Path::new).find(|path| path.exists()).context("no busybox; install busybox-static")?;
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_path_with_name(busybox, "bin/busybox")?;
    for tool in ["true", "sleep", "sh"] {
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        link.set_mode(0o777);
        tar.append_link(&mut link, format!("bin/{tool}"), "busybox")?;
    }
    Ok(tar.into_inner()?)
}
