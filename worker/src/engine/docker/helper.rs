//! Runs the worker's helper (`helper/main.rs`), which does what must be done inside a container or as root of a container.
//!
//! A helper's container has the label of an unused sandbox, so the next start removes it after a crash.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::CreateContainerOptions;

use super::Docker;
use super::body::container_body;
use crate::engine::{Confinement, ContainerSpec, Fault, Mount};

/// Path of the helper in the image.
pub(super) const PROGRAM: &str = "/helper";
/// The helper's program. Empty when there is no helper for this worker's architecture.
pub(super) const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/helper"));
/// Longest run of the helper with its container. It is long, because the engine may be busy with starting jobs.
const TIMEOUT: Duration = Duration::from_mins(2);
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the helper runs on an architecture, named as the engine names it.
pub(super) fn is_for(architecture: &str) -> bool {
    let own = std::env::consts::ARCH;
    let is_own = architecture == own || matches!((architecture, own), ("amd64", "x86_64") | ("arm64", "aarch64"));
    is_own && !BYTES.is_empty()
}

/// One run of the helper. A member that is None or empty adds nothing to the engine's default. Even without `confinement`, the container
/// has no network and no capabilities.
#[derive(Clone, Debug, Default)]
pub(crate) struct HelperSpec {
    pub(crate) arguments: Vec<String>,
    pub(crate) mounts: Vec<Mount>,
    /// Cpus, and bytes of memory.
    pub(crate) limits: Option<(f64, u64)>,
    pub(crate) confinement: Option<Confinement>,
    pub(crate) gpus: Vec<String>,
    pub(crate) has_init: bool,
    pub(crate) labels: HashMap<String, String>,
}

/// How a run of the helper ended, and the settings of its container as the engine reports them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Helped {
    pub(crate) exit_code: i64,
    pub(crate) memory_bytes: i64,
    pub(crate) nano_cpus: i64,
    pub(crate) pids: i64,
    /// Warnings of the engine.
    pub(crate) warnings: Vec<String>,
}

impl Docker {
    /// Whether containers of this engine can run the helper.
    pub(crate) fn has_helper(&self) -> bool {
        is_for(&self.architecture)
    }

    /// Runs the helper to its end and removes its container.
    pub(crate) async fn help(&self, spec: &HelperSpec) -> Result<Helped, Fault> {
        let run = async {
            self.ensure_sandbox_image().await?;
            match self.help_once(spec).await {
                // Another worker has removed the image at its end in the meantime.
                Err(_) if self.image_id(&self.own_image()).await?.is_none() => {
                    self.ensure_sandbox_image().await?;
                    self.help_once(spec).await
                }
                result => result,
            }
        };
        let is_late = |_| Fault::Host(format!("the engine did not run a container within {} s", TIMEOUT.as_secs()));
        tokio::time::timeout(TIMEOUT, run).await.map_err(is_late)?
    }

    async fn help_once(&self, spec: &HelperSpec) -> Result<Helped, Fault> {
        let created =
            self.client.create_container(None::<CreateContainerOptions>, self.dialect.adapt(self.helper_body(spec))).await?;
        let ended = async {
            self.start(&created.id).await?;
            self.wait(&created.id).await?;
            self.inspect(&created.id).await
        };
        let ended = ended.await;
        match tokio::time::timeout(REMOVAL_TIMEOUT, self.remove_one(&created.id)).await {
            Ok(Ok(())) => (),
            removed => tracing::debug!(?removed, "cannot remove the container of a helper yet; it stays until the worker ends"),
        }
        Ok(helped(ended?, created.warnings))
    }

    fn helper_body(&self, spec: &HelperSpec) -> ContainerCreateBody {
        let (cpus, memory_bytes) = spec.limits.unwrap_or((1.0, 0));
        let no_network = || Confinement { network: "none".to_owned(), pids: 64, ..Confinement::default() };
        let mut body = container_body(
            ContainerSpec {
                image: self.own_image().to_string(),
                entrypoint: Some(vec![PROGRAM.to_owned()]),
                command: Some(spec.arguments.clone()),
                workdir: None,
                env: Vec::new(),
                mounts: spec.mounts.clone(),
                cpus,
                memory_bytes,
                shm_bytes: None,
                gpus: spec.gpus.clone(),
                secrets: None,
                has_init: spec.has_init,
                labels: spec.labels.clone(),
                confinement: spec.confinement.clone().unwrap_or_else(no_network),
            },
            f64::from(self.cpus),
        );
        if let Some(config) = body.host_config.as_mut() {
            if spec.limits.is_none() {
                (config.nano_cpus, config.memory, config.memory_swap) = (None, None, None);
            }
            if spec.confinement.is_none() {
                (config.pids_limit, config.ulimits, config.log_config) = (None, None, None);
            }
        }
        body
    }
}

fn helped(ended: ContainerInspectResponse, warnings: Vec<String>) -> Helped {
    let config = ended.host_config.unwrap_or_default();
    Helped {
        exit_code: ended.state.and_then(|state| state.exit_code).unwrap_or(-1),
        memory_bytes: config.memory.unwrap_or(0),
        nano_cpus: config.nano_cpus.unwrap_or(0),
        pids: config.pids_limit.unwrap_or(0),
        warnings,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn help(arguments: &[&str]) -> Option<i32> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helper");
        std::fs::write(&path, BYTES).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Command::new(&path).args(arguments).status().unwrap().code()
    }

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn it_copies_files_and_reports_whether_reading_or_writing_failed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("a"), "x".repeat(10_000)).unwrap();
        assert_eq!(help(&["copy", &at("a"), &at("b"), "/nowhere", &at("c"), "/proc/self/stat", &at("d")]), Some(0));
        assert_eq!(std::fs::read_to_string(at("b")).unwrap().len(), 10_000);
        assert!(!Path::new(&at("c")).exists() && std::fs::read_to_string(at("d")).unwrap().contains("(helper)"));
        assert_eq!(help(&["copy", "/nowhere", &at("c")]), Some(3));
        assert_eq!(help(&["copy", &at("a"), "/nowhere/c"]), Some(4));
        assert_eq!((help(&["copy", &at("a")]), help(&["other"]), help(&[])), (Some(2), Some(2), Some(2)));
    }

    #[test]
    fn it_opens_what_is_below_a_folder_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let set = |name: &str, mode| std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::create_dir_all(at("in/a/b")).unwrap();
        for name in ["in/a/b/file", "in/program", "outside"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(at("outside"), at("in/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("in/socket")).unwrap();
        for (name, mode) in [("in/a/b/file", 0o000), ("in/program", 0o4711), ("outside", 0o600), ("in/a/b", 0), ("in/a", 0o1700)]
        {
            set(name, mode);
        }
        assert_eq!(help(&["open", at("in").to_str().unwrap()]), Some(0));
        let modes = ["in", "in/a", "in/a/b", "in/a/b/file", "in/program", "outside"].map(|name| mode(&at(name)));
        assert_eq!(modes, [0o777, 0o777, 0o777, 0o666, 0o777, 0o600]);
        assert_eq!(help(&["open", at("in/link").to_str().unwrap()]), Some(5));
    }

    #[test]
    fn folders_as_deep_as_a_path_can_be_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let deepest = folder.path().join("d/".repeat(900));
        std::fs::create_dir_all(&deepest).unwrap();
        std::fs::set_permissions(&deepest, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(help(&["open", folder.path().to_str().unwrap()]), Some(0));
        assert_eq!(mode(&deepest), 0o777);
    }
}
