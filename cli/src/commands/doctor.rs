//! `asman doctor`: one line for each thing the product needs, with the command that mends it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use serde::Serialize;

use crate::args::Global;
use crate::client::Client;
use crate::data::DataArgs;
use crate::failure::Failure;
use crate::{postgres, say};

/// Images and results want at least this much.
const DISK_BYTES_MIN: u64 = 2 * 1024 * 1024 * 1024;
const GIB: u64 = 1024 * 1024 * 1024;

/// What `asman doctor` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits with 3 when something that `asman up` needs is missing.")]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    s3: api::S3Config,
    /// The port that `asman up` would use.
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// There.
    Ok,
    /// Not there, and `asman up` starts it or does without.
    Note,
    /// Not there, and needed.
    Missing,
}

/// One line.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was found, or what is missing with its mend.
    text: String,
}

/// Prints every check; fails when one is [`Verdict::Missing`].
pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let data = args.data.path()?;
    let mut checks = vec![postgres(), docker().await, api(global).await, disk(&data), port(args.port)];
    if args.s3.s3_bucket.is_some() {
        checks.push(storage(&args.s3).await);
    }
    if global.json {
        say::json(&checks);
    } else {
        checks.iter().for_each(print);
    }
    if checks.iter().any(|check| check.verdict == Verdict::Missing) {
        Err(Failure::Missing("something that `asman up` needs is missing".to_owned()))
    } else {
        Ok(())
    }
}

fn print(check: &Check) {
    let mark = match check.verdict {
        Verdict::Ok => "ok     ",
        Verdict::Note => "note   ",
        Verdict::Missing => "missing",
    };
    say::result(&format!("{mark}  {:<10}  {}", check.name, check.text));
}

fn postgres() -> Check {
    let (verdict, text) = match postgres::find(None) {
        Ok(found) => (Verdict::Ok, format!("{} in {}", found.version, found.folder.display())),
        Err(failure) => (Verdict::Missing, failure.to_string()),
    };
    Check { name: "PostgreSQL", verdict, text }
}

async fn docker() -> Check {
    let (verdict, text) = match worker::docker_version().await {
        Ok(version) => (Verdict::Ok, version),
        Err(error) => (Verdict::Missing, error.to_string()),
    };
    Check { name: "Docker", verdict, text }
}

async fn api(global: &Global) -> Check {
    let is_there = match Client::new(&global.api) {
        Ok(client) => client.is_healthy().await,
        Err(_) => false,
    };
    let (verdict, text) = if is_there {
        (Verdict::Ok, format!("answers at {}", global.api))
    } else {
        (Verdict::Note, format!("nothing answers at {}; start it with `asman up`, or give --api", global.api))
    };
    Check { name: "API", verdict, text }
}

async fn storage(config: &api::S3Config) -> Check {
    let (verdict, text) = match api::check_blobs(config).await {
        Ok(()) => (Verdict::Ok, "the bucket can be used".to_owned()),
        Err(sentence) => (Verdict::Missing, sentence),
    };
    Check { name: "storage", verdict, text }
}

fn disk(data: &Path) -> Check {
    let there = data.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let (verdict, text) = match rustix::fs::statvfs(there) {
        Err(error) => (Verdict::Note, format!("cannot be measured at {}: {error}", there.display())),
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let verdict = if free < DISK_BYTES_MIN { Verdict::Missing } else { Verdict::Ok };
            let want = if free < DISK_BYTES_MIN { "; make room, 2 GiB is the least that works" } else { "" };
            (verdict, format!("{} GiB free at {}{want}", free / GIB, there.display()))
        }
    };
    Check { name: "disk", verdict, text }
}

fn port(port: u16) -> Check {
    let (verdict, text) = match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(_) => (Verdict::Ok, format!("{port} is free")),
        Err(_) => (Verdict::Note, format!("{port} is in use; `asman up --port` takes another one")),
    };
    Check { name: "port", verdict, text }
}
