//! Isolates a job's container: network, rights, secrets, and variables that must not reach it.

use std::io;
use std::os::unix::fs::PermissionsExt;

use protocol::{EndCode, Step};

use super::{RunError, Task, broken};
use crate::engine::isolation::{Containers, PendingStart};
use crate::engine::{ContainerSpec, Fault, ImageFacts, Mount};
use crate::run::log::Redactor;

/// Folder of a job's secrets in the container.
const SECRETS_FOLDER: &str = "/run/secrets";
/// Beginnings of variables that loaders and gpu runtime hooks read outside the container, with the rights of root.
const HOOK_PREFIXES: [&str; 2] = ["LD_", "NVIDIA_"];

/// The secrets of one job.
#[derive(Default)]
pub(super) struct Given {
    /// Names and values.
    env: Vec<(String, String)>,
    mount: Option<Mount>,
}

impl Task<'_> {
    /// Reads the secrets that the job asks for. From now on they are removed from its log.
    pub(super) async fn secrets(&self) -> Result<Given, RunError> {
        let Some(names) = self.parsed.definition.secrets.as_ref().filter(|names| !names.is_empty()) else {
            return Ok(Given::default());
        };
        let sources = &self.host.secrets;
        let mut values = Vec::new();
        for name in names {
            let Some(source) = sources.iter().find(|source| source.name == *name) else {
                let message = format!(
                    "the job asks for the secret {name}, which this worker does not have; the worker's owner can give it with --secret"
                );
                return Err(RunError::failed(EndCode::SecretMissing, Step::Running, message));
            };
            let value = source.read().map_err(|error| RunError::Host(format!("secret {name}: {error}")))?;
            values.push((name.clone(), value));
        }
        self.log.hide(Redactor::new(values.iter().map(|(_, value)| value.as_slice())));
        let folder = self.scratch.secrets();
        let written = {
            let (folder, values) = (folder.clone(), values.clone());
            tokio::task::spawn_blocking(move || write_files(&folder, &values))
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        written.map_err(|error| RunError::Host(format!("writing secrets: {error}")))?;
        // A value that a variable cannot contain is only in its file. The last newline of a file is not part of the value.
        let text = |value: Vec<u8>| String::from_utf8(value).ok().filter(|text| !text.contains('\0'));
        let env = values.into_iter().filter_map(|(name, value)| Some((name, text(value)?)));
        let env = env.map(|(name, value)| {
            (name, value.strip_suffix('\n').map_or(value.as_str(), |v| v.trim_end_matches('\r')).to_owned())
        });
        let mount = Mount { source: folder, target: SECRETS_FOLDER.to_owned(), is_read_only: true };
        Ok(Given { env: env.collect(), mount: Some(mount) })
    }

    /// Removes from the log the secrets that an earlier worker process gave the container.
    pub(super) async fn hide_given_secrets(&self) -> Result<(), RunError> {
        let folder = self.scratch.secrets();
        let values =
            tokio::task::spawn_blocking(move || read_files(&folder)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let values = values.map_err(|error| RunError::Host(format!("reading secrets: {error}")))?;
        if !values.is_empty() {
            self.log.hide(Redactor::new(values.iter().map(Vec::as_slice)));
        }
        Ok(())
    }

    /// Adds the job's secrets and its isolation to a run, and removes variables that would break the isolation. Returns the pending
    /// start, for containers.
    pub(super) async fn confine(&self, spec: &mut ContainerSpec, given: Given) -> Result<Option<PendingStart>, RunError> {
        let mut start = None;
        if let Some(containers) = &self.host.containers {
            check_shm(spec)?;
            let image = self.image_facts(containers, spec).await?;
            self.filter_env(&image, spec).await;
            spec.mounts.extend(given.mount);
            self.add_resolvers(containers, spec).await?;
            spec.has_init = self.host.init.is_given(spec, &image);
            spec.confinement = containers.isolation.confinement(&image).await.map_err(broken)?;
            start = containers.isolation.begin_start().await;
            if let Some(sandbox) = start.as_ref().and_then(PendingStart::sandbox) {
                spec.confinement.join(sandbox);
            }
        }
        for (name, value) in given.env {
            spec.env.retain(|line| line.split_once('=').is_none_or(|(other, _)| other != name));
            spec.env.push(format!("{name}={value}"));
        }
        Ok(start)
    }

    /// Checks the network while the inputs and the image are prepared. If they take long, the network is checked again later.
    pub(super) async fn see_network(&self) -> Result<(), RunError> {
        match &self.host.containers {
            Some(containers) => containers.isolation.network().await.map(|_| ()).map_err(broken),
            None => Ok(()),
        }
    }

    async fn add_resolvers(&self, containers: &Containers, spec: &mut ContainerSpec) -> Result<(), RunError> {
        if let Some(text) = containers.isolation.resolver_file() {
            let source = self.scratch.resolver_file();
            let written = tokio::fs::write(&source, text).await;
            written.map_err(|error| RunError::Host(format!("writing resolv.conf: {error}")))?;
            spec.mounts.push(Mount { source, target: "/etc/resolv.conf".to_owned(), is_read_only: true });
        }
        Ok(())
    }

    /// The image's settings, if the isolation depends on them.
    async fn image_facts(&self, containers: &Containers, spec: &ContainerSpec) -> Result<ImageFacts, RunError> {
        if self.host.init.needs_image() || containers.isolation.needs_image_facts() || !spec.gpus.is_empty() {
            return containers.docker.image_facts(&spec.image).await.map_err(broken);
        }
        Ok(ImageFacts::default())
    }

    /// Removes variables from a job with gpus, because the gpu hooks read them with the rights of root.
    async fn filter_env(&self, image: &ImageFacts, spec: &mut ContainerSpec) {
        if spec.gpus.is_empty() {
            return;
        }
        for name in take_hook_variables(&mut spec.env) {
            let line = format!("the environment variable {name} was removed, because this machine's gpu hooks would read it");
            self.log.error(Step::Running, line).await;
        }
        if image.env.iter().any(|line| line.starts_with("LD_PRELOAD=")) {
            spec.env.push("LD_PRELOAD=".to_owned());
            self.log
                .error(Step::Running, "LD_PRELOAD of the image was emptied, because this machine's gpu hooks would read it")
                .await;
        }
    }

    /// Creates the run. If the engine turns out not to support a limit of the root file system, creates it without that limit.
    pub(super) async fn create(&self, mut spec: ContainerSpec) -> Result<String, Fault> {
        let Some(containers) = self.host.containers.as_ref().filter(|_| spec.confinement.rootfs_bytes.is_some()) else {
            return self.host.executor.create(spec).await;
        };
        match self.host.executor.create(spec.clone()).await {
            // The message may quote the definition, so it proves nothing. An attempt without the limit shows whether the limit was the cause.
            Err(Fault::Refused { message, .. }) => {
                spec.confinement.rootfs_bytes = None;
                let id = self.host.executor.create(spec).await?;
                if containers.isolation.note_unbounded_rootfs() {
                    tracing::info!(%message, "the engine cannot limit the size of a root file system; the worker watches what jobs write instead");
                }
                Ok(id)
            }
            result => result,
        }
    }
}

fn check_shm(spec: &ContainerSpec) -> Result<(), RunError> {
    let Some(shm) = spec.shm_bytes.filter(|shm| *shm > spec.memory_bytes) else { return Ok(()) };
    let [shm, memory] = [shm, spec.memory_bytes].map(|bytes| bytes / 1024 / 1024);
    let message = format!(
        "shmSize is {shm} MiB, which is more than the job's memory of {memory} MiB that it is part of; lower shmSize or raise requirements.memory"
    );
    Err(RunError::job(Step::Running, message))
}

/// Removes the variables that gpu hooks read, and returns their names.
fn take_hook_variables(env: &mut Vec<String>) -> Vec<String> {
    let name_of = |line: &str| line.split_once('=').map_or(line, |(name, _)| name).to_owned();
    let is_ours = |line: &str| line.starts_with("NVIDIA_VISIBLE_DEVICES=");
    let reaches_hooks = |line: &str| HOOK_PREFIXES.iter().any(|prefix| line.starts_with(prefix)) && !is_ours(line);
    let (dropped, kept): (Vec<_>, Vec<_>) = std::mem::take(env).into_iter().partition(|line| reaches_hooks(line));
    *env = kept;
    dropped.iter().map(|line| name_of(line)).collect()
}

fn read_files(folder: &std::path::Path) -> io::Result<Vec<Vec<u8>>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| std::fs::read(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes files that every user of the container can read. The data directory keeps other users of this machine out.
fn write_files(folder: &std::path::Path, values: &[(String, Vec<u8>)]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    for (name, value) in values {
        let path = folder.join(name);
        std::fs::write(&path, value)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_reach_gpu_hooks_are_taken_out() {
        let mut env = ["A=LD_x", "LD_PRELOAD=/x.so", "NVIDIA_VISIBLE_DEVICES=3", "NVIDIA_DRIVER=x", "OLD_X=1", "LD_AUDIT="]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(take_hook_variables(&mut env), ["LD_PRELOAD", "NVIDIA_DRIVER", "LD_AUDIT"]);
        assert_eq!(env, ["A=LD_x", "NVIDIA_VISIBLE_DEVICES=3", "OLD_X=1"]);
    }
}
