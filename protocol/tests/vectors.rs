//! Job ids equal those of existing clients, by the present rule and by the rule of clients up to 0.54.80.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use protocol::{ParsedDefinition, canonical_json, job_id_of, old_job_id_of, sha256_hex};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../vectors/job-ids.json")).unwrap()
}

#[test]
fn job_ids_equal_those_of_existing_clients() {
    let vectors = vectors();
    assert!(vectors.iter().filter(|vector| vector["id"].is_string()).count() >= 25, "the vectors are there");
    assert!(vectors.iter().filter(|vector| vector["id_old"].is_string()).count() >= 10, "those of before too");
    for vector in vectors {
        let definition = &vector["definition"];
        for (id, text, of) in [("id", "canonical", job_id_of(definition)), ("id_old", "canonical_old", old_job_id_of(definition))]
        {
            if vector[id].is_string() {
                assert_eq!(vector[id], of, "{id} of {definition}");
            }
            if let Some(canonical) = vector[text].as_str() {
                assert_eq!(sha256_hex(canonical.as_bytes()), vector[id], "{canonical}");
                let parsed: Value = serde_json::from_str(canonical).unwrap();
                assert_eq!(canonical_json(&parsed), canonical);
            }
        }
    }
}

#[test]
fn only_the_two_ids_of_a_definition_are_true() {
    let text = r#"{"image":"a","env":{},"x":1}"#;
    let parsed = ParsedDefinition::parse(text).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(parsed.old_job_id.as_ref().unwrap().as_str(), old_job_id_of(&value));
    assert!(parsed.is_true_id(&job_id_of(&value)) && parsed.is_true_id(&old_job_id_of(&value)));
    assert!(!parsed.is_true_id(&sha256_hex(b"x")));
    assert_eq!(ParsedDefinition::parse(r#"{"image":"a"}"#).unwrap().old_job_id, None, "where they are one");
}

#[test]
fn an_empty_build_block_counts_as_none_as_in_the_id() {
    for build in ["{}", r#"{"filename":null}"#, r#"{"more":1}"#] {
        let parsed = ParsedDefinition::parse(&format!(r#"{{"image":"a","build":{build}}}"#)).unwrap();
        assert_eq!((parsed.definition.build.as_ref(), parsed.implicit_labels.len()), (None, 0), "{build}");
        assert_eq!(parsed.job_id.as_str(), job_id_of(&serde_json::json!({"image": "a"})), "{build}");
        assert!(ParsedDefinition::parse(&format!(r#"{{"build":{build}}}"#)).is_err(), "nothing to run: {build}");
    }
}
