//! `asman job logs`: prints a log to stdout, because the log is the result here.

use protocol::{JobId, LogLine, QueueName};
use serde_json::json;

use super::JobArgs;
use super::follow::{LogKind, Seen, follow};
use crate::client::Client;
use crate::failure::Failure;
use crate::say;

/// What `asman job logs` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Follow the log until the job has ended.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    job: JobArgs,
}

/// Prints the log of pull and build, then that of the container.
pub(super) async fn run(client: &Client, args: &Args, is_json: bool) -> Result<(), Failure> {
    let JobArgs { queue, id } = &args.job;
    let mut sink = |kind: LogKind, line: &LogLine| print(kind, line, is_json);
    if args.follow {
        let mut sink = |seen: Seen<'_>| {
            if let Seen::Line(kind, line) = seen {
                sink(kind, line);
            }
        };
        return tokio::select! {
            result = follow(client, queue, id, &mut sink) => Ok(result?),
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        };
    }
    for kind in [LogKind::Build, LogKind::Run] {
        print_all(client, queue, id, kind, &mut sink).await?;
    }
    Ok(())
}

async fn print_all(
    client: &Client,
    queue: &QueueName,
    id: &JobId,
    kind: LogKind,
    sink: &mut impl FnMut(LogKind, &LogLine),
) -> Result<(), Failure> {
    let mut since = 0;
    loop {
        let slice = client.logs(queue, id, kind.file(), since).await?;
        slice.data.iter().for_each(|line| sink(kind, line));
        if slice.data.is_empty() || slice.next_cursor <= since {
            return Ok(());
        }
        since = slice.next_cursor;
    }
}

fn print(kind: LogKind, line: &LogLine, is_json: bool) {
    if is_json {
        let step = if kind == LogKind::Build { "build" } else { "run" };
        say::json(&json!({ "step": step, "time": line.time, "isStderr": line.is_stderr, "text": line.shown() }));
    } else {
        say::result(line.shown());
    }
}
