//! Job ids equal those that browsers computed.

use protocol::{canonical_json, job_id_of, sha256_hex};
use serde_json::Value;

#[test]
fn job_ids_equal_those_of_browsers() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../vectors/job-ids.json")).unwrap();
    assert!(vectors.len() >= 10, "the vectors are there");
    for vector in vectors {
        let canonical = vector["canonical"].as_str().unwrap();
        assert_eq!(job_id_of(&vector["definition"]), vector["id"], "{canonical}");
        assert_eq!(sha256_hex(canonical.as_bytes()), vector["id"], "{canonical}");
        let parsed: Value = serde_json::from_str(canonical).unwrap();
        assert_eq!(canonical_json(&parsed), canonical);
    }
}
