//! New jobs: check, submit, run to the end, follow.

use protocol::JobState;
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sql::SubmitOutcome;

use super::results::finish;
use super::{Kind, Outcome, RunnableTool, tool};
use crate::access::Right;
use crate::mcp::answer::{Answer, Refusal};
use crate::mcp::call::{Call, Subject};
use crate::mcp::definition::{Wish, check, job_arguments, submit};
use crate::mcp::follow::{Followed, Log, WAIT_DEFAULT, WAIT_MAX, follow};
use crate::mcp::outputs::job_address;
use crate::routes::status::why_waiting;

job_arguments! {
    /// What `submit_job` takes.
    SubmitArguments {
        /// Namespace that holds the job. At most one live job holds a namespace: a newer one replaces it. Without it many may run.
        namespace: Option<String>,
        /// Run the job again even if a result is stored. A job that waits or runs stays as it is.
        again: Option<bool>,
    }
}

job_arguments! {
    /// What `execute_job` takes.
    ExecuteArguments {
        /// Namespace that holds the job. At most one live job holds a namespace: a newer one replaces it. Without it many may run.
        namespace: Option<String>,
        /// Run the job again even if a result is stored. A job that waits or runs stays as it is.
        again: Option<bool>,
        /// Longest wait for the job's end, in seconds: 1 to 300, 45 without it. The job continues after it.
        wait_seconds: Option<u64>,
    }
}

job_arguments! {
    /// What `create_job` takes.
    CreateArguments {}
}

/// What `follow_job` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FollowArguments {
    /// Name of the queue. Needed unless the address of this server names one, or the job's id is the true hash of its definition.
    queue: Option<String>,
    /// Id of the job.
    job_id: String,
    /// Lines of the build log to skip: `buildCursor` of the previous answer.
    build_cursor: Option<u32>,
    /// Lines of the run log to skip: `runCursor` of the previous answer.
    run_cursor: Option<u32>,
    /// Longest wait for the job's end, in seconds: 0 to 300, 45 without it.
    wait_seconds: Option<u64>,
}

pub(super) fn tools() -> Vec<RunnableTool> {
    vec![
        tool(
            "submit_job",
            "Queues a container job and answers at once with its id. The same definition is the same job: a job with a result runs again only with `again`. The job runs only when a worker is connected.",
            Kind::Adds,
            |call, given| Box::pin(submit_job(call, given)),
        ),
        tool(
            "execute_job",
            "Queues a container job and waits for its end, up to `waitSeconds`; log lines come as progress notifications. Answers with its result, or with the cursors to continue following it.",
            Kind::Adds,
            |call, given| Box::pin(execute_job(call, given)),
        ),
        tool(
            "create_job",
            "Checks a job without queuing it: says what is wrong with its definition, or its id and whether the queue has it already.",
            Kind::Reads,
            |call, given| Box::pin(create_job(call, given)),
        ),
        tool(
            "follow_job",
            "Follows a job to its end, up to `waitSeconds`: new log lines come as progress notifications. Answers with the result, or, if the job is not finished, with cursors for the next call.",
            Kind::Reads,
            |call, given| Box::pin(follow_job(call, given)),
        ),
    ]
}

/// A submitted job, and the outcome of the submission.
pub(super) struct Submitted {
    pub(super) subject: Subject,
    pub(super) outcome: SubmitOutcome,
}

impl Submitted {
    /// The outcome: a word, and a sentence.
    const fn words(&self) -> (&'static str, &'static str) {
        match self.outcome {
            SubmitOutcome::New => ("new", "The job is queued."),
            SubmitOutcome::Queued => ("queued", "The job waits already."),
            SubmitOutcome::Running => ("running", "The job runs already."),
            SubmitOutcome::Finished => {
                ("finished", "The job has a result already: see get_job_results. With `again` it runs once more.")
            }
            SubmitOutcome::QueueFull | SubmitOutcome::NamespaceFull => ("full", "The queue is full."),
        }
    }

    pub(super) fn answer(&self, call: &Call<'_>) -> Answer {
        let (word, sentence) = self.words();
        let answer = Answer::new(sentence).fact("jobId", self.subject.id.as_str()).fact("submission", word);
        answer.fact("url", job_address(call, &self.subject))
    }
}

/// Queues a job.
pub(super) async fn enter(
    call: &Call<'_>,
    queue: Option<&str>,
    members: &rmcp::model::JsonObject,
    wish: Wish,
) -> Result<Submitted, Refusal> {
    let queue = call.queue(queue, Right::Submit).await?;
    let (id, outcome) = submit(call, &queue, members, wish).await?;
    Ok(Submitted { subject: Subject { qid: queue.qid(), id, queue: Some(queue) }, outcome })
}

async fn submit_job(call: &Call<'_>, mut given: SubmitArguments) -> Outcome {
    let members = given.described().into_members()?;
    let wish = Wish { namespace: given.namespace, again: given.again.unwrap_or(false) };
    let submitted = enter(call, given.queue.as_deref(), &members, wish).await?;
    let Subject { qid, id, .. } = &submitted.subject;
    let waiting = why_waiting(call.app, *qid, id.as_str()).await?;
    let answer = submitted.answer(call);
    Ok(match waiting {
        Some(waiting) => answer.waiting(&waiting),
        None => answer,
    })
}

async fn execute_job(call: &Call<'_>, mut given: ExecuteArguments) -> Outcome {
    let seconds = wait_of(given.wait_seconds)?;
    let members = given.described().into_members()?;
    let wish = Wish { namespace: given.namespace, again: given.again.unwrap_or(false) };
    let submitted = enter(call, given.queue.as_deref(), &members, wish).await?;
    run_to_the_end(call, &submitted, seconds).await
}

/// Follows a submitted job and answers with its result, or with cursors to continue.
pub(super) async fn run_to_the_end(call: &Call<'_>, submitted: &Submitted, seconds: u64) -> Outcome {
    // A submitter without the right to read gets only the answer of a submission.
    if !call.app.policies.may(submitted.subject.qid, Right::Read, &call.visitor.caller).await? {
        return Ok(submitted.answer(call).say("The token may submit here but not read, so the job's end is not shown."));
    }
    let logs = (Log::after(false, 0), Log::after(true, 0));
    let followed = follow(call, &submitted.subject, logs, seconds).await?;
    let answer = Answer::new("").fact("submission", submitted.words().0);
    told(call, &submitted.subject, followed, answer).await
}

async fn create_job(call: &Call<'_>, mut given: CreateArguments) -> Outcome {
    let queue = call.queue(given.queue.as_deref(), Right::Read).await?;
    let members = given.described().into_members()?;
    let (_, parsed) = check(&members)?;
    let subject = Subject { qid: queue.qid(), id: parsed.job_id.clone(), queue: Some(queue) };
    let known = call.app.db.get_job(subject.qid, subject.id.as_str()).await?.filter(|row| !row.is_item);
    let answer = match known.as_ref().map(sql::JobRow::state) {
        None => Answer::new(
            "The definition is valid and was not queued: use execute_job or submit_job with the same arguments to run it.",
        ),
        Some(JobState::Finished) => {
            Answer::new("The definition is valid, and the queue has a result of it: see get_job_results.")
        }
        Some(_) => Answer::new("The definition is valid, and the job is in the queue already: use follow_job."),
    };
    let needs = json!({"cpus": parsed.cpus, "gpus": parsed.gpus, "memoryBytes": parsed.memory_bytes, "tags": parsed.tags});
    let answer = answer.fact("jobId", subject.id.as_str()).fact("needs", needs);
    let answer = answer.fact("state", known.map_or("unknown", |row| row.state().as_str()));
    Ok(answer.untrusted("definition", members))
}

async fn follow_job(call: &Call<'_>, given: FollowArguments) -> Outcome {
    let seconds = wait_of(given.wait_seconds)?;
    let subject = call.subject(given.queue.as_deref(), &given.job_id).await?;
    let place = |cursor: Option<u32>| i64::from(cursor.unwrap_or(0));
    let logs = (Log::after(false, place(given.build_cursor)), Log::after(true, place(given.run_cursor)));
    let followed = follow(call, &subject, logs, seconds).await?;
    told(call, &subject, followed, Answer::new("")).await
}

/// Checks the seconds to wait, and fills in the default.
pub(super) fn wait_of(given: Option<u64>) -> Result<u64, Refusal> {
    let seconds = given.unwrap_or(WAIT_DEFAULT);
    if seconds > WAIT_MAX {
        let sentence = format!("waitSeconds must be 0 to {WAIT_MAX}; call again to wait longer");
        return Err(Refusal::of_argument("waitSeconds", sentence));
    }
    Ok(seconds)
}

/// Adds what was observed: the job's result with the end of its log, or its state.
pub(super) async fn told(call: &Call<'_>, subject: &Subject, followed: Followed, answer: Answer) -> Outcome {
    let cursors = [("buildCursor", followed.build.cursor()), ("runCursor", followed.run.cursor())];
    let answer = cursors.into_iter().fold(answer, |answer, (name, cursor)| answer.fact(name, cursor));
    let answer = answer.fact("jobId", subject.id.as_str()).fact("state", followed.job.state().as_str());
    if followed.is_finished() {
        let answer = followed.build.show(answer);
        return finish(call, subject, followed.run.show(answer)).await;
    }
    let answer = answer.say("The job has not ended; follow_job with buildCursor and runCursor shows what comes next.");
    let answer = match why_waiting(call.app, subject.qid, subject.id.as_str()).await? {
        Some(waiting) => answer.waiting(&waiting),
        None => answer.say("It runs."),
    };
    Ok(followed.run.show(followed.build.show(answer)).fact("url", job_address(call, subject)))
}
