//! The first job: counts the packages of a Cargo.lock by where they come from.

use std::path::Path;

use crate::client::Client;
use crate::commands::job::{AddArgs, WaitOptions, submit, wait_for};
use crate::data::DataDirectory;
use crate::failure::Failure;
use crate::say;

use super::demo_image::IMAGE;

/// What runs in the container.
const SCRIPT: &str = include_str!("demo.sh");

/// Submits the job, shows its log, fetches its output into `demo` in the data directory and shows it.
pub(super) async fn run(file: &Path, data: &DataDirectory, api_url: &str) -> Result<(), Failure> {
    let queue = "local".parse().map_err(|error: protocol::InvalidName| Failure::Failed(error.to_string()))?;
    let client = Client::new(api_url)?;
    say::note(&format!("Demo: counting the packages in {} in a container", file.display()));
    let command = format!("sh -c {}", shell_words::quote(SCRIPT));
    let job = AddArgs::for_demo(queue, IMAGE, &command, format!("Cargo.lock={}", file.display()));
    let submitted = submit(&client, &job, true).await?;
    if let Some(why) = submitted.why_nothing_runs() {
        say::note(&why);
    }
    let folder = data.join("demo");
    let options = WaitOptions { output_directory: Some(folder), is_quiet: false, tells_why: true, has_run_before: false };
    let outcome = wait_for(&client, &job.queue, &submitted.id, &options).await?;
    for path in &outcome.outputs {
        say::note(&format!("Demo: {}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
        say::result(text.trim_end());
    }
    outcome.check()
}
