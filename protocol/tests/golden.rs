//! Each golden file parses into the type at the start of its name, and is written back as the same JSON.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeSet;
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

/// The text that the type writes after it read a text.
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
        other => panic!("there is no type for {other}"),
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
        // Compare canonical texts, because 4 and 4.0 are the same number.
        assert_eq!(canonical_json(&written), canonical_json(&serde_json::from_str(&text).unwrap()), "{name}");
        n_files += 1;
    }
    assert!(n_files >= 30, "{n_files} files");
}

/// Names of the golden files, without their extensions.
fn golden() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".json").map(ToOwned::to_owned)).collect()
}

#[test]
fn every_message_and_every_body_of_the_typescript_types_has_a_golden_file() {
    let (wire, golden) = (include_str!("../../web/src/wire.ts"), golden());
    let mut n_messages = 0;
    for kind in ["ClientMessage", "ServerMessage", "WorkerMessage"] {
        let (_, rest) = wire.split_once(&format!("export type {kind} =")).unwrap();
        let union = rest.split("\nexport ").next().unwrap();
        for message in union.split("{ \"type\": \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(golden.contains(&format!("{kind}.{message}")), "{kind}.{message}.json is missing");
            n_messages += 1;
        }
    }
    assert_eq!(n_messages, 15);
    let exported = wire.split("export type ").skip(1).filter_map(|rest| rest.split([' ', '{']).next());
    let is_payload = |name: &str| wire.contains(&format!("\"payload\": {name} }}"));
    let is_body = |name: &&str| ["Request", "Answer", "Entry"].iter().any(|end| name.ends_with(end)) && !is_payload(name);
    for body in exported.filter(is_body) {
        assert!(golden.iter().any(|name| name.split('.').next() == Some(body)), "{body}.json is missing");
    }
}

#[test]
fn every_message_of_the_server_has_a_golden_file_and_a_typescript_type() {
    let unknown = serde_json::from_str::<ServerMessage>(r#"{"type": "?", "payload": {}}"#).unwrap_err().to_string();
    let known: Vec<&str> = unknown.split('`').skip(1).step_by(2).filter(|word| *word != "?").collect();
    assert_eq!(known.len(), 7, "{unknown}");
    for message in known {
        assert!(golden().contains(&format!("ServerMessage.{message}")), "{message}");
        assert!(include_str!("../../web/src/wire.ts").contains(&format!("\"{message}\"")), "{message}");
    }
}
