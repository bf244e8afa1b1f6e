//! A job as the text that clients get, put together from the texts that are stored: parsing what a stranger's job left would take
//! several times its size.

use std::collections::BTreeMap;

use protocol::{Finished, Job, LogLine, OmittedLines, Qid, State as JobState};
use serde::Serialize;
use serde_json::value::RawValue;
use sql::{ClaimKey, LogTail};

use crate::app::App;
use crate::error::ApiError;

/// A job, and its state.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) state: JobState,
    pub(super) text: Box<RawValue>,
}

#[derive(Serialize)]
struct WithEnd<'a> {
    #[serde(flatten)]
    job: &'a Job,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<WithResult<'a>>,
}

#[derive(Serialize)]
struct WithResult<'a> {
    #[serde(flatten)]
    finished: &'a Finished,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
}

#[expect(clippy::needless_pass_by_value, reason = "so that it can be named in `map_err`")]
fn unreadable(error: serde_json::Error) -> ApiError {
    sql::Error::UnknownWord(error.to_string()).into()
}

/// A job with its result, when it has one.
pub(super) async fn full_job(app: &App, qid: Qid, id: &str) -> Result<Option<Shown>, ApiError> {
    let Some(row) = app.db.get_job(qid, id).await? else { return Ok(None) };
    let job = row.to_job();
    let (mut finished, mut result) = (None, None);
    if job.state == JobState::Finished
        && let Some(mut end) = app.db.get_result(qid, id).await?
    {
        let left = end.take_result();
        if let Some(left) = left {
            let tail = app.db.read_run_tail(&ClaimKey { qid, job_id: id.to_owned(), epoch: end.epoch }).await?;
            result = Some(with_log(&left, &tail)?);
        }
        finished = Some(end.to_finished(Vec::new())?);
    }
    let finished = finished.as_ref().map(|finished| WithResult { finished, result: result.as_deref() });
    let text = serde_json::value::to_raw_value(&WithEnd { job: &job, finished }).map_err(unreadable)?;
    Ok(Some(Shown { state: job.state, text }))
}

/// A stored result with the end of its log.
fn with_log(stored: &str, tail: &LogTail) -> Result<Box<RawValue>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Log<'a> {
        logs: &'a [LogLine],
        #[serde(skip_serializing_if = "Option::is_none")]
        logs_omitted: Option<OmittedLines>,
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(stored).map_err(unreadable)?;
    let omitted = OmittedLines { lines: tail.n_omitted, url: "run-logs.json".to_owned() };
    let log = Log { logs: &tail.lines, logs_omitted: Some(omitted).filter(|omitted| omitted.lines > 0) };
    let mut text = serde_json::to_string(&log).map_err(unreadable)?;
    text.reserve(stored.len());
    text.pop();
    for (name, value) in members.iter().filter(|(name, _)| !matches!(name.as_str(), "logs" | "logsOmitted")) {
        text.push(',');
        text.push_str(&serde_json::to_string(name).map_err(unreadable)?);
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    RawValue::from_string(text).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use protocol::JobResult;

    use super::*;

    #[test]
    fn a_stored_result_gets_its_log_and_keeps_everything_else() {
        let stored = r#"{"StatusCode":3,"logs":[["old",1]],"isTimedOut":false,"outputs":{"a\"b":{"value":"x"}},"more":[1]}"#;
        let line = LogLine { text: "new".to_owned(), time: 2, is_stderr: true };
        let text = with_log(stored, &LogTail { lines: vec![line.clone()], n_omitted: 7 }).unwrap();
        let result: JobResult = serde_json::from_str(text.get()).unwrap();
        assert_eq!((result.status_code, result.logs, result.outputs.len()), (Some(3), vec![line], 1));
        assert_eq!(result.logs_omitted.unwrap().lines, 7);
        assert!(text.get().contains(r#""more":[1]"#));
        let whole = with_log(stored, &LogTail::default()).unwrap();
        assert_eq!(serde_json::from_str::<JobResult>(whole.get()).unwrap().logs_omitted, None);
    }
}
