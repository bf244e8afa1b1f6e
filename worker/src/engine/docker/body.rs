//! The request for a container.

use bollard::models::{ContainerCreateBody, DeviceRequest, HostConfig, HostConfigLogConfig, Mount as BollardMount, MountType};

use super::{confine, sandbox};
use crate::engine::{ContainerSpec, Mount};
use crate::labels::LABEL_JOINED;

pub(super) fn container_body(mut spec: ContainerSpec, machine_cpus: f64) -> ContainerCreateBody {
    if let Some(sandbox) = sandbox::joined(Some(&spec.confinement.network)) {
        spec.labels.insert(LABEL_JOINED.to_owned(), sandbox.to_owned());
    }
    let mut host_config = host_config(&spec, machine_cpus);
    confine::confine(&spec.confinement, &mut host_config);
    ContainerCreateBody {
        image: Some(spec.image),
        entrypoint: spec.entrypoint,
        cmd: spec.command,
        working_dir: spec.workdir,
        user: spec.confinement.user,
        env: Some(spec.env),
        labels: Some(spec.labels),
        attach_stdin: Some(false),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &ContainerSpec, machine_cpus: f64) -> HostConfig {
    let memory = i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX);
    HostConfig {
        // The engine refuses more cpus than the machine has, and takes 0 as no limit.
        nano_cpus: Some(nano(spec.cpus.clamp(0.01, machine_cpus))),
        memory: Some(memory),
        memory_swap: Some(memory),
        init: Some(spec.has_init),
        log_config: Some(record()),
        mounts: Some(spec.mounts.iter().map(bind).collect()),
        shm_size: spec.shm_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        device_requests: (!spec.gpus.is_empty()).then(|| vec![device_request(&spec.gpus)]),
        ..HostConfig::default()
    }
}

/// Settings of the engine's record of the output.
fn record() -> HostConfigLogConfig {
    let options = [("max-size", "32m"), ("max-file", "2")];
    let config = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(config) }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded by the cpus of a machine")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9) as i64
}

fn bind(mount: &Mount) -> BollardMount {
    BollardMount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.to_string_lossy().into_owned()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.is_read_only),
        ..BollardMount::default()
    }
}

fn device_request(gpus: &[String]) -> DeviceRequest {
    DeviceRequest {
        driver: Some(String::new()),
        device_ids: Some(gpus.to_vec()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}
