//! The message for a receiver: the body, and the headers with its id and signature.

use hmac::{Hmac, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::Sha256;
use sql::DueWebhook;

use crate::encoding;

const DELIVERY: HeaderName = HeaderName::from_static("x-asman-delivery");
const EVENT: HeaderName = HeaderName::from_static("x-asman-event");
const SIGNATURE: HeaderName = HeaderName::from_static("x-asman-signature");

/// The body, in the order of its members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    job_id: &'a str,
    queue: &'a str,
    namespace: &'a str,
    config: Option<Box<RawValue>>,
    #[serde(flatten)]
    end: Option<End<'a>>,
}

/// The additional members of `finished`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct End<'a> {
    state: protocol::JobState,
    reason: &'a str,
    status_code: Option<i64>,
    result_url: String,
}

/// The body of a delivery, the same at every try.
pub(super) fn body_of(due: &DueWebhook, public_url: Option<&str>) -> Vec<u8> {
    let end = (due.kind == "finished").then(|| End {
        state: protocol::JobState::Finished,
        reason: due.reason.as_deref().unwrap_or_default(),
        status_code: due.status_code,
        result_url: result_url(due, public_url),
    });
    let config = due.payload.clone().and_then(|text| RawValue::from_string(text).ok());
    let message = Message { job_id: &due.job_id, queue: &due.queue, namespace: &due.namespace, config, end };
    serde_json::to_vec(&message).unwrap_or_default()
}

fn result_url(due: &DueWebhook, public_url: Option<&str>) -> String {
    format!(
        "{}/q/{}/j/{}/result.json",
        public_url.unwrap_or_default(),
        encoding::segment(&due.queue),
        encoding::segment(&due.job_id)
    )
}

/// The headers of a delivery.
pub(super) fn headers_of(due: &DueWebhook, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut insert = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    insert(DELIVERY, &due.id.to_string());
    insert(EVENT, &due.kind);
    if let Some(secret) = &due.secret {
        insert(SIGNATURE, &format!("sha256={}", hex::encode(sign(secret.as_bytes(), body))));
    }
    headers
}

fn sign(key: &[u8], body: &[u8]) -> Vec<u8> {
    // A key of any length is valid: the error occurs only with other algorithms.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_rfc_4231() {
        let signature = hex::encode(sign(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(signature, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
