//! Settings of the worker that this one replaces: its short flags, `--api-address`, and `METAPAGE_IO_WORKER_…`.
//!
//! An old variable becomes the default of our flag, so that our flag and our variable have priority. Settings without a flag are
//! read here by name.

use clap::Command;

const PREFIX: &str = "METAPAGE_IO_WORKER_";

/// Our flag, the old short form, and the old variable if it can become a default.
const FLAGS: [(&str, char, Option<&str>); 7] = [
    ("cpus", 'c', Some("CPUS")),
    ("gpus", 'g', Some("GPUS")),
    ("mode", 'm', Some("MODE")),
    ("max_job_duration", 't', Some("JOB_MAX_DURATION")),
    ("data_directory", 'd', None),
    ("api", 'a', Some("API_ADDRESS")),
    ("port", 'p', None),
];
/// The first of these that is set names the queue. Existing deployments set the second.
const QUEUES: [&str; 2] = ["QUEUE", "QUEUE_ID"];

/// The whole command line, with the old settings added.
pub(crate) fn understand(command: Command) -> Command {
    command.mut_subcommand("worker", |worker| worker.mut_subcommand("run", understand_run))
}

fn understand_run(run: Command) -> Command {
    let run = FLAGS.into_iter().fold(run, |run, (flag, short, variable)| {
        let default = variable.and_then(value);
        run.mut_arg(flag, |arg| {
            let arg = arg.short(short);
            match default {
                Some(value) => arg.default_value(value).hide_default_value(true),
                None => arg,
            }
        })
    });
    let run = run.mut_arg("api", |arg| arg.alias("api-address"));
    let is_ours_set = std::env::var_os("ASMAN_WORKER_QUEUE").is_some_and(|list| !list.is_empty());
    match QUEUES.into_iter().find_map(value).filter(|_| !is_ours_set) {
        // A queue's name is a secret, and anyone can see the help.
        Some(queue) => run.mut_arg("queue", |arg| arg.default_value(queue).hide_default_value(true)),
        None => run,
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(format!("{PREFIX}{name}")).ok().filter(|value| !value.is_empty())
}

/// The value of an old variable. It is never freed, because the command line parser needs it for the life of the process.
fn value(name: &str) -> Option<&'static str> {
    text(name).map(|value| &*value.leak())
}

/// Whether the old variable is set to any value.
pub(crate) fn is_set(name: &str) -> bool {
    text(name).is_some()
}

/// Whether the old switch is on.
pub(crate) fn is_on(name: &str) -> bool {
    text(name).is_some_and(|value| value == "true" || value == "1")
}

/// The old port, which only a local API has.
pub(crate) fn local_port() -> Option<u16> {
    text("PORT")?.parse().ok()
}
