//! What a definition may contain. The same table is tested in SQL (`api/tests/it/definitions.rs`) and on the page
//! (`web/src/definition/amounts.test.ts`).
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::time::Duration;

use protocol::{Coded, ParsedDefinition};
use serde_json::Value;

const CASES: &str = include_str!("../vectors/definitions.json");

/// `@5@` means `xxxxx`, and `@3:ab@` means `ababab`.
fn expanded(text: &str) -> String {
    let mut out = String::new();
    for (n, piece) in text.split('@').enumerate() {
        let (number, unit) = piece.split_once(':').unwrap_or((piece, "x"));
        match number.parse::<usize>() {
            Ok(times) if n % 2 == 1 => out += &unit.repeat(times),
            _ if n % 2 == 1 => out += &format!("@{piece}"),
            _ => out += piece,
        }
    }
    out
}

#[test]
fn what_can_never_run_is_refused_with_a_code_and_the_members_name_and_the_rest_is_read() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let read = ParsedDefinition::parse(&expanded(text));
        match (case["code"].as_str(), read) {
            (None, Ok(parsed)) => {
                let longest = case["seconds"].as_f64().map_or(parsed.max_duration, Duration::from_secs_f64);
                assert_eq!(parsed.max_duration, longest, "{text}");
                assert_eq!(parsed.memory_bytes, case["bytes"].as_u64().unwrap_or(parsed.memory_bytes), "{text}");
            }
            (Some(code), Err(error)) => {
                assert_eq!(error.code().as_str(), code, "{text}: {error}");
                assert!(error.to_string().contains(case["says"].as_str().unwrap()), "{text}: {error}");
            }
            (None, Err(error)) => panic!("{text} is refused: {error}"),
            (Some(_), Ok(_)) => panic!("{text} is taken"),
        }
    }
    assert!(cases.len() > 150);
}

#[test]
fn what_is_stored_already_is_still_read() {
    for text in [
        r#"{"image":"Not A Name","workdir":"work","command":"echo 'a"}"#,
        r#"{"image":"a","maxDuration":"0","requirements":{"memory":"5m"}}"#,
        r#"{"image":"a","env":{"A":"1","A":"2"},"inputs":{"x":{"type":"base64","value":"a"}}}"#,
    ] {
        assert!(ParsedDefinition::parse(text).is_err() && ParsedDefinition::parse_stored(text).is_ok(), "{text}");
    }
}

#[test]
fn every_code_that_sql_gives_is_in_the_table() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("sql/procedures");
    let mut n_codes = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for call in text.split("asman.refuse('").skip(1) {
            let code = call.split('\'').next().unwrap();
            assert!(protocol::ErrorCode::named(code).is_some(), "{code}");
            n_codes += 1;
        }
    }
    assert!(n_codes > 30, "{n_codes}");
}
