//! `asman job`: submit jobs, follow them, fetch their outputs.

mod add;
mod build;
mod definition;
mod fetch;
mod follow;
mod inputs;
mod logs;
mod show;
mod wait;

use protocol::{JobId, Namespace, QueueName};

use crate::args::Global;
use crate::client::Client;
use crate::failure::Failure;

pub(crate) use add::{AddArgs, submit};
pub(crate) use wait::{WaitArgs, WaitOptions, wait_for};

const ADD_HELP: &str = "\
Examples:
  asman job add my-queue -i python:3.12 -c 'python /inputs/a.py' -f a.py --wait
  asman job add my-queue -i asman/demo -c \"sh -c 'wc /inputs/* > /outputs/n'\" -f *.txt --wait -o results
  asman job add my-queue --definition job.json --max-duration 20m --json
  asman job add my-queue --dockerfile Dockerfile --build-context . -c 'python -m app' --wait
  asman job add my-queue --build-context https://github.com/owner/repo/tree/main --build-arg V=3 --wait
  asman job add my-queue --script 'fit.py 3' --wait

A job has an image (-i), builds one on its worker, or is a script that its worker has (`--executor process`).
The container finds its input files in /inputs and writes outputs to /outputs. The log goes to stderr; the paths of the fetched files go to stdout. Submitting the same job again returns the earlier result.";

/// What `asman job` takes before or after its verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Token that the queue's policy requires. Every user of the machine can read arguments, so use the environment variable.
    #[arg(long, global = true, env = "ASMAN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// Verbs of `asman job`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Submit a job. Prints its id; with --wait follows it and fetches its outputs.
    #[command(after_help = ADD_HELP)]
    Add(Box<AddArgs>),
    /// Follow a job to its end and fetch its outputs. Exits with the container's exit code.
    #[command(after_help = "Example:\n  asman job await my-queue 3f2a… -o results")]
    Await(AwaitArgs),
    /// List the jobs of a queue: queued, running, and those that ended within a minute.
    List(ListArgs),
    /// Print the log of a job.
    #[command(after_help = "Example:\n  asman job logs -f my-queue 3f2a…")]
    Logs(logs::Args),
    /// Cancel a job. Returns when the change is durable.
    Cancel(CancelArgs),
    /// Print the result of a finished job as JSON.
    Result(JobArgs),
}

/// Names one job.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// Name of the queue.
    pub(crate) queue: QueueName,
    /// Id of the job.
    pub(crate) id: JobId,
}

/// What `asman job await` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct AwaitArgs {
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// What `asman job list` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Name of the queue.
    queue: QueueName,
}

/// What `asman job cancel` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Cancel the job in this namespace only; `*` means all.
    #[arg(long, default_value = "_")]
    namespace: Namespace,
    /// The reason, shown with the job.
    #[arg(long)]
    message: Option<String>,
}

/// Runs one command.
pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let client = Client::new(&global.api)?.with_token(args.token)?;
    match args.command {
        Command::Add(args) => add::run(&client, &args, global.json).await,
        Command::Await(args) => wait::run(&client, &args.job.queue, &args.job.id, &args.wait.options(), global.json).await,
        Command::List(args) => show::list(&client, &args.queue, global.json).await,
        Command::Logs(args) => logs::run(&client, &args, global.json).await,
        Command::Cancel(args) => show::cancel(&client, &args.job, &args.namespace, args.message.as_deref(), global.json).await,
        Command::Result(args) => show::result(&client, &args).await,
    }
}
