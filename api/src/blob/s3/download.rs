//! Answers reads: with a redirect to a signed address, or with the bytes, which pass through this process chunk by chunk.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::{CONTENT_TYPE, S3};
use protocol::ErrorCode;

use crate::blob::{FileName, guard};
use crate::error::ApiError;

const ABSENT: ApiError = ApiError::Refused(ErrorCode::NoFile, Cow::Borrowed("no file is stored under this key"));
/// If a storage sends nothing for this long in the middle of a file, it has failed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

impl S3 {
    pub(crate) async fn get(
        &self,
        key: &str,
        name: Option<&FileName>,
        asked: &Parts,
        is_proxied: bool,
    ) -> Result<Response, ApiError> {
        if asked.method == Method::HEAD {
            return self.answer_head(key, name).await;
        }
        if is_proxied || self.is_proxied {
            return self.pass_through(key, name, &asked.headers).await;
        }
        // The storage's own 404 would come only after a redirect, and as XML.
        self.head(key).await?.ok_or(ABSENT)?;
        let location = HeaderValue::try_from(self.redirect_get(key, name).await?).map_err(ApiError::bad_request)?;
        let no_store = HeaderValue::from_static("no-store");
        Ok((StatusCode::FOUND, [(header::LOCATION, location), (header::CACHE_CONTROL, no_store)]).into_response())
    }

    async fn answer_head(&self, key: &str, name: Option<&FileName>) -> Result<Response, ApiError> {
        let head = self.head(key).await?.ok_or(ABSENT)?;
        let mut response = Response::new(Body::empty());
        describe(response.headers_mut(), head.content_length(), head.e_tag(), head.last_modified());
        guard(response.headers_mut(), key, name);
        Ok(response)
    }

    async fn pass_through(&self, key: &str, name: Option<&FileName>, asked: &HeaderMap) -> Result<Response, ApiError> {
        let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // S3 does not support If-Range. The whole file is always a correct answer to a request with this header.
        let range = if asked.contains_key(header::IF_RANGE) { None } else { text(header::RANGE) };
        let get = self.client.get_object().bucket(&self.bucket).key(self.object(key));
        let get = get.set_range(range).set_if_none_match(text(header::IF_NONE_MATCH));
        match get.send().await {
            Ok(found) => {
                self.works();
                Ok(send(key, name, found))
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&self, error: &SdkError<GetObjectError, HttpResponse>) -> Result<Response, ApiError> {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let is_bucket = error.as_service_error().is_some_and(|error| error.meta().code() == Some("NoSuchBucket"));
        match status {
            Some(304) => Ok(StatusCode::NOT_MODIFIED.into_response()),
            Some(404) if !is_bucket => Err(ABSENT),
            Some(416) => Err(ApiError::Range),
            _ => Err(self.failed(error)),
        }
    }
}

fn send(key: &str, name: Option<&FileName>, found: GetObjectOutput) -> Response {
    let mut headers = HeaderMap::new();
    describe(&mut headers, found.content_length(), found.e_tag(), found.last_modified());
    guard(&mut headers, key, name);
    let part = found.content_range().and_then(|range| HeaderValue::from_str(range).ok());
    let status = if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    if let Some(part) = part {
        headers.insert(header::CONTENT_RANGE, part);
    }
    (status, headers, flow(found.body)).into_response()
}

/// Streams the bytes. An error in the middle breaks the answer, so that no client mistakes a part for the whole file.
fn flow(bytes: ByteStream) -> Body {
    Body::from_stream(stream::try_unfold(bytes, async |mut bytes| {
        let next = tokio::time::timeout(IDLE_TIMEOUT, bytes.next()).await;
        let next = next.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?;
        let chunk = next.transpose().map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(chunk.map(|chunk| (chunk, bytes)))
    }))
}

fn describe(headers: &mut HeaderMap, length: Option<i64>, e_tag: Option<&str>, modified: Option<&DateTime>) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(e_tag) = e_tag.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(header::ETAG, e_tag);
    }
    let modified = modified.and_then(|time| time.fmt(DateTimeFormat::HttpDate).ok());
    if let Some(modified) = modified.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(header::LAST_MODIFIED, modified);
    }
}
