//! The files of `/f`.

use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::answer::check;
use super::{Client, Error, SILENCE_TIMEOUT};

/// A slower upload is given up. Every upload may take [`SILENCE_TIMEOUT`] in addition.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;

impl Client {
    /// `GET /f/:key` through the API itself, for any storage.
    pub(crate) async fn proxied_blob(&self, key: &str) -> Result<Response, Error> {
        self.send(self.http.get(self.proxied_blob_url(key)?)).await
    }

    /// `GET /f/:key/exists`.
    pub(crate) async fn blob_exists(&self, key: &str) -> Result<bool, Error> {
        match self.send(self.request(Method::GET, &["f", key, "exists"])?).await {
            Ok(_) => Ok(true),
            Err(Error::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `PUT /f/:key` of `length` bytes. If the storage accepts the bytes directly, returns its address: send them there.
    pub(crate) async fn put_blob(&self, url: Url, length: u64, body: reqwest::Body) -> Result<Option<Url>, Error> {
        let timeout = SILENCE_TIMEOUT + Duration::from_secs(length / UPLOAD_BYTES_PER_SECOND_MIN);
        let response = self.uploads.put(url).timeout(timeout).header(CONTENT_LENGTH, length).body(body).send().await;
        let response = response.map_err(|error| self.broken(&error))?;
        // The client does not follow this redirect itself, because a streamed body must be opened again for another address.
        if response.status() != StatusCode::TEMPORARY_REDIRECT {
            return check(response).await.map(|_| None).map_err(|(error, _)| error);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| response.url().join(location).ok());
        url.map(Some).ok_or_else(|| Error::Broken("a redirect has no valid address".to_owned()))
    }

    /// The address of a blob.
    pub(crate) fn blob_url(&self, key: &str) -> Result<Url, Error> {
        self.url(&["f", key])
    }

    /// The address at which the API itself takes and returns the bytes of a blob, for any storage.
    pub(crate) fn proxied_blob_url(&self, key: &str) -> Result<Url, Error> {
        let mut url = self.blob_url(key)?;
        url.set_query(Some("proxy=1"));
        Ok(url)
    }
}
