//! `…/inputs/*name` and `…/outputs/*name`: one file of a job. A local API sends every stored byte itself; other APIs redirect to
//! stored files by absolute addresses.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::{DataRef, DataRefType, Definition, ErrorCode, JobId, Qid};
use serde_json::Value;

use super::job::find;
use crate::access::{Caller, ReaderOfJob};
use crate::app::{App, AppState};
use crate::blob::FileName;
use crate::description::parameters::NamePath;
use crate::description::schemas::{Refusals, Sentence};
use crate::encoding;
use crate::error::ApiError;
use crate::extract::{IdPath, JobPath, Parts};
use crate::own_address::OwnAddress;

/// `GET /q/:queue/j/:id/inputs/*name`: one input or config file of a job. The name may contain slashes.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/inputs/{*name}",
    tag = "jobs",
    params(JobPath, NamePath),
    responses(
        (status = 200, description = "The bytes, with the content type that the name suggests.", content((String = "*/*"))),
        (status = 302, description = "The file is at another address, see `Location`."),
        (status = 404, description = "There is no such file.", body = Sentence),
        (status = 422, description = "The stored value cannot be sent.", body = Sentence),
        Refusals,
    ),
)]
pub(crate) async fn input(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    Parts((_, _, name)): Parts<(String, String, String)>,
    own: OwnAddress,
    request: Request,
) -> Result<Response, ApiError> {
    send_input(&app, queue.qid(), id.as_str(), Asked { name, own, request }).await
}

/// `GET /q/:queue/j/:id/outputs/*name`: one output file of a job. The name may contain slashes.
#[utoipa::path(
    get,
    path = "/q/{queue}/j/{id}/outputs/{*name}",
    tag = "jobs",
    params(JobPath, NamePath),
    responses(
        (status = 200, description = "The bytes, with the content type that the name suggests.", content((String = "*/*"))),
        (status = 302, description = "The file is at another address, see `Location`."),
        (status = 404, description = "There is no such file.", body = Sentence),
        (status = 422, description = "The stored value cannot be sent.", body = Sentence),
        Refusals,
    ),
)]
pub(crate) async fn output(
    State(app): State<AppState>,
    ReaderOfJob(queue, id): ReaderOfJob,
    Parts((_, _, name)): Parts<(String, String, String)>,
    own: OwnAddress,
    request: Request,
) -> Result<Response, ApiError> {
    send_output(&app, queue.qid(), id.as_str(), Asked { name, own, request }).await
}

/// `GET /j/:id/inputs/*name`: one input or config file of a job in any queue.
#[utoipa::path(
    get,
    path = "/j/{id}/inputs/{*name}",
    tag = "jobs",
    params(IdPath, NamePath),
    responses(
        (status = 200, description = "The bytes, with the content type that the name suggests.", content((String = "*/*"))),
        (status = 302, description = "The file is at another address, see `Location`."),
        (status = 404, description = "There is no such file.", body = Sentence),
        (status = 422, description = "The stored value cannot be sent.", body = Sentence),
        Refusals,
    ),
)]
pub(crate) async fn input_anywhere(
    State(app): State<AppState>,
    Parts((id, name)): Parts<(String, String)>,
    caller: Caller,
    own: OwnAddress,
    request: Request,
) -> Result<Response, ApiError> {
    let id: JobId = id.parse().map_err(ApiError::invalid)?;
    let (qid, id) = find(&app, id.as_str(), &caller).await?;
    send_input(&app, qid, &id, Asked { name, own, request }).await
}

/// `GET /j/:id/outputs/*name`: one output file of a job in any queue.
#[utoipa::path(
    get,
    path = "/j/{id}/outputs/{*name}",
    tag = "jobs",
    params(IdPath, NamePath),
    responses(
        (status = 200, description = "The bytes, with the content type that the name suggests.", content((String = "*/*"))),
        (status = 302, description = "The file is at another address, see `Location`."),
        (status = 404, description = "There is no such file.", body = Sentence),
        (status = 422, description = "The stored value cannot be sent.", body = Sentence),
        Refusals,
    ),
)]
pub(crate) async fn output_anywhere(
    State(app): State<AppState>,
    Parts((id, name)): Parts<(String, String)>,
    caller: Caller,
    own: OwnAddress,
    request: Request,
) -> Result<Response, ApiError> {
    let id: JobId = id.parse().map_err(ApiError::invalid)?;
    let (qid, id) = find(&app, id.as_str(), &caller).await?;
    send_output(&app, qid, &id, Asked { name, own, request }).await
}

/// The requested file and the form of the request.
struct Asked {
    name: String,
    own: OwnAddress,
    request: Request,
}

async fn send_input(app: &App, qid: Qid, id: &str, asked: Asked) -> Result<Response, ApiError> {
    let stored = app.db.get_definition(qid, id).await?;
    let file = stored.and_then(|stored| input_of(&stored.body, &asked.name)).ok_or_else(absent)?;
    send(app, file, asked).await
}

/// An item's body may be any JSON. If it is not a definition, it has no files.
fn input_of(body: &str, name: &str) -> Option<DataRef> {
    let definition: Definition = serde_json::from_str(body).ok()?;
    named(&definition.inputs.iter().chain(&definition.config_files).flatten(), name).cloned()
}

async fn send_output(app: &App, qid: Qid, id: &str, asked: Asked) -> Result<Response, ApiError> {
    // All outputs of a job may be megabytes of JSON.
    let found = app.large.read(async {
        let Some(row) = app.db.get_result(qid, id).await? else { return Err(absent()) };
        let result = row.to_finished(Vec::new())?.result.unwrap_or_default();
        named(&result.outputs.iter(), &asked.name).cloned().ok_or_else(absent)
    });
    let file = found.await?;
    send(app, file, asked).await
}

/// The file of this name, else one whose name differs only in slashes at its start: config files may have absolute names, and
/// in a URL there is a slash before every name.
fn named<'a>(files: &(impl Iterator<Item = (&'a String, &'a DataRef)> + Clone), name: &str) -> Option<&'a DataRef> {
    let bare = |text: &'a str| text.trim_start_matches('/');
    let same = files.clone().find(|(key, _)| *key == name);
    let found = same.or_else(|| files.clone().find(|(key, _)| bare(key) == name.trim_start_matches('/')));
    found.map(|(_, reference)| reference)
}

fn absent() -> ApiError {
    ApiError::refused(ErrorCode::NoFile, "there is no such file")
}

fn unreadable(sentence: &'static str) -> ApiError {
    ApiError::refused(ErrorCode::UnreadableValue, sentence)
}

/// The bytes of a data ref, or a redirect to them.
async fn send(app: &App, reference: DataRef, asked: Asked) -> Result<Response, ApiError> {
    let name = asked.name.clone();
    let text = || reference.value.as_str().unwrap_or_default().to_owned();
    match reference.kind.unwrap_or_default() {
        DataRefType::Url => {
            let url = text();
            if let Some(read) = protocol::data_url_bytes(&url) {
                let bytes = read.map_err(|_| unreadable("the stored value is not a data URL that can be read"))?;
                return Ok(bytes_of(&name, bytes));
            }
            match asked.own.key_of(&url) {
                Some(key) => stored(app, key, asked).await,
                None => redirect(&encoding::address(&with_name(url, &name))),
            }
        }
        DataRefType::Key => stored(app, &text(), asked).await,
        DataRefType::Base64 => match protocol::decode_base64(&text()) {
            Some(bytes) => Ok(bytes_of(&name, bytes)),
            None => Err(unreadable("the stored value is not base64")),
        },
        DataRefType::Json => Ok(axum::Json(&reference.value).into_response()),
        DataRefType::Utf8 => Ok(match &reference.value {
            Value::String(text) => text.clone().into_response(),
            other => other.to_string().into_response(),
        }),
    }
}

/// A file of this API: its bytes if this is a local API, else a redirect to them.
async fn stored(app: &App, key: &str, asked: Asked) -> Result<Response, ApiError> {
    let Asked { name, own, request } = asked;
    if app.config.local_access.local {
        super::blobs::check(key)?;
        return app.blobs.get(key, Some(FileName::new(last(&name))), request, true).await;
    }
    let mut answer = redirect(&format!("{}?name={}", own.file(key), encoding::segment(last(&name))))?;
    // The address may contain the host name that this client used, so no cache may give it to another client.
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// The last segment of a file's name.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The address of a stored file contains only its hash, so the name is added. Every other address is returned unchanged.
fn with_name(url: String, name: &str) -> String {
    let is_stored = url.rsplit_once("/f/").is_some_and(|(_, key)| protocol::is_sha256(key));
    if is_stored { format!("{url}?name={}", encoding::segment(last(name))) } else { url }
}

fn redirect(location: &str) -> Result<Response, ApiError> {
    let value = HeaderValue::from_str(location).map_err(|_| unreadable("the stored value is not a URL"))?;
    Ok((StatusCode::FOUND, [(header::LOCATION, value)]).into_response())
}

fn bytes_of(name: &str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    FileName::new(last(name)).describe(headers);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    response
}
