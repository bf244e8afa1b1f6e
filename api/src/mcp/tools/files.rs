//! Uploads: small files in the call itself, large ones by a separate address.

use axum::body::Body;
use protocol::ErrorCode;
use protocol::limits::BLOB_BYTES_MAX;
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Kind, Outcome, RunnableTool, tool};
use crate::mcp::answer::{Answer, Refusal};
use crate::mcp::call::Call;

/// What `upload_file` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UploadArguments {
    /// Content of the file, as text.
    content: Option<String>,
    /// Content of the file, as base64, where it is not text.
    base64: Option<String>,
    /// SHA-256 of the content, in hex. Alone, it asks for the upload address of a file that is too large for a call.
    sha256: Option<String>,
}

pub(super) fn tools() -> Vec<RunnableTool> {
    vec![tool(
        "upload_file",
        "Stores a file for jobs and answers with its data ref for `inputs`. A file of more than about a megabyte is sent by HTTP: give only its sha256, and the answer has the address.",
        Kind::Adds,
        |call, given| Box::pin(upload_file(call, given)),
    )]
}

async fn upload_file(call: &Call<'_>, given: UploadArguments) -> Outcome {
    let bytes = match (given.content, given.base64) {
        (Some(_), Some(_)) => return Err(Refusal::of_argument("base64", "give content or base64, not both")),
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(text)) => Some(decoded(&text)?),
        (None, None) => None,
    };
    let said = given.sha256.map(|text| text.to_ascii_lowercase());
    if said.as_deref().is_some_and(|said| !protocol::is_sha256(said)) {
        return Err(Refusal::of_argument("sha256", "sha256 must be the 64 hexadecimal digits of the content's SHA-256"));
    }
    match (bytes, said) {
        (None, None) => Err(Refusal::of_argument("content", "give content, base64, or the sha256 of a large file")),
        (None, Some(hash)) => address(call, &hash).await,
        (Some(bytes), said) => store(call, bytes, said).await,
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, Refusal> {
    protocol::decode_base64(text).ok_or_else(|| Refusal::of_argument("base64", "base64 cannot be decoded"))
}

async fn store(call: &Call<'_>, bytes: Vec<u8>, said: Option<String>) -> Outcome {
    let hash = hex::encode(Sha256::digest(&bytes));
    if said.is_some_and(|said| said != hash) {
        let sentence = format!("the content's SHA-256 is {hash}, not the one that was given");
        let refusal = Refusal::from(crate::error::ApiError::refused(ErrorCode::HashMismatch, sentence));
        return Err(refusal.by("sha256"));
    }
    call.app.meters.upload(&call.visitor.caller)?;
    let n_bytes = bytes.len();
    call.app.blobs.put(&hash, Some(n_bytes as u64), Body::from(bytes)).await?;
    Ok(stored(call, Answer::new("The file is stored; use `ref` for it in inputs."), &hash).fact("bytes", n_bytes))
}

fn stored(call: &Call<'_>, answer: Answer, hash: &str) -> Answer {
    answer.fact("ref", json!({"type": "key", "value": hash})).fact("url", call.visitor.own.file(hash))
}

/// The upload address of a large file, unless it is stored already.
async fn address(call: &Call<'_>, hash: &str) -> Outcome {
    if call.app.blobs.exists(hash).await? {
        return Ok(stored(call, Answer::new("The file is stored already; use `ref` for it in inputs."), hash));
    }
    let url = call.visitor.own.file(hash);
    let sentence = format!("Send the file by PUT, and follow a redirect: curl -L -T FILE {url}");
    let answer =
        Answer::new(sentence).say(format!("It may have at most {BLOB_BYTES_MAX} bytes. Then use `ref` for it in inputs."));
    Ok(stored(call, answer, hash).fact("isStored", false))
}
