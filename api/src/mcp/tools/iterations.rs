//! Iterations: jobs that are made by changing another job, and their list.
//!
//! They share a namespace, which has at most one live job: a newer iteration replaces one that still runs.

use protocol::{JobId, Namespace};
use rmcp::model::JsonObject;
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::run::{enter, run_to_the_end, wait_of};
use super::{Kind, Outcome, RunnableTool, tool};
use crate::access::Right;
use crate::mcp::answer::{Answer, Refusal};
use crate::mcp::call::{Call, Subject};
use crate::mcp::definition::Wish;
use crate::routes::job::NO_JOB;

/// Most iterations in one answer.
const LISTED_MAX: i64 = 50;

/// What `modify_job` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ModifyArguments {
    /// Name of the queue. Needed unless the address of this server names one.
    queue: Option<String>,
    /// Id of the job whose definition is changed. The job itself stays as it is.
    job_id: String,
    /// The changes, as a JSON merge patch (RFC 7396) of the definition: a member that is null is removed, others are replaced or
    /// added.
    changes: JsonObject,
    /// Namespace of the iterations. Without it the job's namespace is used, or one made from its id. An older iteration that
    /// still runs is replaced.
    namespace: Option<String>,
    /// Longest wait for the new job's end, in seconds: 0 to 300, 45 without it.
    wait_seconds: Option<u64>,
}

/// What `list_iterations` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IterationsArguments {
    /// Name of the queue. Needed unless the address of this server names one.
    queue: Option<String>,
    /// Id of the first job or of any iteration of it.
    job_id: Option<String>,
    /// Namespace of the iterations, in place of a job.
    namespace: Option<String>,
}

pub(super) fn tools() -> Vec<RunnableTool> {
    vec![
        tool(
            "modify_job",
            "Makes a new job from an old one by changing its definition, queues it and waits for its end: the next iteration.",
            Kind::Ends,
            |call, given| Box::pin(modify_job(call, given)),
        ),
        tool(
            "list_iterations",
            "Lists the jobs that modify_job made from a job, newest first, and how each ended.",
            Kind::Reads,
            |call, given| Box::pin(list_iterations(call, given)),
        ),
    ]
}

/// The default namespace of a job's iterations.
fn namespace_of(id: &JobId) -> String {
    format!("iterations-{}", id.as_str().chars().filter(char::is_ascii_alphanumeric).take(16).collect::<String>())
}

/// The namespace of a job's iterations: the first of its namespaces that begins with `iterations-`, else one made from its id.
async fn namespace_for(call: &Call<'_>, subject: &Subject) -> Result<String, Refusal> {
    let row = call.app.db.get_job(subject.qid, subject.id.as_str()).await?;
    let own = row.and_then(|row| row.namespaces.into_iter().find(|name| name.starts_with("iterations-")));
    Ok(own.unwrap_or_else(|| namespace_of(&subject.id)))
}

async fn modify_job(call: &Call<'_>, given: ModifyArguments) -> Outcome {
    let seconds = wait_of(given.wait_seconds)?;
    let queue = call.queue(given.queue.as_deref(), Right::Read).await?;
    let id: JobId = given.job_id.parse().map_err(|error| Refusal::invalid("jobId", error))?;
    let subject = Subject { qid: queue.qid(), id, queue: Some(queue) };
    let stored = call.app.db.get_definition(subject.qid, subject.id.as_str()).await?;
    let stored = stored.ok_or_else(|| Refusal::from(NO_JOB).by("jobId"))?;
    if stored.login.is_some() {
        // The new job sends the stored login to its context, so a caller who changes the context could obtain it.
        call.app.admit(subject.qid, Right::Work, &call.visitor.caller).await?;
    }
    let mut definition: Value = serde_json::from_str(&stored.whole()).map_err(crate::error::ApiError::bad_request)?;
    merge(&mut definition, Value::Object(given.changes));
    let Value::Object(members) = definition else {
        return Err(Refusal::of_argument("changes", "the changes remove the whole definition"));
    };
    let namespace = match given.namespace {
        Some(name) => name,
        None => namespace_for(call, &subject).await?,
    };
    let wish = Wish { namespace: Some(namespace.clone()), again: false };
    let submitted = enter(call, given.queue.as_deref(), &members, wish).await?;
    let answer = run_to_the_end(call, &submitted, seconds).await?;
    let answer = answer.fact("changedFrom", subject.id.as_str()).fact("namespace", namespace);
    Ok(if submitted.subject.id == subject.id { answer.say("The changes change nothing: it is the same job.") } else { answer })
}

/// Applies a JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.shift_remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

async fn list_iterations(call: &Call<'_>, given: IterationsArguments) -> Outcome {
    let queue = call.queue(given.queue.as_deref(), Right::Read).await?;
    let namespace = match (given.namespace, given.job_id) {
        (Some(name), _) => String::from(name.parse::<Namespace>().map_err(|error| Refusal::invalid("namespace", error))?),
        (None, Some(id)) => {
            let id: JobId = id.parse().map_err(|error| Refusal::invalid("jobId", error))?;
            namespace_for(call, &Subject { qid: queue.qid(), id, queue: None }).await?
        }
        (None, None) => return Err(Refusal::of_argument("jobId", "give jobId or namespace")),
    };
    let rows = call.app.db.jobs_of_namespace(queue.qid(), &namespace, LISTED_MAX).await?;
    let list: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "jobId": row.job_id, "state": row.state().as_str(), "reason": row.reason(), "statusCode": row.status_code,
                "queuedTime": row.queued_ms, "finishedTime": row.finished_ms,
            })
        })
        .collect();
    let sentence = format!("Iterations: {}; get_job_results shows the result of each.", list.len());
    Ok(Answer::new(sentence).fact("namespace", namespace).fact("iterations", list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_merged_as_rfc_7396_says() {
        let mut target = json!({"a": 1, "b": {"c": 2, "d": [1]}, "e": "x"});
        merge(&mut target, json!({"a": null, "b": {"c": null, "d": [2], "f": {"g": null, "h": 1}}, "e": {"i": 3}}));
        assert_eq!(target, json!({"b": {"d": [2], "f": {"h": 1}}, "e": {"i": 3}}));
    }
}
