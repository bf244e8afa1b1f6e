//! Each golden file parses into the type that its name begins with, and is written back as the same JSON.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use protocol::{
    ClaimAnswer, ClaimRequest, ClientMessage, Control, Definition, EnqueueJob, FinishRequest, HeartbeatAnswer, HeartbeatRequest,
    HistoryEntry, Job, LogsRequest, ReleaseRequest, ServerMessage, StateChange, WorkerMessage, canonical_json,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn again<T: DeserializeOwned + Serialize>(text: &str) -> Value {
    serde_json::to_value(serde_json::from_str::<T>(text).unwrap()).unwrap()
}

/// What the type makes of a text.
fn read_and_written(kind: &str, text: &str) -> Value {
    match kind {
        "ClaimAnswer" => again::<ClaimAnswer>(text),
        "ClaimRequest" => again::<ClaimRequest>(text),
        "ClientMessage" => serde_json::to_value(ClientMessage::parse(text).unwrap().unwrap()).unwrap(),
        "Control" => again::<Control>(text),
        "Definition" => again::<Definition>(text),
        "EnqueueJob" => again::<EnqueueJob>(text),
        "FinishRequest" => again::<FinishRequest>(text),
        "HeartbeatAnswer" => again::<HeartbeatAnswer>(text),
        "HeartbeatRequest" => again::<HeartbeatRequest>(text),
        "HistoryEntry" => again::<HistoryEntry>(text),
        "Job" => again::<Job>(text),
        "LogsRequest" => again::<LogsRequest>(text),
        "ReleaseRequest" => again::<ReleaseRequest>(text),
        "ServerMessage" => again::<ServerMessage>(text),
        "StateChange" => again::<StateChange>(text),
        "WorkerMessage" => serde_json::to_value(WorkerMessage::parse(text).unwrap().unwrap()).unwrap(),
        other => panic!("no type is known for {other}"),
    }
}

#[test]
fn every_golden_file_is_read_and_written_back_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let written = read_and_written(name.split('.').next().unwrap(), &text);
        // Canonical, because 4 and 4.0 are one number.
        assert_eq!(canonical_json(&written), canonical_json(&serde_json::from_str(&text).unwrap()), "{name}");
        n_files += 1;
    }
    assert!(n_files >= 30, "{n_files} files");
}
