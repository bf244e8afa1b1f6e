//! Builds the definition of a job from the arguments of a call: a whole definition, short forms of common members, or both.

use std::collections::BTreeMap;

use protocol::{Control, EnqueueJob, JobId, Namespace, ParsedDefinition, QueueName};
use rmcp::model::JsonObject;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sql::SubmitOutcome;

use super::answer::Refusal;
use super::call::Call;
use crate::error::ApiError;
use crate::routes::submit::enqueue;

/// The arguments of a call that describe the job itself.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) definition: Option<JsonObject>,
    pub(super) image: Option<String>,
    pub(super) dockerfile: Option<String>,
    pub(super) command: Option<String>,
    pub(super) inputs: Option<JsonObject>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) requirements: Option<JsonObject>,
    pub(super) max_duration: Option<String>,
}

/// Arguments of a tool that takes a job, followed by the tool's own arguments.
macro_rules! job_arguments {
    ($(#[$doc:meta])* $name:ident { $($(#[$own_doc:meta])* $own:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, rmcp::schemars::JsonSchema)]
        #[schemars(crate = "rmcp::schemars")]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(super) struct $name {
            /// Name of the queue. Needed unless the address of this server names one.
            pub(super) queue: Option<String>,
            /// The whole definition as /docs/job-definition describes it: image or build, command, entrypoint, workdir, env, inputs,
            /// configFiles, maxDuration, requirements, tags, secrets, shmSize. The arguments below are short forms of its members.
            pub(super) definition: Option<rmcp::model::JsonObject>,
            /// Image reference, such as `python:3.12`.
            pub(super) image: Option<String>,
            /// Text of a Dockerfile to build the image from, in place of `image`. It is built on the worker.
            pub(super) dockerfile: Option<String>,
            /// Command line, split by the quoting rules of a shell; no shell runs it. For pipes write `sh -c '…'`.
            pub(super) command: Option<String>,
            /// Files in /inputs by name: a text is the file's content, an object is a data ref such as
            /// `{"type": "key", "value": "<sha256>"}` from `upload_file` or `{"type": "url", "value": "https://…"}`.
            pub(super) inputs: Option<rmcp::model::JsonObject>,
            /// Environment variables.
            pub(super) env: Option<std::collections::BTreeMap<String, String>>,
            /// What the job needs of its worker: `cpus`, `gpus`, `memory` such as `4g`, `maxDuration`.
            pub(super) requirements: Option<rmcp::model::JsonObject>,
            /// Longest run, such as `20m`.
            pub(super) max_duration: Option<String>,
            $($(#[$own_doc])* pub(super) $own: $kind,)*
        }

        impl $name {
            fn described(&mut self) -> $crate::mcp::definition::Described {
                $crate::mcp::definition::Described {
                    definition: self.definition.take(),
                    image: self.image.take(),
                    dockerfile: self.dockerfile.take(),
                    command: self.command.take(),
                    inputs: self.inputs.take(),
                    env: self.env.take(),
                    requirements: self.requirements.take(),
                    max_duration: self.max_duration.take(),
                }
            }
        }
    };
}
pub(super) use job_arguments;

impl Described {
    /// The members of the definition.
    pub(super) fn into_members(self) -> Result<JsonObject, Refusal> {
        let Self { definition, image, dockerfile, command, inputs, env, requirements, max_duration } = self;
        let mut members = definition.unwrap_or_default();
        if dockerfile.is_some() && image.is_some() {
            return Err(Refusal::of_argument("dockerfile", "give image or dockerfile, not both"));
        }
        let inputs = inputs.map(files).transpose()?;
        let short = [
            ("image", image.map(Value::from)),
            ("build", dockerfile.map(|text| json!({"dockerfile": text}))),
            ("command", command.map(Value::from)),
            ("inputs", inputs),
            ("env", env.map(|env| json!(env))),
            ("requirements", requirements.map(Value::Object)),
            ("maxDuration", max_duration.map(Value::from)),
        ];
        for (name, value) in short {
            let Some(value) = value else { continue };
            if members.insert(name.to_owned(), value).is_some() {
                let sentence = format!("{name} is in definition and is an argument too; give it once");
                return Err(Refusal::of_argument(name, sentence));
            }
        }
        Ok(members)
    }
}

/// The inputs as data refs. A text becomes a data ref, and a data ref stays.
fn files(inputs: JsonObject) -> Result<Value, Refusal> {
    let mut files = JsonObject::new();
    for (name, value) in inputs {
        let file = match value {
            Value::String(text) => json!({"value": text, "type": "utf8"}),
            Value::Object(reference) if reference.contains_key("value") => Value::Object(reference),
            _ => {
                let argument = format!("inputs.{name}");
                let sentence = format!("{argument} must be a text, or a data ref {{\"type\": …, \"value\": …}}");
                return Err(Refusal::of_argument(&argument, sentence));
            }
        };
        files.insert(name, file);
    }
    Ok(Value::Object(files))
}

/// A checked definition and its text.
pub(super) fn check(members: &JsonObject) -> Result<(Box<RawValue>, ParsedDefinition), Refusal> {
    let text = serde_json::value::to_raw_value(members).map_err(|error| Refusal::from(ApiError::bad_request(error)))?;
    let parsed = ParsedDefinition::parse(text.get()).map_err(|error| Refusal::from(ApiError::invalid(error)).by("definition"))?;
    Ok((text, parsed))
}

/// How to queue a job.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub(super) namespace: Option<String>,
    pub(super) again: bool,
}

/// Queues a job as a submission by REST does.
pub(super) async fn submit(
    call: &Call<'_>,
    queue: &QueueName,
    members: &JsonObject,
    wish: Wish,
) -> Result<(JobId, SubmitOutcome), Refusal> {
    let (definition, _) = check(members)?;
    let namespace = wish.namespace.map(|name| name.parse::<Namespace>().map_err(|error| Refusal::invalid("namespace", error)));
    let control = Control { namespace: namespace.transpose()?, again: wish.again.then_some(true), ..Control::default() };
    let job = EnqueueJob { id: None, definition, control: Some(control), debug: None };
    let submitted = enqueue(call.app, queue, job).await?;
    let job_id = JobId::try_from(submitted.job_id).map_err(|error| Refusal::invalid("jobId", error))?;
    Ok((job_id, submitted.outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> JsonObject {
        let Value::Object(members) = value else { panic!("an object") };
        members
    }

    #[test]
    fn short_forms_make_the_definition_that_they_stand_for() {
        let described = Described {
            definition: Some(object(json!({"workdir": "/work"}))),
            dockerfile: Some("FROM x".to_owned()),
            command: Some("wc /inputs/a".to_owned()),
            inputs: Some(object(json!({"a": "text", "b": {"type": "key", "value": "k"}}))),
            ..Described::default()
        };
        let made = described.into_members().unwrap();
        let expected = json!({"workdir": "/work", "build": {"dockerfile": "FROM x"}, "command": "wc /inputs/a",
            "inputs": {"a": {"value": "text", "type": "utf8"}, "b": {"type": "key", "value": "k"}}});
        assert_eq!(Value::Object(made), expected);
    }

    #[test]
    fn what_is_said_twice_or_cannot_be_a_file_is_named() {
        let twice =
            Described { definition: Some(object(json!({"image": "a"}))), image: Some("b".to_owned()), ..Described::default() };
        assert_eq!(twice.into_members().unwrap_err().facts()["argument"], "image");
        let number = Described { inputs: Some(object(json!({"n": 3}))), ..Described::default() };
        assert_eq!(number.into_members().unwrap_err().facts()["argument"], "inputs.n");
    }
}
