//! The content of notifications: which queues changed, and in what way. They never contain a name or a payload.
//!
//! One record is 17 bytes: the queue's key and a set of [`Kinds`]. A payload is `<sender>:<base64 of records>`, so that a process
//! recognises its own notifications. An empty record list is a ping.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::Qid;
use uuid::Uuid;

bitflags::bitflags! {
    /// In what way a queue changed. All kinds together mean that anything may have changed, for example after a gap.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Kinds: u8 {
        /// Jobs changed their state.
        const STATES = 1;
        /// Something waits that a worker could claim.
        const CLAIMABLE = 2;
        /// Log lines came.
        const LOGS = 4;
        /// Workers came or changed.
        const WORKERS = 8;
        /// The queue's policy changed.
        const POLICY = 16;
    }
}

/// Most records of one payload: PostgreSQL accepts less than 8,000 bytes.
const RECORDS_MAX: usize = 340;
const RECORD_BYTES: usize = 17;

/// Payloads that carry these hints.
pub(crate) fn encode(sender: &str, hints: &[(Qid, Kinds)]) -> Vec<String> {
    let payload = |records: &[(Qid, Kinds)]| {
        let mut bytes = Vec::with_capacity(records.len() * RECORD_BYTES);
        for (qid, kinds) in records {
            bytes.extend_from_slice(qid.as_bytes());
            bytes.push(kinds.bits());
        }
        format!("{sender}:{}", STANDARD.encode(bytes))
    };
    hints.chunks(RECORDS_MAX).map(payload).collect()
}

/// Sender and hints of a payload. An unreadable payload has no hints, which is allowed: a hint may be lost.
pub(crate) fn decode(payload: &str) -> (&str, Vec<(Qid, Kinds)>) {
    let (sender, text) = payload.split_once(':').unwrap_or(("", payload));
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(packed).unwrap_or_default();
    let record = |record: &[u8]| Some((Uuid::from_slice(&record[..16]).ok()?, Kinds::from_bits_truncate(record[16])));
    (sender, bytes.chunks_exact(RECORD_BYTES).filter_map(record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_arrive_as_they_were_sent_and_fit_a_notification() {
        let hints: Vec<_> = (0..1000).map(|n| (Uuid::from_u128(n), Kinds::STATES | Kinds::LOGS)).collect();
        let payloads = encode("me", &hints);
        assert!(payloads.iter().all(|p| p.len() < 8_000));
        let arrived: Vec<_> = payloads.iter().flat_map(|p| decode(p).1).collect();
        assert_eq!(arrived, hints);
        assert_eq!(decode("me:").0, "me");
        assert_eq!(decode("nonsense").1, []);
    }
}
