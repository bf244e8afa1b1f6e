//! `asman worker upgrade`: replaces this program by the one that the API runs.
//!
//! The API serves its own executable. The download is checked against its hash, started once as a test, and put in place by a
//! rename: a user who starts the program gets the old or the new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args::Global;
use crate::failure::Failure;
use crate::say;

pub(super) const HELP: &str = "\
Examples:
  asman worker upgrade --api https://queue.example
  asman worker upgrade --check

Exits with 0 when the program is now the same as the API's, with 1 when --check finds another one or it cannot be replaced, with 3 when the API does not answer or has no program for this machine. A running worker keeps the old program until you restart it. After its first SIGTERM running jobs may finish.";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A download without progress for this long has failed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
const PROGRAM_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// What `asman worker upgrade` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only report whether the API runs another program.
    #[arg(long)]
    check: bool,
}

/// What the API reports about its program.
struct Offer {
    version: String,
    sha256: String,
}

/// Compares this program with that of the API, and replaces it if they differ.
pub(super) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let builder = worker::Proxies::of_environment()
        .apply(reqwest::Client::builder())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(IDLE_TIMEOUT);
    let client = builder.build().map_err(|error| Failure::Failed(format!("no HTTP client: {error}")))?;
    let place = std::env::current_exe().map_err(|error| Failure::Failed(format!("this program cannot be found: {error}")))?;
    let offer = offer_of(&ask(&client, Method::HEAD, global).await?)?;
    let own = hash_of(&place)?;
    let is_current = own == offer.sha256;
    if !is_current && !args.check {
        let response = ask(&client, Method::GET, global).await?;
        let offer = offer_of(&response)?;
        let new = fetch(response, &offer, &place).await?;
        let replaced = put_in_place(&new, &place);
        if replaced.is_err() {
            let _ = fs::remove_file(&new);
        }
        replaced?;
    }
    tell(&offer, &place, is_current, args.check, global);
    if args.check && !is_current {
        return Err(Failure::Failed("the API runs another program; `asman worker upgrade` fetches it".to_owned()));
    }
    Ok(())
}

fn tell(offer: &Offer, place: &Path, is_current: bool, is_check: bool, global: &Global) {
    let ours = env!("CARGO_PKG_VERSION");
    if global.json {
        let is_upgraded = !is_current && !is_check;
        say::json(&json!({ "version": ours, "apiVersion": offer.version, "isCurrent": is_current, "isUpgraded": is_upgraded }));
    } else if is_current {
        say::result(&format!("{} is what the API runs: {}", place.display(), offer.version));
    } else if is_check {
        say::result(&format!("this is {ours}; the API runs {}, another program", offer.version));
    } else {
        say::result(&format!("{} is now what the API runs: {}", place.display(), offer.version));
        say::note("Running workers keep the old program until they are restarted; after a SIGTERM their jobs may finish first.");
    }
}

async fn ask(client: &reqwest::Client, method: Method, global: &Global) -> Result<Response, Failure> {
    let base = global.api.trim().trim_end_matches('/');
    let address = format!("{base}/download/asman?os={}&arch={}", std::env::consts::OS, std::env::consts::ARCH);
    let is_sent = client.request(method, address).send().await;
    let away = |error: reqwest::Error| Failure::Missing(format!("no API answers at {base}: {}", error.without_url()));
    let response = is_sent.map_err(away)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let sentence = match status.as_u16() {
        404 => format!("the API at {base} has no program for {} on {}", std::env::consts::OS, std::env::consts::ARCH),
        _ => format!("the API at {base} does not serve its program: {}", worker::sentence_of(response).await),
    };
    Err(if status.as_u16() == 404 { Failure::Missing(sentence) } else { Failure::Failed(sentence) })
}

fn offer_of(response: &Response) -> Result<Offer, Failure> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    match (header("x-asman-version"), header("x-asman-sha256")) {
        (Some(version), Some(sha256)) => Ok(Offer { version, sha256 }),
        _ => Err(Failure::Missing("the server there is not an Asman API that serves its program; check --api".to_owned())),
    }
}

fn hash_of(path: &Path) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    let copied = File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut hash));
    copied.map_err(|error| Failure::io("read", path, &error))?;
    Ok(hex::encode(hash.finalize()))
}

/// Writes the program beside the old one. When this returns, it is complete, synced to disk and checked against the hash.
async fn fetch(mut response: Response, offer: &Offer, place: &Path) -> Result<PathBuf, Failure> {
    let new = place.with_file_name(format!(".asman-new-{}", std::process::id()));
    let failed = |error: &std::io::Error| Failure::io("write", &new, error);
    let mode = fs::metadata(place).map_or(0o755, |metadata| metadata.permissions().mode() & 0o777);
    let opened = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&new);
    let mut file = opened.map_err(|error| failed(&error))?;
    let mut write = async || {
        let (mut hash, mut length) = (Sha256::new(), 0_u64);
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error.without_url()))? {
            length += chunk.len() as u64;
            if length > PROGRAM_BYTES_MAX {
                return Err(Failure::Failed("the API's program is larger than this command accepts; check --api".to_owned()));
            }
            hash.update(&chunk);
            file.write_all(&chunk).map_err(|error| failed(&error))?;
        }
        let is_whole = hex::encode(hash.finalize()) == offer.sha256;
        let wrong = || Failure::Failed("the download does not match the API's hash; nothing was changed, try again".to_owned());
        is_whole.then_some(()).ok_or_else(wrong)?;
        file.sync_all().map_err(|error| failed(&error))
    };
    let written = write().await;
    drop(file);
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map(|()| new)
}

fn broken(error: &reqwest::Error) -> Failure {
    Failure::Failed(format!("the download broke off: {error}; nothing was changed"))
}

/// The program must at least print its version on this machine.
fn put_in_place(new: &Path, place: &Path) -> Result<(), Failure> {
    let tried = std::process::Command::new(new).arg("--version").output();
    if !tried.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"asman ")) {
        return Err(Failure::Failed("the API's program does not run on this machine; nothing was changed".to_owned()));
    }
    fs::rename(new, place).map_err(|error| Failure::io("replace", place, &error))?;
    let folder = place.parent().map(File::open);
    folder
        .map_or(Ok(()), |folder| folder.and_then(|folder| folder.sync_all()))
        .map_err(|error| Failure::io("write", place, &error))
}
