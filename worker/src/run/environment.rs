//! The environment variables of a job's container: those of its definition, and those that describe the job.

use std::collections::BTreeMap;

use protocol::{Definition, JobId};
use serde_json::Value;

use crate::api::Api;
use crate::engine::Places;

/// Names of the variables that describe a job to its own program.
pub(super) const GIVEN: [&str; 9] = [
    "JOB_ID",
    "JOB_INPUTS",
    "JOB_OUTPUTS",
    "JOB_CACHE",
    "JOB_URL_PREFIX",
    "JOB_INPUTS_URL_PREFIX",
    "JOB_OUTPUTS_URL_PREFIX",
    "NVIDIA_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES",
];

/// The variables as `NAME=value`. Those that describe the job win over those of its definition.
pub(super) fn environment(definition: &Definition, api: &Api, job: &JobId, gpus: &[String], folders: Places) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let own = definition.env.iter().flatten().map(|(name, value)| (name.clone(), text(value)));
    let mut all: BTreeMap<String, String> = own.collect();
    let prefix = api.url(&["j", job.as_str()]);
    let given = [
        ("JOB_ID", job.to_string()),
        ("JOB_INPUTS", folders.inputs),
        ("JOB_OUTPUTS", folders.outputs),
        ("JOB_CACHE", folders.cache),
        ("JOB_URL_PREFIX", prefix.to_string()),
        ("JOB_INPUTS_URL_PREFIX", format!("{prefix}/inputs/")),
        ("JOB_OUTPUTS_URL_PREFIX", format!("{prefix}/outputs/")),
    ];
    all.extend(given.map(|(name, value)| (name.to_owned(), value)));
    // If the gpu runtime is the engine's default, it reads this variable, and many images set it to all gpus.
    let given = if gpus.is_empty() { "void".to_owned() } else { gpus.join(",") };
    all.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), given);
    if !gpus.is_empty() {
        // Inside the container the devices are numbered from 0, whatever their numbers outside are.
        let visible: Vec<_> = (0..gpus.len()).map(|index| index.to_string()).collect();
        all.insert("CUDA_VISIBLE_DEVICES".to_owned(), visible.join(","));
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_numbered_from_zero_inside() {
        let api = Api::new("http://host", None).unwrap();
        let job = "a b".parse().unwrap();
        let folders = Places::default;
        let all = environment(&Definition::default(), &api, &job, &["3".to_owned(), "GPU-a".to_owned()], folders());
        assert!(all.contains(&"CUDA_VISIBLE_DEVICES=0,1".to_owned()));
        assert!(all.contains(&"JOB_URL_PREFIX=http://host/j/a%20b".to_owned()));
        assert!(all.contains(&"NVIDIA_VISIBLE_DEVICES=3,GPU-a".to_owned()));
        let env = [("NVIDIA_VISIBLE_DEVICES".to_owned(), "all".into())];
        let asks_for_all = Definition { env: Some(env.into()), ..Definition::default() };
        let none = environment(&asks_for_all, &api, &job, &[], folders());
        assert!(!none.iter().any(|line| line.starts_with("CUDA")));
        assert!(none.contains(&"NVIDIA_VISIBLE_DEVICES=void".to_owned()));
    }
}
