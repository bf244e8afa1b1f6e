//! Answers in the form of the task-queue API: compact JSON, and `{"detail": …}` for errors.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::ErrorCode;
use serde::Serialize;
use serde_json::json;

use crate::error::{ApiError, refusal, status_of};
use crate::request;

/// Every error of a call.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No such route.
    NotFound,
    /// No queue is configured for the routes without a queue.
    NotConfigured,
    /// Redirect to the same path without its last slash.
    Moved(HeaderValue),
    /// The route exists, for these methods.
    Method(String),
    /// Refused for the reason that the code names, with this text.
    Refused(ErrorCode, String),
    /// 422 with these elements, each a JSON text.
    Invalid(Vec<String>),
    /// An internal error, or one that all our routes share, such as a missing token.
    Failed(ApiError),
}

impl From<sql::Error> for Refusal {
    fn from(error: sql::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::StaleEpoch => stale(),
            other => Self::Failed(other),
        }
    }
}

/// One mistake in a request.
pub(super) struct FormProblem<'t> {
    pub(super) kind: &'t str,
    /// The path to it in the request, as JSON text.
    pub(super) place: &'t str,
    pub(super) message: &'t str,
    /// The value that the request has there, as JSON text.
    pub(super) input: &'t str,
    /// Further facts, as JSON text.
    pub(super) context: Option<&'t str>,
}

impl FormProblem<'_> {
    pub(super) fn to_text(&self) -> String {
        let context = self.context.map(|context| format!(",\"ctx\":{context}")).unwrap_or_default();
        let (kind, message) = (text_of(self.kind), text_of(self.message));
        format!("{{\"type\":{kind},\"loc\":{},\"msg\":{message},\"input\":{}{context}}}", self.place, self.input)
    }
}

impl From<FormProblem<'_>> for Refusal {
    fn from(problem: FormProblem<'_>) -> Self {
        Self::Invalid(vec![problem.to_text()])
    }
}

/// A text as JSON.
pub(super) fn text_of(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A 422 about a body, in one sentence.
pub(super) fn bad_body(message: &str) -> Refusal {
    FormProblem { kind: "value_error", place: "[\"body\"]", message, input: "null", context: None }.into()
}

/// A 422 about a parameter, in one sentence.
pub(super) fn bad_parameter(name: &str, message: &str) -> Refusal {
    let place = format!("[\"query\",{}]", text_of(name));
    FormProblem { kind: "value_error", place: &place, message, input: "null", context: None }.into()
}

/// The claim is no longer live.
pub(super) fn stale() -> Refusal {
    Refusal::Refused(ErrorCode::StaleEpoch, "this claim is no longer live".to_owned())
}

/// `<id> not in Queue`.
pub(super) fn not_in_queue(id: &str) -> String {
    format!("{id} not in Queue")
}

/// 200 with a JSON text.
pub(super) fn ok(text: String) -> Response {
    with_status(StatusCode::OK, text)
}

/// 200 with a value.
pub(super) fn ok_json(value: &impl Serialize) -> Result<Response, Refusal> {
    let text = serde_json::to_string(value).map_err(ApiError::bad_request)?;
    Ok(ok(text))
}

fn with_status(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

fn detail(code: ErrorCode, text: &str) -> Response {
    refusal(code, &json!({"detail": text, "code": code}))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound => detail(ErrorCode::NoRoute, "Not Found"),
            Self::NotConfigured => {
                let words = "no task queue is configured here; start the API with --task-queue-name or ASMAN_TASK_QUEUE";
                detail(ErrorCode::NoTaskQueue, words)
            }
            Self::Moved(location) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response(),
            Self::Method(methods) => {
                let mut response = detail(ErrorCode::WrongMethod, "Method Not Allowed");
                if let Ok(allow) = HeaderValue::from_str(&methods) {
                    response.headers_mut().insert(header::ALLOW, allow);
                }
                response
            }
            Self::Refused(code, text) => detail(code, &text),
            Self::Invalid(elements) => {
                let text = format!("{{\"detail\":[{}],\"code\":\"{}\"}}", elements.join(","), ErrorCode::InvalidForm);
                let mut response = with_status(status_of(ErrorCode::InvalidForm), text);
                response.extensions_mut().insert(ErrorCode::InvalidForm);
                response
            }
            Self::Failed(error) => error.refusal("detail").unwrap_or_else(|| failed(&error)),
        }
    }
}

/// Existing clients expect one answer to all internal errors. It has no details: the cause is logged here, once.
fn failed(error: &ApiError) -> Response {
    tracing::error!(id = request::current_id(), cause = %error, "a request of the task-queue API failed");
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::INTERNAL_SERVER_ERROR, plain, "Internal Server Error").into_response()
}
