//! Confines a job's container: sets its network and rights, and removes variables that gpu hooks would read.

use protocol::Step;

use super::Containers;
use crate::ends::RunError;
use crate::engine::isolation::PendingStart;
use crate::engine::{ContainerSpec, Fault, ImageFacts, Job, JobLog, Mount, Prepared};

/// Beginnings of the names of variables that loaders and gpu runtime hooks read outside the container, with the rights of root.
const HOOK_PREFIXES: [&str; 2] = ["LD_", "NVIDIA_"];

impl Containers {
    /// Adds the isolation to a run, and removes variables that would break it.
    pub(super) async fn confine(&self, job: &Job<'_>, mut spec: ContainerSpec) -> Result<Prepared, RunError> {
        check_shm(&spec)?;
        let image = self.image_facts(&spec).await?;
        filter_env(&job.log, &image, &mut spec).await;
        spec.mounts.extend(spec.secrets.take());
        self.add_resolvers(job, &mut spec).await?;
        spec.has_init = self.init.is_given(&spec, &image);
        spec.confinement = self.isolation.confinement(&image).await.map_err(Fault::broken)?;
        let start = self.isolation.begin_start().await;
        if let Some(sandbox) = start.as_ref().and_then(PendingStart::sandbox) {
            spec.confinement.join(sandbox);
        }
        Ok(Prepared { spec, start })
    }

    async fn add_resolvers(&self, job: &Job<'_>, spec: &mut ContainerSpec) -> Result<(), RunError> {
        if let Some(text) = self.isolation.resolver_file() {
            let source = job.scratch.resolver_file();
            let written = tokio::fs::write(&source, text).await;
            written.map_err(|error| RunError::Host(format!("writing resolv.conf: {error}")))?;
            spec.mounts.push(Mount { source, target: "/etc/resolv.conf".to_owned(), is_read_only: true });
        }
        Ok(())
    }

    /// The image's settings, if the isolation depends on them.
    async fn image_facts(&self, spec: &ContainerSpec) -> Result<ImageFacts, RunError> {
        if self.init.needs_image() || self.isolation.needs_image_facts() || !spec.gpus.is_empty() {
            return self.docker.image_facts(&spec.image).await.map_err(Fault::broken);
        }
        Ok(ImageFacts::default())
    }

    /// Creates the container. If the engine turns out not to support a limit of the root file system, creates it without that limit.
    pub(super) async fn create_confined(&self, spec: &ContainerSpec) -> Result<String, Fault> {
        match self.docker.create(spec.clone()).await {
            // The message may quote the definition, so it proves nothing. An attempt without the limit shows whether the limit was the cause.
            Err(Fault::Refused { message, .. }) if spec.confinement.rootfs_bytes.is_some() => {
                let mut spec = spec.clone();
                spec.confinement.rootfs_bytes = None;
                let id = self.docker.create(spec).await?;
                if self.isolation.note_unbounded_rootfs() {
                    tracing::info!(%message, "the engine cannot limit the size of a root file system; the worker watches what jobs write instead");
                }
                Ok(id)
            }
            result => result,
        }
    }
}

/// Removes variables from a job with gpus, because the gpu hooks read them with the rights of root.
async fn filter_env(log: &JobLog, image: &ImageFacts, spec: &mut ContainerSpec) {
    if spec.gpus.is_empty() {
        return;
    }
    for name in take_hook_variables(&mut spec.env) {
        let line = format!("the environment variable {name} was removed, because this machine's gpu hooks would read it");
        log.error(Step::Running, line).await;
    }
    if image.env.iter().any(|line| line.starts_with("LD_PRELOAD=")) {
        spec.env.push("LD_PRELOAD=".to_owned());
        log.error(Step::Running, "LD_PRELOAD of the image was emptied, because this machine's gpu hooks would read it").await;
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
