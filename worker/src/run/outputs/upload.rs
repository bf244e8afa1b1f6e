//! One large output to the API's store, streamed from disk.
//!
//! The API takes the bytes itself or answers 307 to where they go; then the file is opened again and sent there, without the
//! worker's token. Where that place cannot be reached from here, the API is asked to take the bytes itself. Content of that hash
//! which is stored already is not sent.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use protocol::{EndCode, Step};
use reqwest::header::{CONTENT_LENGTH, LOCATION};
use reqwest::{Body, Method, RequestBuilder, Response, Url};
use tokio_util::io::ReaderStream;

use super::Found;
use crate::api::{ApiError, sort};
use crate::backoff::Backoff;
use crate::run::{RunError, Task};

/// Refusals of the place we are sent to before the job fails: a signed address may have expired on the way.
const REFUSALS_MAX: usize = 5;
/// Failures of that place before the API is asked to stand in for it.
const FAILURES_DIRECT: usize = 2;
/// Slowest upload that is not given up, after a minute's allowance.
const BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// Bytes read from disk at a time.
const READ_BYTES: usize = 64 * 1024;

/// Why an attempt failed.
enum Failure {
    /// By the API: final unless it is away.
    Api(ApiError),
    /// By the place that the API sent us to.
    Elsewhere(ApiError),
    Disk(std::io::Error),
}

/// Stores a file under its hash. Outages are waited out; the caller ends it by dropping it.
pub(super) async fn put(task: &Task<'_>, file: &Found, sha256: &str) -> Result<(), RunError> {
    let refuse = |error: ApiError, is_elsewhere: bool| {
        let status = if let ApiError::Refused { status, .. } = error { status } else { 400 };
        // Too large, or a key that cannot be one: so would it be anywhere. All else is the cluster's.
        let is_jobs = !is_elsewhere && matches!(status, 400 | 413);
        let code = if is_jobs { EndCode::OutputRefused } else { EndCode::OutputNotStored };
        let message = format!("output {:?} cannot be stored: {error}", file.name);
        RunError::Failed { code, step: Step::Running, status, message }
    };
    let mut backoff = Backoff::new();
    let mut refusals = 0;
    loop {
        match attempt(task, file, sha256, refusals >= FAILURES_DIRECT).await {
            Ok(()) => return Ok(()),
            Err(Failure::Api(ApiError::Away(_))) => (),
            Err(Failure::Api(error)) => return Err(refuse(error, false)),
            Err(Failure::Elsewhere(error)) => {
                refusals += 1;
                if refusals == REFUSALS_MAX && !matches!(error, ApiError::Away(_)) {
                    return Err(refuse(error, true));
                }
            }
            Err(Failure::Disk(error)) => return Err(RunError::Host(format!("reading an output: {error}"))),
        }
        backoff.wait().await;
    }
}

async fn attempt(task: &Task<'_>, file: &Found, sha256: &str, is_proxied: bool) -> Result<(), Failure> {
    let api = &task.host.api;
    let exists = api.send(api.request(Method::GET, api.url(&["f", sha256, "exists"]))).await;
    match exists {
        Ok(_) => return Ok(()),
        Err(ApiError::Refused { status: 404, .. }) => (),
        Err(error) => return Err(Failure::Api(error)),
    }
    let url = if is_proxied { api.proxied_url(sha256) } else { api.url(&["f", sha256]) };
    let patience = if is_proxied { Duration::ZERO } else { api.upload_patience() };
    let request = with_file(api.upload_request(url.clone()), file, patience)?;
    let answer = api.send(request).await.map_err(Failure::Api)?;
    let target = redirect_of(&answer, &url);
    if !is_proxied {
        api.learn_upload(target.is_some());
    }
    let Some(target) = target else { return Ok(()) };
    let request = with_file(api.redirected_upload(target), file, Duration::ZERO)?;
    let answer = sort(request.send().await).await.map_err(Failure::Elsewhere)?;
    if answer.status().is_redirection() {
        // Nothing is stored. Some storage sends on what comes to a young bucket; the API finds its way there.
        return Err(Failure::Elsewhere(ApiError::Away("the storage sends the upload on".to_owned())));
    }
    Ok(())
}

/// Adds the file as the body, which is sent when there is no answer after `patience`.
fn with_file(request: RequestBuilder, file: &Found, patience: Duration) -> Result<RequestBuilder, Failure> {
    let opened = file.open().map_err(Failure::Disk)?;
    let content = ReaderStream::with_capacity(tokio::fs::File::from_std(opened), READ_BYTES);
    let pause = stream::once(tokio::time::sleep(patience)).filter_map(|()| async { None });
    let timeout = Duration::from_secs(60 + file.size / BYTES_PER_SECOND_MIN);
    Ok(request.timeout(timeout).header(CONTENT_LENGTH, file.size).body(Body::wrap_stream(pause.chain(content))))
}

fn redirect_of(answer: &Response, from: &Url) -> Option<Url> {
    let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())?;
    from.join(location.to_str().ok()?).ok()
}
