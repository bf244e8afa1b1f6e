//! Tries a Dockerfile with a job that builds an image and runs one command in it. The answer reports it as a build.
//!
//! The files of the context are packed into a tar, in a fixed order and with a fixed time, and stored under its hash. So the same
//! files make the same job.

use std::collections::BTreeMap;

use axum::body::Body;
use protocol::{EndCode, Reason, limits};
use rmcp::model::JsonObject;
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::run::{Submitted, enter, run_to_the_end, wait_of};
use super::{Kind, Outcome, RunnableTool, tool};
use crate::error::ApiError;
use crate::mcp::answer::Refusal;
use crate::mcp::call::Call;
use crate::mcp::definition::Wish;

/// The command that runs in a built image by default.
const COMMAND: &str = "true";

/// What `build_image` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BuildArguments {
    /// Name of the queue. Needed unless the address of this server names one.
    queue: Option<String>,
    /// Text of the Dockerfile.
    dockerfile: String,
    /// Files for COPY and ADD, by name: texts. For binary files, or more than a megabyte, give `context`.
    files: Option<BTreeMap<String, String>>,
    /// Address of a git repository or an archive to build from, in place of `files`.
    context: Option<String>,
    /// Stage of the Dockerfile to build.
    target: Option<String>,
    /// Values of ARGs of the Dockerfile, by name. They stay in the image, so do not put secrets there.
    build_args: Option<BTreeMap<String, String>>,
    /// Platform to build for, such as `linux/arm64`.
    platform: Option<String>,
    /// Command to run in the image once it is built, such as `python -c 'import numpy'`; `true` without it.
    command: Option<String>,
    /// Build again even if a result is stored. Unchanged steps are still not repeated.
    again: Option<bool>,
    /// Longest wait, in seconds: 0 to 300, 45 without it. The build continues after it; use `follow_job` to watch it.
    wait_seconds: Option<u64>,
}

pub(super) fn tools() -> Vec<RunnableTool> {
    vec![tool(
        "build_image",
        "Builds an image from a Dockerfile on a worker and runs one command in it. The build's log comes as progress and with the answer. Fix the Dockerfile and call again until it builds, then use the same `build` in a job: its steps are not repeated.",
        Kind::Adds,
        |call, given| Box::pin(build_image(call, given)),
    )]
}

async fn build_image(call: &Call<'_>, given: BuildArguments) -> Outcome {
    let seconds = wait_of(given.wait_seconds)?;
    let (queue, again) = (given.queue.clone(), given.again.unwrap_or(false));
    let members = members_of(call, given).await?;
    let submitted: Submitted = enter(call, queue.as_deref(), &members, Wish { namespace: None, again }).await?;
    let answer = run_to_the_end(call, &submitted, seconds).await?;
    let end = call.app.db.get_result(submitted.subject.qid, submitted.subject.id.as_str()).await?;
    let end = end.filter(|_| answer.is_finished()).map(|row| row.to_finished(Vec::new())).transpose()?;
    let answer = answer.fact("build", members.get("build").cloned().unwrap_or_default());
    Ok(match end {
        None => answer,
        Some(end) if end.reason == Reason::Success => {
            answer.fact("isBuilt", true).say("The image is built: `build` in the definition of a job uses it.")
        }
        // The command could not start, but the image was built before.
        Some(end)
            if [EndCode::CommandNotFound, EndCode::CommandNotExecutable]
                .iter()
                .any(|code| end.code.as_deref() == Some(code.as_str())) =>
        {
            answer.fact("isBuilt", true).say("The image is built, but cannot run the command: give a command that it has.")
        }
        Some(end) => {
            let is_build = end.code.as_deref().is_some_and(|code| code.starts_with("build-"));
            let answer = answer.fact("isBuilt", false);
            if is_build {
                answer.say("The end of the build's log says which step failed; change the Dockerfile and call again.")
            } else {
                answer
            }
        }
    })
}

async fn members_of(call: &Call<'_>, given: BuildArguments) -> Result<JsonObject, Refusal> {
    let mut build = json!({"dockerfile": given.dockerfile});
    let context = match (given.files, given.context) {
        (Some(_), Some(_)) => return Err(Refusal::of_argument("context", "give files or context, not both")),
        (Some(files), None) if !files.is_empty() => Some(pack(call, &files).await?),
        (_, context) => context,
    };
    for (name, value) in [("context", context), ("target", given.target), ("platform", given.platform)] {
        if let Some(value) = value {
            build[name] = value.into();
        }
    }
    if let Some(values) = given.build_args.filter(|values| !values.is_empty()) {
        build["buildArgs"] = values.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().into();
    }
    let members = json!({"build": build, "command": given.command.unwrap_or_else(|| COMMAND.to_owned())});
    let Value::Object(members) = members else { return Ok(JsonObject::new()) };
    Ok(members)
}

/// Stores a tar of the files and returns its address.
async fn pack(call: &Call<'_>, files: &BTreeMap<String, String>) -> Result<String, Refusal> {
    if files.len() > limits::ENTRIES_MAX {
        return Err(Refusal::of_argument(
            "files",
            format!("files may have at most {} entries; give context instead", limits::ENTRIES_MAX),
        ));
    }
    let bytes = archive(files)?;
    let hash = hex::encode(Sha256::digest(&bytes));
    if !call.app.blobs.exists(&hash).await? {
        call.app.meters.upload(&call.visitor.caller)?;
        call.app.blobs.put(&hash, Some(bytes.len() as u64), Body::from(bytes)).await?;
    }
    Ok(call.visitor.own.file(&hash))
}

fn archive(files: &BTreeMap<String, String>) -> Result<Vec<u8>, Refusal> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let argument = format!("files.{name}");
        protocol::check_input_path(name).map_err(|error| Refusal::invalid(&argument, error))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        // Scripts are usually run by their name, so they must be executable.
        header.set_mode(if text.starts_with("#!") { 0o755 } else { 0o644 });
        header.set_mtime(0);
        let added = archive.append_data(&mut header, name, text.as_bytes());
        added.map_err(|error| Refusal::of_argument(&argument, format!("{argument} cannot be packed: {error}")))?;
    }
    archive.into_inner().map_err(|error| ApiError::from(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive_and_a_name_that_leaves_the_folder_is_refused() {
        let files =
            |name: &str| BTreeMap::from([(name.to_owned(), "#!/bin/sh\n".to_owned()), ("b/c".to_owned(), "2".to_owned())]);
        assert_eq!(archive(&files("a")).unwrap(), archive(&files("a")).unwrap());
        assert_eq!(archive(&files("../a")).unwrap_err().facts()["argument"], "files.../a");
    }
}
