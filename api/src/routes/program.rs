//! `/download/asman`: the program itself, so that workers can run the same version as the API.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;

use protocol::ErrorCode;

use crate::access::Caller;
use crate::app::AppState;
use crate::description::schemas::{Refusals, Sentence};
use crate::error::ApiError;
use crate::program::CHUNK_BYTES;

const VERSION: HeaderName = HeaderName::from_static("x-asman-version");
const SHA256: HeaderName = HeaderName::from_static("x-asman-sha256");

/// For which machine.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Machine {
    /// Operating system, such as `linux`.
    os: String,
    /// Processor, such as `x86_64` or `aarch64`.
    arch: String,
}

/// `GET /download/asman`: the program that this API runs. `x-asman-version` is its version, also when there is none for the
/// machine; `x-asman-sha256` is its hash. HEAD returns only the headers.
#[utoipa::path(
    get,
    path = "/download/asman",
    tag = "operation",
    params(Machine),
    responses(
        (
            status = 200,
            description = "The program.",
            content((String = "application/octet-stream")),
            headers(
                ("x-asman-version" = String, description = "Version of the program."),
                ("x-asman-sha256" = String, description = "SHA-256 of the body, in hex."),
            ),
        ),
        (status = 404, description = "There is no program for this machine.", body = Sentence),
        Refusals,
    ),
)]
pub(crate) async fn program(
    State(app): State<AppState>,
    machine: Result<Query<Machine>, axum::extract::rejection::QueryRejection>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let Query(machine) = machine.map_err(|_| {
        ApiError::refused(ErrorCode::InvalidParameter, "the parameters os and arch are missing; give both".to_owned())
    })?;
    app.meters.upload(&caller)?;
    let mut response = match give(&app, &machine).await {
        Err(error @ ApiError::Refused(ErrorCode::NoProgram, _)) => error.into_response(),
        other => other?,
    };
    response.headers_mut().insert(VERSION, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    Ok(response)
}

async fn give(app: &AppState, machine: &Machine) -> Result<Response, ApiError> {
    if (machine.os.as_str(), machine.arch.as_str()) != (std::env::consts::OS, std::env::consts::ARCH) {
        return Err(ApiError::refused(
            ErrorCode::NoProgram,
            "this API runs on another kind of machine and does not have a program for yours",
        ));
    }
    let (file, length, sha256) = app.program.open().await?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK_BYTES));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"asman\""));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Ok(sha256) = HeaderValue::from_str(sha256) {
        headers.insert(SHA256, sha256);
    }
    Ok(response)
}
