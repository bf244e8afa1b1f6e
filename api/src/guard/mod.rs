//! The only way to send requests to addresses that users gave: [`GuardedClient`], which connects only to addresses that
//! [`egress`] permits.

mod client;

use egress::Guard;
use protocol::{Callback, Callbacks, limits};
use serde_json::Value;
use url::Url;

pub(crate) use client::{GuardedClient, RequestError};

/// Why an address is not fetched. The sentences are for the user who gave the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// It is not a URL.
    #[error("is not an http or https URL")]
    NoUrl,
    /// Over the limit.
    #[error("is longer than {} bytes", limits::CALLBACK_URL_BYTES_MAX)]
    TooLong,
    /// It contains credentials, which would be stored.
    #[error("contains a user name or a password; remove them")]
    UserInfo,
    /// Connections to it are not permitted.
    #[error(transparent)]
    Destination(#[from] egress::Forbidden),
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
    /// Its payload contains a NUL character, which the database's JSON cannot store.
    #[error("the payload of the callback `{0}` contains a NUL character; remove it")]
    PayloadNul(&'static str),
}

/// Reads and checks a URL. A host name is checked when it is resolved.
fn check(guard: Guard, text: &str) -> Result<Url, Forbidden> {
    if text.len() > limits::CALLBACK_URL_BYTES_MAX {
        return Err(Forbidden::TooLong);
    }
    // Parsing would drop or encode these characters, which changes the URL.
    if text.chars().any(char::is_control) {
        return Err(Forbidden::NoUrl);
    }
    let mut url = Url::parse(text).map_err(|_| Forbidden::NoUrl)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Forbidden::UserInfo);
    }
    guard.check(&url)?;
    url.set_fragment(None);
    Ok(url)
}

/// Checks the callbacks of a submission and brings their URLs into canonical form.
pub(crate) fn check_callbacks(callbacks: &mut Callbacks, guard: Guard) -> Result<(), InvalidCallback> {
    for (kind, callback) in [("queued", &mut callbacks.queued), ("finished", &mut callbacks.finished)] {
        let Some(Callback { url, payload }) = callback else { continue };
        *url = check(guard, url).map_err(|cause| InvalidCallback::Url(kind, cause))?.into();
        // Percent-encoding may have made the URL longer.
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
        assert_eq!(check(guard, "HTTPS://Example.com#x").unwrap().as_str(), "https://example.com/");
        assert_eq!(check(guard, "http://127.1/").unwrap_err(), egress::Forbidden::Address.into());
        for text in ["", "example.com", "/path", "http://", "http://a/\0", "http://a\n/"] {
            assert_eq!(check(open, text).unwrap_err(), Forbidden::NoUrl, "{text}");
        }
        assert_eq!(check(open, "ftp://example.com").unwrap_err(), egress::Forbidden::Scheme.into());
        assert_eq!(check(guard, "http://user:pw@example.com").unwrap_err(), Forbidden::UserInfo);
        assert_eq!(check(guard, &format!("http://example.com/{}", "x".repeat(2048))).unwrap_err(), Forbidden::TooLong);
    }
}
