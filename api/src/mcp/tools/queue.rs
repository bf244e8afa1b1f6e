//! An overview of a queue, and all limits.

use protocol::limits;
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sql::WorkerRow;

use super::{Kind, Outcome, RunnableTool, tool};
use crate::access::Right;
use crate::mcp::answer::Answer;
use crate::mcp::call::Call;
use crate::mcp::follow::{SHOWN_BYTES_MAX, WAIT_MAX};

/// Most workers that one answer describes.
const WORKERS_MAX: usize = 100;

/// What `get_queue_status` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QueueArguments {
    /// Name of the queue. Needed unless the address of this server names one.
    queue: Option<String>,
}

/// What `get_limits` takes: nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
struct NoArguments {}

pub(super) fn tools() -> Vec<RunnableTool> {
    vec![
        tool(
            "get_queue_status",
            "An overview of a queue: its workers and their capacity, how many jobs wait and run, whether it is paused. Call this before you submit a job: without a worker nothing runs.",
            Kind::Reads,
            |call, given| Box::pin(get_queue_status(call, given)),
        ),
        tool(
            "get_limits",
            "Sizes, counts and times that jobs, files, logs and calls may have.",
            Kind::Reads,
            |_, _: NoArguments| Box::pin(std::future::ready(Ok(get_limits()))),
        ),
    ]
}

async fn get_queue_status(call: &Call<'_>, given: QueueArguments) -> Outcome {
    let qid = call.queue(given.queue.as_deref(), Right::Read).await?.qid();
    let workers = call.app.db.list_workers(qid, call.app.config.lease.0).await?;
    let counts = call.app.db.count_jobs(qid).await?;
    let sentence = match workers.len() {
        0 => "No worker is connected, so nothing runs: start one with `asman worker run <queue>`.".to_owned(),
        1 => "1 worker is connected.".to_owned(),
        n => format!("{n} workers are connected."),
    };
    let answer = Answer::new(sentence).say(format!("Jobs that wait: {}, that run: {}.", counts.n_queued, counts.n_running));
    let answer = if counts.is_paused { answer.say("The queue is paused by its owner, so nothing runs.") } else { answer };
    let list: Vec<_> = workers.iter().take(WORKERS_MAX).map(described).collect();
    let answer = answer.fact("workerCount", workers.len()).fact("queued", counts.n_queued).fact("running", counts.n_running);
    Ok(answer.fact("isPaused", counts.is_paused).fact("demand", counts.cpus.ceil()).untrusted("workers", list))
}

fn described(worker: &WorkerRow) -> serde_json::Value {
    let info = worker.to_info();
    json!({"id": info.id, "cpus": info.cpus, "gpus": info.gpus, "maxJobDuration": info.max_job_duration,
        "runs": worker.job_ids.len(), "lastSeen": info.time})
}

fn get_limits() -> Answer {
    let answer =
        Answer::new("Anything beyond these limits is refused with a code, or left out and counted. Units: bytes and seconds.");
    let answer = answer.fact("definitionBytes", limits::DEFINITION_BYTES_MAX).fact("callBytes", crate::mcp::MESSAGE_BYTES_MAX);
    let answer = answer.fact("entriesOfInputsOrEnv", limits::ENTRIES_MAX).fact("inlineFileBytes", limits::INLINE_BYTES_MAX);
    let answer = answer.fact("fileBytes", limits::BLOB_BYTES_MAX).fact("outputs", limits::OUTPUTS_MAX);
    let answer =
        answer.fact("outputsBytes", limits::OUTPUTS_BYTES_MAX).fact("cpus", limits::CPUS_MAX).fact("gpus", limits::GPUS_MAX);
    let answer =
        answer.fact("runSecondsDefault", limits::DURATION_DEFAULT.as_secs()).fact("runSeconds", limits::DURATION_MAX.as_secs());
    let answer = answer.fact("logBytesOfBeginning", limits::LOG_BYTES_MAX).fact("logBytesOfEnd", limits::LOG_TAIL_BYTES_MAX);
    let answer = answer.fact("environmentVariableBytes", limits::ARGUMENT_BYTES_MAX).fact("tags", limits::TAGS_MAX);
    answer.fact("waitSeconds", WAIT_MAX).fact("logBytesOfAnswer", SHOWN_BYTES_MAX)
}
