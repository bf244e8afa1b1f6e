//! A job as JSON text for clients, built from stored texts: parsing a stranger's result would take several times its size in
//! memory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use protocol::{Finished, Job, JobState, LogLine, OmittedLines, Qid, Reason, StateCursor};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sql::{ClaimKey, LogTail};

use crate::app::App;
use crate::error::ApiError;
use crate::own_address::OwnAddress;

/// A job, and its state.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) state: JobState,
    /// The position in the queue's events at which the job was read.
    pub(super) cursor: Option<StateCursor>,
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

/// A job with its result, when it has one. Stored outputs have their absolute address.
pub(super) async fn full_job(app: &App, qid: Qid, id: &str, own: &OwnAddress) -> Result<Option<Shown>, ApiError> {
    let Some(row) = app.db.get_job(qid, id).await? else { return Ok(None) };
    let job = row.to_job();
    let (mut finished, mut result) = (None, None);
    if job.state == JobState::Finished
        && let Some(mut end) = app.db.get_result(qid, id).await?
    {
        let left = end.take_result();
        if let Some(left) = left {
            let key = ClaimKey { qid, job_id: id.to_owned(), epoch: end.epoch };
            let mut log = ShownLog { tail: app.db.read_tail(&key, true).await?, is_build: false };
            if log.tail.lines.is_empty() && job.finished_reason != Some(Reason::Success) {
                log = ShownLog { tail: app.db.read_tail(&key, false).await?, is_build: true };
            }
            result = Some(with_log(&left, &log, own)?);
        }
        finished = Some(end.to_finished(Vec::new())?);
    }
    let finished = finished.as_ref().map(|finished| WithResult { finished, result: result.as_deref() });
    let text = serde_json::value::to_raw_value(&WithEnd { job: &job, finished }).map_err(unreadable)?;
    Ok(Some(Shown { state: job.state, cursor: row.cursor(), text }))
}

/// The end of a log for a result: the run's log, or the log of pull and build for a job that never ran.
#[derive(Debug, Default)]
struct ShownLog {
    tail: LogTail,
    is_build: bool,
}

/// A stored result with the end of its log, in the form for clients.
fn with_log(stored: &str, shown: &ShownLog, own: &OwnAddress) -> Result<Box<RawValue>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Log<'a> {
        logs: &'a [LogLine],
        #[serde(skip_serializing_if = "Option::is_none")]
        logs_of: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        logs_omitted: Option<OmittedLines>,
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(stored).map_err(unreadable)?;
    let ShownLog { tail, is_build } = shown;
    let file = if *is_build { "build-logs.json" } else { "run-logs.json" };
    let omitted = OmittedLines { lines: tail.n_omitted, url: file.to_owned() };
    let logs_of = Some("build").filter(|_| *is_build && !tail.lines.is_empty());
    let log = Log { logs: &tail.lines, logs_of, logs_omitted: Some(omitted).filter(|omitted| omitted.lines > 0) };
    let mut text = serde_json::to_string(&log).map_err(unreadable)?;
    text.reserve(stored.len());
    text.pop();
    for (name, value) in members.iter().filter(|(name, _)| !matches!(name.as_str(), "logs" | "logsOf" | "logsOmitted")) {
        text.push(',');
        text.push_str(&serde_json::to_string(name).map_err(unreadable)?);
        text.push(':');
        match name.as_str() {
            "outputs" => text.push_str(&with_addresses(value.get(), own)?),
            _ => text.push_str(value.get()),
        }
    }
    text.push('}');
    RawValue::from_string(text).map_err(unreadable)
}

/// Outputs with an address in place of a key, so that clients need not know about keys.
fn with_addresses<'a>(outputs: &'a str, own: &OwnAddress) -> Result<Cow<'a, str>, ApiError> {
    if !outputs.contains("\"key\"") {
        return Ok(Cow::Borrowed(outputs));
    }
    let refs: BTreeMap<String, &RawValue> = serde_json::from_str(outputs).map_err(unreadable)?;
    let shown = refs.into_iter().map(|(name, value)| Ok((name, with_address(value, own)?)));
    let shown: BTreeMap<String, Cow<'_, RawValue>> = shown.collect::<Result<_, ApiError>>()?;
    serde_json::to_string(&shown).map(Cow::Owned).map_err(unreadable)
}

fn with_address<'a>(value: &'a RawValue, own: &OwnAddress) -> Result<Cow<'a, RawValue>, ApiError> {
    // Only a value with this word can be a reference to a stored file. All others are not parsed.
    let is_candidate = value.get().contains("\"key\"");
    let Some(mut reference) = is_candidate.then(|| serde_json::from_str::<Map<String, Value>>(value.get()).ok()).flatten() else {
        return Ok(Cow::Borrowed(value));
    };
    let key = reference.get("value").and_then(Value::as_str).filter(|_| reference.get("type").is_some_and(|kind| kind == "key"));
    let Some(key) = key.map(str::to_owned) else { return Ok(Cow::Borrowed(value)) };
    reference.insert("type".to_owned(), "url".into());
    reference.insert("value".to_owned(), own.file(&key).into());
    if protocol::is_sha256(&key) {
        reference.entry("hash").or_insert(key.into());
    }
    serde_json::value::to_raw_value(&reference).map(Cow::Owned).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use protocol::JobResult;

    use super::*;

    #[test]
    fn a_stored_result_gets_its_log_and_keeps_everything_else() {
        let stored = r#"{"StatusCode":3,"logs":[["old",1]],"isTimedOut":false,"outputs":{"a\"b":{"value":"x"}},"more":[1]}"#;
        let own = OwnAddress::at("http://host");
        let line = LogLine { text: "new".to_owned(), time: 2, is_stderr: true };
        let text =
            with_log(stored, &ShownLog { tail: LogTail { lines: vec![line.clone()], n_omitted: 7 }, is_build: false }, &own)
                .unwrap();
        let result: JobResult = serde_json::from_str(text.get()).unwrap();
        assert_eq!((result.status_code, result.logs, result.outputs.len()), (Some(3), vec![line], 1));
        assert_eq!(result.logs_omitted.unwrap().lines, 7);
        assert!(text.get().contains(r#""more":[1]"#));
        let whole = with_log(stored, &ShownLog::default(), &own).unwrap();
        assert_eq!(serde_json::from_str::<JobResult>(whole.get()).unwrap().logs_omitted, None);
    }

    #[test]
    fn a_stored_output_gets_its_address_and_everything_else_stays() {
        let own = OwnAddress::at("https://queue.example");
        let hash = protocol::sha256_hex(b"x");
        let outputs = format!(
            r#"{{"a":{{"type":"key","value":"{hash}","size":3}},"b":{{"value":"\"key\""}},"c":{{"type":"json","value":{{"type":"key"}}}},
            "d":{{"type":"key","value":"odd key"}},"e":{{"type":"url","value":"http://x/key","hash":"h"}}}}"#
        );
        let shown: Value = serde_json::from_str(&with_addresses(&outputs, &own).unwrap()).unwrap();
        let url = format!("https://queue.example/f/{hash}");
        assert_eq!(shown["a"], serde_json::json!({"type": "url", "value": url, "hash": hash, "size": 3}));
        assert_eq!(shown["d"], serde_json::json!({"type": "url", "value": "https://queue.example/f/odd%20key"}));
        let before: Value = serde_json::from_str(&outputs).unwrap();
        for name in ["b", "c", "e"] {
            assert_eq!(shown[name], before[name]);
        }
    }
}
