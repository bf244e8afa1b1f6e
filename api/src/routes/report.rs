//! `/q/:queue/report.json`: one queue in numbers, for charts.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use protocol::report::Span;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::access::Reader;
use crate::app::AppState;
use crate::description::schemas::Refusals;
use crate::error::ApiError;
use crate::extract::{Parameters, QueuePath};
use crate::report::ShownReport;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpanParameter {
    /// How far back: `hour` by minute, which is the default, or `day` by hour.
    #[serde(default)]
    #[param(inline)]
    span: Span,
}

/// `GET /q/:queue/report.json?span=`: a queue in numbers. How many jobs wait and run, the outcomes and times of each interval,
/// and the workers with their load. It costs the same for queues of any size; a report may be two seconds old.
#[utoipa::path(
    get,
    path = "/q/{queue}/report.json",
    tag = "clients",
    params(QueuePath, SpanParameter),
    responses((status = 200, description = "The numbers.", body = ShownReport), Refusals),
)]
pub(crate) async fn report(
    State(app): State<AppState>,
    Reader(queue): Reader,
    Parameters(asked): Parameters<SpanParameter>,
) -> Result<Response, ApiError> {
    let qid = queue.qid();
    let is_paused = app.policies.is_paused(qid).await?;
    let report = app.reports.get(qid, asked.span, is_paused).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], report).into_response())
}
