//! The only way to send requests to addresses that users gave.
//!
//! A URL from a stranger may point into our own network. So every such URL goes through [`GuardedClient`]: it checks the URL,
//! resolves the name itself, checks every address, and connects to exactly these addresses. A check only before the request would
//! not be enough, because the name may resolve to another address a moment later.
//!
//! Invariant: no connection to an address that [`Guard::permits`] refuses.

mod client;

use std::net::IpAddr;

use protocol::address::{Owner, is_http_port};
use protocol::{Callback, Callbacks, limits};
use serde_json::Value;
use url::{Host, Url};

pub(crate) use client::{GuardedClient, RequestError};

/// Why an address is not fetched. The sentences are for the user who gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// It is not a URL, or has another scheme.
    #[error("is not an http or https URL")]
    NoUrl,
    /// Over the limit.
    #[error("is longer than {} bytes", limits::CALLBACK_URL_BYTES_MAX)]
    TooLong,
    /// It contains credentials, which would be stored.
    #[error("contains a user name or a password; remove them")]
    UserInfo,
    /// The port belongs to another protocol.
    #[error("has a port that is not for HTTP")]
    Port,
    /// The address is private or reserved.
    #[error("points to an address that is not public")]
    Address,
}

/// Why a callback is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCallback {
    /// Its URL may not be fetched.
    #[error("the URL of the callback `{0}` {1}")]
    Url(&'static str, Forbidden),
    /// Over the limit.
    #[error("the payload of the callback `{0}` is larger than {max} KiB", max = limits::CALLBACK_PAYLOAD_BYTES_MAX / 1024)]
    PayloadTooLarge(&'static str),
    /// The database's JSON cannot store it.
    #[error("the payload of the callback `{0}` contains a NUL character; remove it")]
    PayloadNul(&'static str),
}

/// Which addresses may be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    allow_private: bool,
}

impl Guard {
    pub(crate) const fn new(allow_private: bool) -> Self {
        Self { allow_private }
    }

    /// Checks an address.
    pub(crate) fn permits(self, address: IpAddr) -> bool {
        Owner::of(address).is_permitted(self.allow_private)
    }

    /// Reads and checks a URL. A host name is checked when it is resolved.
    pub(crate) fn check(self, text: &str) -> Result<Url, Forbidden> {
        if text.len() > limits::CALLBACK_URL_BYTES_MAX {
            return Err(Forbidden::TooLong);
        }
        // Parsing would drop or encode these characters, which changes the URL.
        if text.chars().any(char::is_control) {
            return Err(Forbidden::NoUrl);
        }
        let mut url = Url::parse(text).map_err(|_| Forbidden::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Forbidden::NoUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::UserInfo);
        }
        let port = url.port_or_known_default().unwrap_or(0);
        let is_permitted = is_http_port(port) || (self.allow_private && port > 0);
        if !is_permitted {
            return Err(Forbidden::Port);
        }
        let is_open = match url.host() {
            Some(Host::Ipv4(address)) => self.permits(address.into()),
            Some(Host::Ipv6(address)) => self.permits(address.into()),
            Some(Host::Domain(name)) => !name.is_empty(),
            None => return Err(Forbidden::NoUrl),
        };
        url.set_fragment(None);
        if is_open { Ok(url) } else { Err(Forbidden::Address) }
    }
}

/// Checks the callbacks of a submission and brings their URLs into canonical form.
pub(crate) fn check_callbacks(callbacks: &mut Callbacks, guard: Guard) -> Result<(), InvalidCallback> {
    for (kind, callback) in [("queued", &mut callbacks.queued), ("finished", &mut callbacks.finished)] {
        let Some(Callback { url, payload }) = callback else { continue };
        *url = guard.check(url).map_err(|cause| InvalidCallback::Url(kind, cause))?.into();
        // Percent-encoding may have made it longer.
        if url.len() > limits::CALLBACK_URL_BYTES_MAX {
            return Err(InvalidCallback::Url(kind, Forbidden::TooLong));
        }
        let Some(payload) = payload else { continue };
        if payload.to_string().len() > limits::CALLBACK_PAYLOAD_BYTES_MAX {
            return Err(InvalidCallback::PayloadTooLarge(kind));
        }
        if has_nul(payload) {
            return Err(InvalidCallback::PayloadNul(kind));
        }
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_a_browser_would_and_judged() {
        let (guard, open) = (Guard::new(false), Guard::new(true));
        for text in ["https://example.com/a?b", "http://example.com:8080", "HTTPS://Example.com", "http://localhost/"] {
            assert!(guard.check(text).is_ok(), "{text}");
        }
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001",
            "http://2130706433",
            "http://[::1]/",
            "http://10.0.0.1:8080",
        ] {
            assert_eq!(guard.check(text).unwrap_err(), Forbidden::Address, "{text}");
            assert!(open.check(text).is_ok(), "{text}");
        }
        for text in ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::ffff:a9fe:a9fe]/"] {
            assert_eq!(open.check(text).unwrap_err(), Forbidden::Address, "{text}");
        }
        for text in [
            "",
            "example.com",
            "/path",
            "ftp://example.com",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://",
            "http://a/\0",
            "http://a\n/",
        ] {
            assert_eq!(open.check(text).unwrap_err(), Forbidden::NoUrl, "{text}");
        }
        assert_eq!(guard.check("http://user:pw@example.com").unwrap_err(), Forbidden::UserInfo);
        assert_eq!(guard.check("http://example.com:22").unwrap_err(), Forbidden::Port);
        assert_eq!(guard.check("http://example.com:6379").unwrap_err(), Forbidden::Port);
        assert_eq!(guard.check(&format!("http://example.com/{}", "x".repeat(2048))).unwrap_err(), Forbidden::TooLong);
    }
}
