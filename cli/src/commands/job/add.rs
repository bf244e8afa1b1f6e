//! `asman job add`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::{JobId, Namespace, QueueName, limits};
use serde_json::json;
use serde_json::value::RawValue;

use super::build::BuildArgs;
use super::wait::{self, WaitArgs, WaitOptions};
use super::{definition, inputs};
use crate::client::Client;
use crate::failure::Failure;
use crate::say;

/// What `asman job add` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Name of the queue. Everyone who knows it may use the queue.
    pub(crate) queue: QueueName,
    /// Image to run, such as `python:3.12`.
    #[arg(short, long)]
    pub(super) image: Option<String>,
    #[command(flatten)]
    pub(super) build: BuildArgs,
    /// Run a script of a worker that was started with --executor process: its name and arguments, quoted as in a shell.
    #[arg(long, value_name = "NAME ARGUMENTS", conflicts_with_all = ["image", "command", "entrypoint"])]
    pub(super) script: Option<String>,
    /// Command line, quoted as in a shell. No shell runs it: for pipes, redirections and variables write sh -c '…'.
    #[arg(short, long)]
    pub(super) command: Option<String>,
    /// Entrypoint instead of the image's, quoted likewise.
    #[arg(long)]
    pub(super) entrypoint: Option<String>,
    /// Environment variable; the flag may be repeated.
    #[arg(short, long, value_name = "K=V")]
    pub(super) env: Vec<String>,
    /// File to put into /inputs, under its own base name or NAME; the flag may be repeated.
    #[arg(short, long = "file", value_name = "PATH or NAME=PATH", num_args = 1..)]
    pub(super) files: Vec<String>,
    /// Working directory in the container.
    #[arg(short, long)]
    pub(super) workdir: Option<String>,
    /// Cpus that the job needs, such as 0.5 or 4.
    #[arg(long, allow_hyphen_values = true, value_parser = read_cpus)]
    pub(super) cpus: Option<f64>,
    /// Gpus that the job needs.
    #[arg(long, allow_hyphen_values = true, value_parser = clap::value_parser!(u32).range(0..=i64::from(limits::GPUS_MAX)))]
    pub(super) gpus: Option<u32>,
    /// Memory that the job needs, such as 512m or 4g.
    #[arg(long, allow_hyphen_values = true)]
    pub(super) memory: Option<String>,
    /// Longest run, such as 90s, 20m or 1h30m.
    #[arg(long, allow_hyphen_values = true)]
    pub(super) max_duration: Option<String>,
    /// Only workers with all of these tags may run it: `a,b`.
    #[arg(long, value_delimiter = ',')]
    pub(super) tags: Vec<String>,
    /// Namespace of the job; a newer job of the same namespace replaces it.
    #[arg(long)]
    pub(super) namespace: Option<Namespace>,
    /// Name of a worker's secret that the job needs; the flag may be repeated.
    #[arg(long = "secret", value_name = "NAME")]
    pub(super) secrets: Vec<String>,
    /// Size of /dev/shm, such as 1g.
    #[arg(long, allow_hyphen_values = true)]
    pub(super) shm_size: Option<String>,
    /// Take the definition from a JSON file, or from standard input with `-`; the other flags change it.
    #[arg(long, value_name = "FILE.json|-")]
    pub(super) definition: Option<PathBuf>,
    /// Run the job again in spite of an earlier result. A job that waits or runs stays as it is.
    #[arg(long)]
    pub(super) again: bool,
    /// Follow the job to its end, fetch its outputs, exit with its exit code.
    #[arg(long = "wait")]
    is_waiting: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl AddArgs {
    /// The job of `asman up --demo`.
    pub(crate) fn for_demo(queue: QueueName, image: &str, command: &str, file: String) -> Self {
        Self {
            queue,
            image: Some(image.to_owned()),
            build: BuildArgs::default(),
            script: None,
            command: Some(command.to_owned()),
            entrypoint: None,
            env: Vec::new(),
            files: vec![file],
            workdir: None,
            cpus: None,
            gpus: None,
            memory: None,
            max_duration: None,
            tags: Vec::new(),
            namespace: None,
            secrets: Vec::new(),
            shm_size: None,
            definition: None,
            again: false,
            is_waiting: true,
            wait: WaitArgs::default(),
        }
    }
}

fn read_cpus(text: &str) -> Result<f64, &'static str> {
    let cpus = text.parse().ok().filter(|cpus| (0.0..=limits::CPUS_MAX).contains(cpus));
    cpus.ok_or("give a number from 0 to 4096, such as 4 or 0.5")
}

/// A job that the API has acknowledged.
pub(crate) struct Submitted {
    pub(crate) id: JobId,
    /// When it ended, if an earlier result is reused. Only known when the command waits for the end.
    ended: Option<SystemTime>,
}

impl Submitted {
    /// Explains why the result is available at once.
    pub(crate) fn why_nothing_runs(&self) -> Option<String> {
        let ago = ago(self.ended?.elapsed().unwrap_or_default());
        Some(format!("This job ran before, {ago}: this is its earlier result. Use --again to run it again"))
    }
}

/// An age, in its largest unit only.
fn ago(age: Duration) -> String {
    let seconds = age.as_secs().max(1);
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let (unit, length) = units.into_iter().find(|(_, length)| seconds >= *length).unwrap_or(("second", 1));
    let n = seconds / length;
    format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" })
}

/// Submits, then prints the id or waits.
pub(super) async fn run(client: &Client, args: &AddArgs, is_json: bool) -> Result<(), Failure> {
    let options = args.wait.options();
    let submitted = submit(client, args, options.is_quiet).await?;
    let id = &submitted.id;
    let print = || if is_json { say::json(&json!({ "jobId": id })) } else { say::result(id.as_str()) };
    if !args.is_waiting {
        print();
        return Ok(());
    }
    if let Some(why) = submitted.why_nothing_runs().filter(|_| !is_json && !options.is_quiet) {
        say::note(&why);
    }
    let options = WaitOptions { has_run_before: submitted.ended.is_some(), ..options };
    let waited = wait::run(client, &args.queue, id, &options, is_json).await;
    // The job is queued but cannot be read, for example because the token has no permission to read. Its id must not be lost.
    if matches!(waited, Err(Failure::BadInput(_) | Failure::Missing(_))) {
        print();
    }
    waited
}

/// Uploads the files and queues the job, which is then durable.
pub(crate) async fn submit(client: &Client, args: &AddArgs, is_quiet: bool) -> Result<Submitted, Failure> {
    let mut members = definition::members(args)?;
    let files = inputs::read(&args.files)?;
    definition::add_inputs(&mut members, &files)?;
    let context = args.build.add_to(&mut members, client)?;
    definition::drop_empty(&mut members);
    let text = serde_json::Value::Object(members).to_string();
    let parsed = protocol::ParsedDefinition::parse(&text).map_err(|error| Failure::BadInput(hint(&error)))?;
    inputs::upload(client, &files, is_quiet).await?;
    if let Some(context) = &context {
        inputs::upload(client, std::slice::from_ref(context.file()), is_quiet).await?;
    }
    let definition = RawValue::from_string(parsed.text).map_err(|error| Failure::BadInput(error.to_string()))?;
    let control =
        protocol::Control { namespace: args.namespace.clone(), again: args.again.then_some(true), ..Default::default() };
    let control = Some(control).filter(|control| *control != protocol::Control::default());
    let job = protocol::EnqueueJob { id: None, definition, control, debug: None };
    let body = serde_json::to_string(&job).map_err(|error| Failure::BadInput(error.to_string()))?;
    let before = if args.is_waiting { end_of(client, &args.queue, &parsed.job_id).await } else { None };
    let id = client.submit(&args.queue, body).await?;
    // The same end as before means that the submission changed nothing. Otherwise there is a new run.
    let ended = if before.is_some() { end_of(client, &args.queue, &id).await.filter(|end| Some(*end) == before) } else { None };
    Ok(Submitted { id, ended: ended.map(|ms| UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))) })
}

/// When the job ended last, epoch milliseconds of the API. None if the caller may not read the queue.
async fn end_of(client: &Client, queue: &QueueName, id: &JobId) -> Option<i64> {
    client.result(queue, id).await.ok()?.ok()?.finished.map(|finished| finished.time)
}

/// The problem, with the flag that fixes it.
fn hint(error: &protocol::InvalidDefinition) -> String {
    match error {
        protocol::InvalidDefinition::NoImage => {
            "the job has nothing to run; give an image with --image, or build one with --dockerfile or --build-context".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        for (seconds, told) in
            [(0, "1 second ago"), (59, "59 seconds ago"), (119, "1 minute ago"), (7_300, "2 hours ago"), (200_000, "2 days ago")]
        {
            assert_eq!(ago(Duration::from_secs(seconds)), told);
        }
    }
}
