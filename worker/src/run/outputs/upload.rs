//! Uploads one large output to the API's file store, streamed from disk.
//!
//! The API takes the bytes itself, or answers 307 with the address of the storage. Then the worker opens the file again and sends it there,
//! without its token. If the worker cannot reach the storage, it asks the API to take the bytes itself. Content that is stored already is
//! not sent.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use protocol::{EndCode, Step};
use reqwest::header::{CONTENT_LENGTH, LOCATION};
use reqwest::{Body, Method, RequestBuilder, Response, Url};
use tokio_util::io::ReaderStream;

use super::Found;
use crate::answer::{ApiError, sort};
use crate::backoff::Backoff;
use crate::ends::RunError;
use crate::run::Task;

/// The job fails when the storage has failed this many times, if the last failure is a refusal. One refusal may just mean that the signed
/// address has expired.
const REFUSALS_MAX: usize = 5;
/// After this many failures of the storage, the worker uploads through the API.
const FAILURES_DIRECT: usize = 2;
/// Slowest upload that is allowed to continue, after the first minute.
const BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// Bytes read from disk at a time.
const READ_BYTES: usize = 64 * 1024;

/// Why an attempt failed.
enum UploadFailure {
    /// The API failed. This is final, except for [`ApiError::Away`].
    Api(ApiError),
    /// The storage that the API redirected to failed.
    Elsewhere(ApiError),
    Disk(std::io::Error),
}

/// Stores a file under its hash. Waits while the API or the storage is down; the caller may drop this future.
pub(super) async fn put(task: &Task<'_>, file: &Found, sha256: &str) -> Result<(), RunError> {
    let refuse = |error: ApiError, is_elsewhere: bool| {
        let status = if let ApiError::Refused { status, .. } = error { status } else { 400 };
        // A file that is too large, or an invalid key, fails everywhere. Every other refusal is the cluster's fault.
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
            Err(UploadFailure::Api(ApiError::Away(_))) => (),
            Err(UploadFailure::Api(error)) => return Err(refuse(error, false)),
            Err(UploadFailure::Elsewhere(error)) => {
                refusals += 1;
                if refusals >= REFUSALS_MAX && !matches!(error, ApiError::Away(_)) {
                    return Err(refuse(error, true));
                }
            }
            Err(UploadFailure::Disk(error)) => return Err(RunError::Host(format!("reading an output: {error}"))),
        }
        backoff.wait().await;
    }
}

async fn attempt(task: &Task<'_>, file: &Found, sha256: &str, is_proxied: bool) -> Result<(), UploadFailure> {
    let api = &task.host.api;
    let exists = api.send(api.request(Method::GET, api.url(&["f", sha256, "exists"]))).await;
    match exists {
        Ok(_) => return Ok(()),
        Err(ApiError::Refused { status: 404, .. }) => (),
        Err(error) => return Err(UploadFailure::Api(error)),
    }
    let url = if is_proxied { api.proxied_url(sha256) } else { api.url(&["f", sha256]) };
    let timeout = if is_proxied { Duration::ZERO } else { api.continue_timeout() };
    let request = with_file(api.upload_request(url.clone()), file, timeout)?;
    let answer = api.send(request).await.map_err(UploadFailure::Api)?;
    let target = redirect_of(&answer, &url);
    if !is_proxied {
        api.learn_upload(target.is_some());
    }
    let Some(target) = target else { return Ok(()) };
    let request = with_file(api.redirected_upload(target), file, Duration::ZERO)?;
    let answer = sort(request.send().await).await.map_err(UploadFailure::Elsewhere)?;
    if answer.status().is_redirection() {
        // Nothing was stored. Some storages redirect uploads to a new bucket; the API can follow that.
        return Err(UploadFailure::Elsewhere(ApiError::Away("the storage redirects the upload".to_owned())));
    }
    Ok(())
}

/// Adds the file as the body, which is sent when there is no answer after `timeout`.
fn with_file(request: RequestBuilder, file: &Found, timeout: Duration) -> Result<RequestBuilder, UploadFailure> {
    let opened = file.open().map_err(UploadFailure::Disk)?;
    let content = ReaderStream::with_capacity(tokio::fs::File::from_std(opened), READ_BYTES);
    let pause = stream::once(tokio::time::sleep(timeout)).filter_map(|()| async { None });
    let timeout = Duration::from_secs(60 + file.size / BYTES_PER_SECOND_MIN);
    Ok(request.timeout(timeout).header(CONTENT_LENGTH, file.size).body(Body::wrap_stream(pause.chain(content))))
}

fn redirect_of(answer: &Response, from: &Url) -> Option<Url> {
    let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())?;
    from.join(location.to_str().ok()?).ok()
}
