//! Existing jobs: state, list, cancel, address, and why a job waits.

use protocol::{JobState, Namespace, Reason};
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sql::CancelOutcome;

use super::{Kind, Outcome, RunnableTool, tool};
use crate::access::Right;
use crate::mcp::answer::{Answer, Refusal};
use crate::mcp::call::Call;
use crate::mcp::outputs::job_address;
use crate::routes::cancel::end_hold;
use crate::routes::job::NO_JOB;
use crate::routes::jobs::{LIMIT_MAX, List, Page, page};
use crate::routes::status::why_waiting;

/// The arguments that name one job.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JobArguments {
    /// Name of the queue. Needed unless the address of this server names one, or the job's id is the true hash of its definition.
    queue: Option<String>,
    /// Id of the job.
    job_id: String,
}

/// What `list_jobs` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListArguments {
    /// Name of the queue. Needed unless the address of this server names one.
    queue: Option<String>,
    /// Only jobs of this state: `Queued`, `Running` or `Finished`.
    state: Option<StateFilter>,
    /// Most jobs: 1 to 200, 20 without it.
    limit: Option<i64>,
    /// `next` of the previous answer, for the following page.
    before: Option<String>,
}

/// A state by which a list can be filtered.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars", inline)]
enum StateFilter {
    Queued,
    Running,
    Finished,
}

/// What `cancel_job` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CancelArguments {
    /// Name of the queue. Needed unless the address of this server names one.
    queue: Option<String>,
    /// Id of the job.
    job_id: String,
    /// Namespace in which the job is cancelled; the job ends when no namespace holds it. `_` without it; `*` means all.
    namespace: Option<String>,
    /// A sentence that is shown with the job, at most 4096 bytes.
    message: Option<String>,
}

pub(super) fn tools() -> Vec<RunnableTool> {
    vec![
        tool(
            "get_job_status",
            "The state of a job: queued and why it waits, running and on which worker, or how it ended.",
            Kind::Reads,
            |call, given| Box::pin(get_job_status(call, given)),
        ),
        tool(
            "list_jobs",
            "The jobs of a queue, page by page: running ones, then waiting ones, then those that ended, each newest first.",
            Kind::Reads,
            |call, given| Box::pin(list_jobs(call, given)),
        ),
        tool(
            "cancel_job",
            "Cancels a job in one namespace. The job ends when no other namespace holds it. The change is complete when the tool answers.",
            Kind::Ends,
            |call, given| Box::pin(cancel_job(call, given)),
        ),
        tool(
            "get_job_url",
            "The address of a job's page for people, and of its result for programs.",
            Kind::Reads,
            |call, given| Box::pin(get_job_url(call, given)),
        ),
        tool(
            "why_waiting",
            "Why a queued job does not run yet: its position, and what the connected workers lack or whether they are busy.",
            Kind::Reads,
            |call, given| Box::pin(why(call, given)),
        ),
    ]
}

async fn get_job_status(call: &Call<'_>, given: JobArguments) -> Outcome {
    let subject = call.subject(given.queue.as_deref(), &given.job_id).await?;
    let row = call.job(&subject).await?;
    let job = row.to_job();
    let answer = Answer::new(format!("The job is {}.", row.state().as_str().to_lowercase()))
        .fact("jobId", subject.id.as_str())
        .fact("state", row.state().as_str())
        .fact("reason", row.reason().map(Reason::as_str))
        .fact("attempt", row.attempt)
        .fact("queuedTime", job.queued_time)
        .fact("time", job.time)
        .fact("url", job_address(call, &subject))
        .untrusted("namespaces", job.namespaces)
        .untrusted("worker", Some(job.worker).filter(|worker| !worker.is_empty()));
    Ok(match row.state() {
        JobState::Queued => match why_waiting(call.app, subject.qid, subject.id.as_str()).await? {
            Some(waiting) => answer.waiting(&waiting),
            None => answer,
        },
        JobState::Running => answer.say("follow_job shows its log as it comes."),
        JobState::Finished | JobState::Removed => answer.say("get_job_results shows how it ended and its outputs."),
    })
}

async fn why(call: &Call<'_>, given: JobArguments) -> Outcome {
    let subject = call.subject(given.queue.as_deref(), &given.job_id).await?;
    let row = call.job(&subject).await?;
    let answer = match why_waiting(call.app, subject.qid, subject.id.as_str()).await? {
        Some(waiting) => Answer::new("").waiting(&waiting),
        None if row.state() == JobState::Queued => Answer::new("It waits behind more jobs than this tool reads."),
        None => Answer::new(format!("The job does not wait: it is {}.", row.state().as_str().to_lowercase())),
    };
    Ok(answer.fact("jobId", subject.id.as_str()).fact("state", row.state().as_str()))
}

async fn list_jobs(call: &Call<'_>, given: ListArguments) -> Outcome {
    let queue = call.queue(given.queue.as_deref(), Right::Read).await?;
    let state = given.state.map(|state| match state {
        StateFilter::Queued => List::Queued,
        StateFilter::Running => List::Running,
        StateFilter::Finished => List::Finished,
    });
    let limit = given.limit.unwrap_or(20);
    if !(1..=i64::from(LIMIT_MAX)).contains(&limit) {
        return Err(Refusal::of_argument("limit", format!("limit must be 1 to {LIMIT_MAX}; use before for further pages")));
    }
    let asked = Page { state, before: given.before, limit: Some(limit) };
    let page = page(call.app, queue.qid(), asked).await.map_err(|error| Refusal::from(error).by("before"))?;
    let sentence = match (page.data.len(), &page.next) {
        (0, _) => "No jobs match.".to_owned(),
        (n, None) => format!("Jobs: {n}."),
        (n, Some(_)) => format!("Jobs: {n}; for more, call again with before set to next."),
    };
    Ok(Answer::new(sentence).fact("next", page.next).untrusted("jobs", json!(page.data)))
}

async fn cancel_job(call: &Call<'_>, given: CancelArguments) -> Outcome {
    let queue = call.queue(given.queue.as_deref(), Right::Submit).await?;
    let id = given.job_id.parse().map_err(|error| Refusal::invalid("jobId", error))?;
    let namespace = given.namespace.as_deref().map(|name| name.parse().map_err(|error| Refusal::invalid("namespace", error)));
    let namespace: Namespace = namespace.transpose()?.unwrap_or_default();
    let outcome = end_hold(call.app, &queue, &id, &namespace, Reason::Cancelled, given.message.as_deref()).await?;
    let (word, sentence) = match outcome {
        CancelOutcome::Ended => ("ended", "The job has ended."),
        CancelOutcome::Left => ("left", "The job was cancelled in this namespace; others still hold it, so it continues."),
        CancelOutcome::Absent => {
            ("absent", "The namespace does not hold the job, so nothing changed; use namespace * to end it for all.")
        }
        CancelOutcome::Finished => ("finished", "The job had ended before."),
        CancelOutcome::Removed => ("removed", "The job had ended before, and its result was removed."),
        CancelOutcome::Unknown => return Err(Refusal::from(NO_JOB).by("jobId")),
    };
    Ok(Answer::new(sentence).fact("jobId", id.as_str()).fact("outcome", word))
}

async fn get_job_url(call: &Call<'_>, given: JobArguments) -> Outcome {
    let subject = call.subject(given.queue.as_deref(), &given.job_id).await?;
    call.job(&subject).await?;
    let page = format!("{}/j/{}", call.visitor.own.root(), subject.id.as_str());
    let answer = Answer::new("The page shows the job to people. Anyone with the address can read the job, but not the queue.");
    let result = format!("{}/result.json", job_address(call, &subject));
    Ok(answer.fact("jobId", subject.id.as_str()).fact("url", page).fact("result", result))
}
