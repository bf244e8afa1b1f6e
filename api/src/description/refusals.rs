//! Refusals that many routes share, in the form that `error.rs` writes.

#![allow(dead_code, reason = "only the macros read it")]

use std::collections::BTreeMap;

use protocol::ErrorCode;
use serde_json::Value;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// What is wrong with the request.
#[derive(ToSchema)]
pub(crate) struct Sentence {
    /// One sentence for people.
    error: String,
    /// The code for programs.
    code: ErrorCode,
}

/// An internal error of the server.
#[derive(ToSchema)]
#[schema(as = Failure)]
pub(crate) struct ServerFailure {
    /// A general sentence; the server's log has the cause under the id.
    error: String,
    /// Id of the request in the log.
    id: uuid::Uuid,
    /// The code of a temporary error, with 503.
    #[schema(nullable = false)]
    code: Option<ErrorCode>,
}

/// What is wrong with a request to the task-queue API.
#[derive(ToSchema)]
pub(crate) struct Detail {
    /// One sentence for people.
    detail: String,
    /// The code for programs.
    code: ErrorCode,
}

/// The mistakes in a request.
#[derive(ToSchema)]
pub(crate) struct Problems {
    /// The mistakes.
    detail: Vec<FormProblem>,
    /// Always `invalid-form`.
    code: ErrorCode,
}

/// One mistake in a request.
#[derive(ToSchema)]
#[schema(as = Problem)]
pub(crate) struct FormProblem {
    /// The kind of mistake.
    r#type: String,
    /// The path to it: names and numbers.
    loc: Vec<Value>,
    /// One sentence.
    msg: String,
    /// The value that is there.
    input: Value,
    /// More about it.
    #[schema(nullable = false)]
    ctx: Option<BTreeMap<String, Value>>,
}

type Responses = BTreeMap<String, RefOr<Response>>;

fn response(status: &str, schema: &str, description: &str) -> (String, RefOr<Response>) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let response = ResponseBuilder::new().description(description).content("application/json", content).build();
    (status.to_owned(), RefOr::T(response))
}

/// The refusals of every route that reads a queue or a store.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> Responses {
        [
            response("400", "Sentence", "The request cannot be understood or breaks a rule."),
            response("500", "Failure", "An internal error of the server."),
            response("503", "Failure", "The database cannot be reached or the server is stopping; try again."),
        ]
        .into()
    }
}

/// The request is over a limit.
pub(crate) struct Limited;

impl IntoResponses for Limited {
    fn responses() -> Responses {
        [response("429", "Sentence", "Over a limit; try again after `Retry-After` seconds.")].into()
    }
}

/// The path names something that does not exist.
pub(crate) struct Missing;

impl IntoResponses for Missing {
    fn responses() -> Responses {
        [response("404", "Sentence", "What the path names does not exist.")].into()
    }
}

/// The body is over the limit, or does not arrive in time.
pub(crate) struct TooLarge;

impl IntoResponses for TooLarge {
    fn responses() -> Responses {
        [
            response("408", "Sentence", "The body did not come in time."),
            response("413", "Sentence", "The body is larger than allowed."),
        ]
        .into()
    }
}

/// The claim is no longer live.
pub(crate) struct Stale;

impl IntoResponses for Stale {
    fn responses() -> Responses {
        [response("409", "Sentence", "The claim is no longer live: the worker must drop its copy.")].into()
    }
}
