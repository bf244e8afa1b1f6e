//! `asman blob`: prepare the object storage for the files of jobs.

use api::{Done, S3Config};

use crate::args::Global;
use crate::failure::Failure;
use crate::say;

/// Verbs of `asman blob`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Create the bucket if it is missing and prepare it: web pages may use it, old files expire. Safe to run again.
    #[command(after_help = "Example:\n  asman blob init --s3-bucket asman --s3-endpoint https://s3.example --s3-path-style\n\n\
                            Exits with 1 when the storage refuses a step. The other steps are still done.")]
    Init(S3Config),
}

/// Runs one command.
pub(crate) async fn run(command: Command, global: &Global) -> Result<(), Failure> {
    let Command::Init(config) = command;
    if config.s3_bucket.is_none() {
        return Err(Failure::BadInput("no bucket is configured; give --s3-bucket".to_owned()));
    }
    let steps = api::set_up_blobs(&config).await;
    if global.json {
        say::json(&steps);
    } else {
        for step in &steps {
            let mark = match step.done {
                Done::Kept => "kept   ",
                Done::Changed => "changed",
                Done::Refused => "refused",
            };
            say::result(&format!("{mark}  {:<9}  {}", step.name, step.text));
        }
    }
    if steps.iter().any(|step| step.done == Done::Refused) {
        return Err(Failure::Failed("the bucket is not set up completely; see the refused steps above".to_owned()));
    }
    Ok(())
}
