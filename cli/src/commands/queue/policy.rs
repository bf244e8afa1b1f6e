//! `asman queue policy`: the settings of a queue's owner.
//!
//! Tokens and secrets come from the environment or from files, never from the argument list, which every user of the machine can
//! read; none is printed.

use std::path::PathBuf;

use protocol::{Duration, QueueName};
use reqwest::StatusCode;
use serde_json::{Map, Value};

use crate::args::Global;
use crate::client::{Client, Error};
use crate::failure::Failure;
use crate::say;
use crate::text_file;

const SET_HELP: &str = "\
Examples:
  export ASMAN_TOKEN=$(openssl rand -hex 32)
  asman queue policy set my-queue --owner-token env:ASMAN_TOKEN --worker-token file:worker.token
  asman queue policy set my-queue --max-queued 1000 --retention 7d
  asman queue policy set my-queue --pause

The owner's token comes from ASMAN_TOKEN or --token-file. The first caller that sets an owner token owns the policy. Until then everyone who knows the queue's name may change it, even if other tokens are set.
With only the submit token a user cannot follow jobs: to allow that, use the same token for both.";

/// A token is much shorter.
const SECRET_BYTES_MAX: usize = 64 * 1024;
const NO_OWNER: &str =
    "This policy has no owner: everyone who knows the queue's name may change it. Set an owner with --owner-token.";

/// Verbs of `asman queue policy`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the policy. Tokens and secrets are not shown, only whether they are set.
    #[command(after_help = "Example:\n  ASMAN_TOKEN=… asman queue policy get my-queue")]
    Get(QueueArgs),
    /// Change the named parts and keep the rest.
    #[command(after_help = SET_HELP)]
    Set(Box<SetArgs>),
    /// Reset to the defaults: the queue is open to everyone who knows its name.
    #[command(after_help = "Example:\n  ASMAN_TOKEN=… asman queue policy clear my-queue")]
    Clear(QueueArgs),
}

/// Names one queue, and the source of its owner's token.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct QueueArgs {
    /// Name of the queue.
    queue: QueueName,
    /// File with the owner's token, instead of the variable `ASMAN_TOKEN`.
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

/// What `asman queue policy set` takes.
#[derive(Debug, clap::Args)]
#[group(multiple = true)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    queue: QueueArgs,
    /// Give no job to workers; submissions wait.
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// End the pause.
    #[arg(long)]
    resume: bool,
    /// Token that gives every permission: `env:NAME`, `file:PATH`, or `none` to remove it.
    #[arg(long, value_name = "SOURCE")]
    owner_token: Option<Source>,
    /// Token of the queue's workers.
    #[arg(long, value_name = "SOURCE")]
    worker_token: Option<Source>,
    /// Token for submissions and cancels.
    #[arg(long, value_name = "SOURCE")]
    submit_token: Option<Source>,
    /// Token for readers.
    #[arg(long, value_name = "SOURCE")]
    read_token: Option<Source>,
    /// Secret that signs deliveries.
    #[arg(long, value_name = "SOURCE")]
    webhook_secret: Option<Source>,
    /// Most jobs that may wait; none for no limit.
    #[arg(long, value_name = "N|none", allow_hyphen_values = true)]
    max_queued: Option<OrNone<u32>>,
    /// Most jobs of one namespace that may wait.
    #[arg(long, value_name = "N|none", allow_hyphen_values = true)]
    max_per_namespace: Option<OrNone<u32>>,
    /// Longest run time of a job, such as 2h. It applies to jobs submitted from now on.
    #[arg(long, value_name = "TIME|none", allow_hyphen_values = true)]
    max_duration: Option<OrNone<Duration>>,
    /// How long results are kept, in whole days, such as 7d.
    #[arg(long, value_name = "TIME|none", allow_hyphen_values = true)]
    retention: Option<OrNone<Duration>>,
}

/// A value, or the word `none`.
#[derive(Clone, Debug)]
struct OrNone<T>(Option<T>);

impl<T: std::str::FromStr> std::str::FromStr for OrNone<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

/// Where a token is.
#[derive(Clone, Debug)]
enum Source {
    Env(String),
    File(PathBuf),
    None,
}

impl std::str::FromStr for Source {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ if text == "none" => Ok(Self::None),
            // The value is not repeated, because it may be the token itself.
            _ => Err("give its source: env:NAME, file:PATH, or none to remove it"),
        }
    }
}

impl Source {
    fn read(&self) -> Result<Value, Failure> {
        match self {
            Self::None => Ok(Value::Null),
            Self::Env(name) => std::env::var(name)
                .map(|text| text.trim().into())
                .map_err(|_| Failure::BadInput(format!("the variable {name} is not set"))),
            Self::File(path) => read_file(path).map(Value::from),
        }
    }
}

fn read_file(path: &std::path::Path) -> Result<String, Failure> {
    Ok(text_file::read(path, SECRET_BYTES_MAX)?.trim().to_owned())
}

impl SetArgs {
    fn to_body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        if self.pause || self.resume {
            body.insert("paused".to_owned(), self.pause.into());
        }
        let tokens = [
            ("ownerToken", &self.owner_token),
            ("workerToken", &self.worker_token),
            ("submitToken", &self.submit_token),
            ("readToken", &self.read_token),
            ("webhookSecret", &self.webhook_secret),
        ];
        for (name, source) in tokens {
            if let Some(source) = source {
                body.insert(name.to_owned(), source.read()?);
            }
        }
        for (name, number) in [("maxQueued", &self.max_queued), ("maxPerNamespace", &self.max_per_namespace)] {
            if let Some(number) = number {
                body.insert(name.to_owned(), number.0.into());
            }
        }
        for (name, time) in [("maxDuration", &self.max_duration), ("retention", &self.retention)] {
            if let Some(time) = time {
                body.insert(name.to_owned(), time.0.map(|time| time.to_string()).into());
            }
        }
        if body.is_empty() {
            return Err(Failure::BadInput(
                "nothing to change; give at least one setting, see `asman queue policy set --help`".to_owned(),
            ));
        }
        Ok(body)
    }
}

/// Runs one command.
pub(crate) async fn run(command: Command, global: &Global) -> Result<(), Failure> {
    let policy = match command {
        Command::Get(args) => client(&args, global)?.policy(&args.queue).await?,
        Command::Clear(args) => client(&args, global)?.clear_policy(&args.queue).await?,
        Command::Set(args) => {
            let changed = client(&args.queue, global)?.change_policy(&args.queue.queue, &args.to_body()?).await;
            let policy = changed.map_err(in_words_of_the_flags)?;
            if policy.get("ownerToken") == Some(&Value::Bool(false)) {
                say::note(NO_OWNER);
            }
            policy
        }
    };
    if global.json {
        say::json(&policy);
        return Ok(());
    }
    for (name, value) in policy {
        let word = match value {
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::Null => "none".to_owned(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        say::result(&format!("{name:<16} {word}"));
    }
    Ok(())
}

/// Adds the flags' word for `null` to the API's sentence, which is about its JSON.
fn in_words_of_the_flags(error: Error) -> Error {
    match error {
        Error::Refused { said, status: StatusCode::BAD_REQUEST } => {
            Error::impossible(said + " (what is null there is none on the command line)")
        }
        other => other,
    }
}

fn client(args: &QueueArgs, global: &Global) -> Result<Client, Failure> {
    let token = match &args.token_file {
        Some(path) => Some(read_file(path)?),
        None => std::env::var("ASMAN_TOKEN").ok().filter(|token| !token.is_empty()),
    };
    Client::new(&global.api)?.with_token(token)
}
