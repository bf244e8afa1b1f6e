//! Definitions: what a client asks to run.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::duration::Duration;
use crate::name::{JobId, Namespace};

/// A container job: an image or how to build one, the command to run in it, and its files.
///
/// Asman ignores other members and keeps them in the stored text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", default)]
pub struct Definition {
    /// Image reference, such as `python:3.12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How to build an image instead. An empty block counts as none, also in the job's id.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "filled_build")]
    pub build: Option<Build>,
    /// Command line, split by shell quoting rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Entrypoint, split in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    /// Working directory in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Environment variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(as = "Option<BTreeMap<String, String>>"))]
    pub env: Option<BTreeMap<String, Value>>,
    /// Size of `/dev/shm`, such as `1g`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
    pub shm_size: Option<Value>,
    /// Files below `/inputs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BTreeMap<String, DataRef>>,
    /// Files below `/inputs`, or anywhere in the container if the name is absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_files: Option<BTreeMap<String, DataRef>>,
    /// Names of secrets that the worker must have. The job gets them as environment variables and in `/run/secrets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// Longest run, such as `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
    pub max_duration: Option<Value>,
    /// Tags. Only a worker with all of them may claim the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Capacity that the job needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
}

/// How to build an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", default)]
pub struct Build {
    /// Git or archive URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Folder inside the context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_context: Option<String>,
    /// Name of the Dockerfile inside the context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Stage to build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The Dockerfile's own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// Build arguments, each as `NAME=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_args: Option<Vec<String>>,
    /// Platform to build for, such as `linux/amd64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

fn filled_build<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Build>, D::Error> {
    Ok(Option::deserialize(deserializer)?.filter(|build| *build != Build::default()))
}

/// Capacity that a job takes from its worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", default)]
pub struct Requirements {
    /// Cpus, fractions allowed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plain_number_or_none")]
    pub cpus: Option<f64>,
    /// Whole gpus.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plain_number_or_none")]
    pub gpus: Option<f64>,
    /// Memory, such as `4g`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
    pub memory: Option<Value>,
    /// A worker that allows only shorter runs does not get the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
    pub max_duration: Option<Value>,
}

/// From here on, doubles cannot represent every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Writes a number as JavaScript does: `4` and not `4.0`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
pub(crate) fn plain_number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "a whole number within these bounds is one of i64")]
    if number.fract() == 0.0 && number.abs() < WHOLE_MAX {
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f64(*number)
    }
}

/// Writes a number that may be absent, as [`plain_number`] does.
#[expect(clippy::ref_option, reason = "serde gives it so")]
pub(crate) fn plain_number_or_none<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => plain_number(number, serializer),
        None => serializer.serialize_none(),
    }
}

/// A value, or where to get it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct DataRef {
    /// Text, JSON, a URL or a key of `/f`, as `type` says.
    #[cfg_attr(feature = "typescript", ts(type = "unknown"))]
    pub value: Value,
    /// How to read `value`; absent means UTF-8 text.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<DataRefType>,
    /// SHA-256 of the content, as the client claims. It is only a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// How a data ref's value is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum DataRefType {
    /// Base64 of the bytes.
    Base64,
    /// URL of the bytes.
    Url,
    /// The text itself.
    #[default]
    Utf8,
    /// Any JSON value; its text is the bytes.
    Json,
    /// Key of `/f`.
    Key,
}

/// Wishes of the submitter besides the work itself. They are not part of the job id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", default)]
pub struct Control {
    /// Namespace that keeps the job alive. Absent means `_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Longest run, in addition to the limit of the definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Duration>,
    /// URLs to notify.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callbacks: Option<Callbacks>,
    /// Run the job again, even if it has a result. This does not change a job that waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<bool>,
}

/// URLs to notify about a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(default)]
pub struct Callbacks {
    /// Notified when the job is queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<Callback>,
    /// Notified when the job has ended in any way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Callback>,
}

/// One URL to notify.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct Callback {
    /// The URL that gets a POST, `http` or `https`.
    pub url: String,
    /// A value that the POST repeats as `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(type = "unknown"))]
    pub payload: Option<Value>,
}

/// Body of a submission.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct EnqueueJob {
    /// Id that the client chooses. Absent means the hash of the definition. The hash by the older rule stands for the same job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// The definition's text, byte for byte.
    #[cfg_attr(feature = "openapi", schema(value_type = Definition))]
    #[cfg_attr(feature = "typescript", ts(as = "Definition"))]
    pub definition: Box<RawValue>,
    /// How to queue it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// Asks the worker for a more detailed log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<bool>,
}
