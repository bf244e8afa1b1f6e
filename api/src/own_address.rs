//! The address of this API for the client of a request: the beginning of every absolute address in an answer.
//!
//! The operator's public URL decides. Without one, or with one that works only on this machine, the address of the request is
//! used, also behind a proxy that ends TLS. A client may send any host name and gets it back only in its own answer. This name
//! is not stored, and an answer with it may not be cached for others.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};

use crate::app::AppState;
use crate::encoding;
use crate::local::is_loopback;

/// Scheme and host, possibly with a path, without a slash at the end. Empty if neither the operator nor the request names a host:
/// then addresses are relative.
#[derive(Clone, Debug)]
pub(crate) struct OwnAddress(String);

impl OwnAddress {
    #[cfg(test)]
    pub(crate) fn at(address: &str) -> Self {
        Self(address.to_owned())
    }

    /// The address of a stored file.
    pub(crate) fn file(&self, key: &str) -> String {
        format!("{}/f/{}", self.0, encoding::segment(key))
    }

    /// The beginning of every address of this API.
    pub(crate) fn root(&self) -> &str {
        &self.0
    }

    /// The key of a stored file, if the address is one of this API.
    pub(crate) fn key_of<'a>(&self, url: &'a str) -> Option<&'a str> {
        let key = url.strip_prefix(&self.0)?.strip_prefix("/f/")?;
        Some(key.split_once('?').map_or(key, |(key, _)| key)).filter(|key| protocol::is_sha256(key))
    }

    fn of(public_url: Option<&str>, uri: &Uri, headers: &HeaderMap) -> Self {
        let is_of_this_machine = |url: &str| {
            let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(is_loopback));
            host.unwrap_or(false)
        };
        let for_all = public_url.filter(|url| !is_of_this_machine(url)).map(str::to_owned);
        Self(for_all.or_else(|| called(uri, headers)).or_else(|| public_url.map(str::to_owned)).unwrap_or_default())
    }
}

/// The address that the request used.
fn called(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https")).unwrap_or("http");
    let host = text(header::HOST.as_str()).or_else(|| uri.authority().map(axum::http::uri::Authority::as_str))?;
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte));
    is_name.then(|| format!("{scheme}://{host}"))
}

impl FromRequestParts<AppState> for OwnAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Infallible> {
        Ok(Self::of(app.config.public_url.as_deref(), &parts.uri, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(public_url: Option<&str>, headers: &[(&'static str, &str)]) -> String {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        OwnAddress::of(public_url, &Uri::from_static("/x"), &headers).0
    }

    #[test]
    fn the_public_url_wins_unless_only_this_machine_understands_it() {
        let host = [("host", "queue.example:8443"), ("x-forwarded-proto", "https")];
        assert_eq!(of(Some("https://public.example/base"), &host), "https://public.example/base");
        assert_eq!(of(Some("http://localhost:8000"), &host), "https://queue.example:8443");
        assert_eq!(of(Some("http://localhost:8000"), &[]), "http://localhost:8000");
        assert_eq!(of(None, &[("host", "[::1]:8000")]), "http://[::1]:8000");
    }

    #[test]
    fn what_is_no_name_of_a_host_is_not_repeated() {
        for host in ["", "a/b", "a@b", "a\"b", "a b", "a?b", "a#b", "<a>"] {
            assert_eq!(of(None, &[("host", host)]), "", "{host}");
        }
        assert_eq!(of(None, &[("host", "a"), ("x-forwarded-proto", "javascript")]), "http://a");
    }
}
