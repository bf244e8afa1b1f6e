//! Pulls an image and writes the progress to the build log.
//!
//! Bounds: a pull fails when the registry is silent for [`SILENCE_MAX`] or for `--pull-patience`. While the engine unpacks, it may be
//! silent for [`UNPACK_FACTOR`] times as long. A pull writes at most [`PROGRESS_LINES_MAX`] progress lines.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use protocol::{EndCode, Step};

use super::{DEFAULT_REGISTRY, ImageReference, Logins, one_at_a_time};
use crate::ends::RunError;
use crate::engine::{Containers, Docker, Fault, JobLog, Login, PullProgress, refusals};

/// The engine's words for a layer that has arrived and is being written to the disk.
const UNPACKING: [&str; 2] = ["Extracting", "Verifying Checksum"];
const SILENCE_MAX: Duration = Duration::from_mins(2);
/// The engine may be silent for this many times as long as a registry, because a slow disk is not the registry's fault.
const UNPACK_FACTOR: u32 = 5;
const PROGRESS_LINES_MAX: usize = 1_000;
/// Longest wait for a registry's list of an image's platforms.
const PLATFORMS_TIMEOUT: Duration = Duration::from_secs(20);

/// Pulls an image unless it is present. Returns its id.
pub(crate) async fn pull(containers: &Containers, log: &JobLog, image: &ImageReference) -> Result<String, RunError> {
    let (docker, settings) = (&containers.docker, &containers.settings);
    if let Some(id) = present(docker, image).await? {
        return Ok(id);
    }
    let _turn = one_at_a_time(&image.to_string()).await;
    if let Some(id) = present(docker, image).await? {
        return Ok(id);
    }
    containers.api.stats.pulls.add(1);
    log.line(Step::Pull, format!("pulling {image}")).await;
    let (login, unread) = read_login(log, &settings.logins, image.registry()).await;
    let pulled =
        follow_pull(log, image, docker.pull_as(image, login.as_ref()), settings.pull_timeout.unwrap_or(SILENCE_MAX)).await;
    if let Err(RunError::Failed { code: EndCode::ImageNoPlatform, step, status, .. }) = pulled {
        let message = other_platforms(docker, image, login.as_ref()).await;
        return Err(RunError::Failed { code: EndCode::ImageNoPlatform, step, status, message });
    }
    pulled.map_err(|error| blame_login(error, unread))?;
    let id = present(docker, image).await?;
    if let Some(id) = &id {
        containers.record.made(&image.to_string(), id);
    }
    id.ok_or_else(|| {
        RunError::failed(
            EndCode::ImageVanished,
            Step::Pull,
            format!("{image} was pulled, but the engine does not have it; somebody may have removed it"),
        )
    })
}

/// A sentence with the platforms of an image and the platform of this machine.
pub(crate) async fn other_platforms(docker: &Docker, image: &ImageReference, login: Option<&Login>) -> String {
    let known = tokio::time::timeout(PLATFORMS_TIMEOUT, docker.registry_platforms(image, login)).await;
    let offered = match known {
        Ok(Ok(platforms)) if !platforms.is_empty() => platforms.join(", "),
        _ => "other platforms".to_owned(),
    };
    format!("{image} is made for {offered}, and this worker's machine is {}", docker.platform)
}

/// The owner's login for a registry. If it cannot be read, the log says so, and the worker asks the registry without a login.
pub(crate) async fn login_for(log: &JobLog, logins: &Logins, registry: Option<&str>) -> Option<Login> {
    read_login(log, logins, registry).await.0
}

/// The owner's login for a registry, and if an existing login could not be read, the reason.
async fn read_login(log: &JobLog, logins: &Logins, registry: Option<&str>) -> (Option<Login>, Option<String>) {
    match logins.of_registry(registry).await {
        Ok(login) => (login, None),
        Err(error) => {
            let sentence = format!("no login for {}: {error}", registry.unwrap_or(DEFAULT_REGISTRY));
            log.error(Step::Pull, sentence.clone()).await;
            (None, Some(sentence))
        }
    }
}

/// Blames the unreadable login instead of the job when a registry denies an image: with that login, the registry might allow it.
fn blame_login(error: RunError, unread: Option<String>) -> RunError {
    match (error, unread) {
        (RunError::Failed { code: EndCode::ImageDenied, step, status, message }, Some(unread)) => {
            RunError::Failed { code: EndCode::LoginUnavailable, step, status, message: format!("{message}; {unread}") }
        }
        (error, _) => error,
    }
}

async fn present(docker: &Docker, image: &ImageReference) -> Result<Option<String>, RunError> {
    docker.image_id(image).await.map_err(|fault| fault.during(Step::Pull))
}

/// Waits for the end of a pull, and writes a log line for each change of a layer's state.
pub(crate) async fn follow_pull(
    log: &JobLog,
    image: &ImageReference,
    words: impl Stream<Item = Result<PullProgress, Fault>>,
    timeout: Duration,
) -> Result<(), RunError> {
    let mut words = std::pin::pin!(words);
    let mut states: HashMap<String, String> = HashMap::new();
    let mut lines = 0;
    loop {
        let is_unpacking = states.values().any(|state| UNPACKING.contains(&state.as_str()));
        let limit = if is_unpacking { timeout * UNPACK_FACTOR } else { timeout };
        let silent = |_| silence(image, is_unpacking, limit);
        let Some(word) = tokio::time::timeout(limit, words.next()).await.map_err(silent)? else { return Ok(()) };
        let word = word.map_err(|fault| refusal(image, &fault))?;
        let is_news = !word.status.is_empty() && states.get(&word.layer) != Some(&word.status);
        if is_news && lines < PROGRESS_LINES_MAX {
            lines += 1;
            let line = if word.layer.is_empty() { word.status.clone() } else { format!("{}: {}", word.layer, word.status) };
            log.line(Step::Pull, line).await;
        }
        if is_news && states.len() < PROGRESS_LINES_MAX {
            states.insert(word.layer, word.status);
        }
    }
}

fn silence(image: &ImageReference, is_unpacking: bool, limit: Duration) -> RunError {
    let time = protocol::format_duration(limit);
    let (code, what) = if is_unpacking {
        (EndCode::UnpackStalled, "the engine gave no progress of unpacking")
    } else {
        (EndCode::PullSilent, "the registry sent nothing")
    };
    RunError::failed(
        code,
        Step::Pull,
        format!("{image}: {what} for {time}; the worker's flag --pull-patience sets how long it waits"),
    )
}

fn refusal(image: &ImageReference, fault: &Fault) -> RunError {
    let status = if let Fault::Refused { status, .. } = fault { *status } else { 500 };
    RunError::Failed { code: refusals::pull(fault, image), step: Step::Pull, status, message: fault.to_string() }
}
