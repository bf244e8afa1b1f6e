//! The one way out to addresses that the public named.
//!
//! A URL that a stranger hands us may name our own network. So every such URL goes through [`GuardedClient`]: it judges the URL,
//! resolves the name itself, judges every address that comes back, and connects to exactly what it judged. A check before the
//! fetch alone would not do: the name may mean another address a moment later.
//!
//! Invariant: no connection to an address that [`Guard::permits`] refuses.

mod client;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use protocol::{Callback, Callbacks, limits};
use serde_json::Value;
use url::{Host, Url};

pub(crate) use client::{Failure, GuardedClient};

/// Ports from 1024 on that speak something else, where a POST could be taken for commands.
const PORTS_OF_OTHERS: [u16; 22] = [
    1719, 1720, 1723, 2049, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6697,
    10080, 11211,
];

/// Why an address is not fetched. The sentences are for whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// Not a URL, or of another scheme.
    #[error("is no http or https URL")]
    NoUrl,
    /// Over the limit.
    #[error("is longer than {} bytes", limits::CALLBACK_URL_BYTES_MAX)]
    TooLong,
    /// Credentials in it would be stored.
    #[error("holds a user name or a password")]
    UserInfo,
    /// A port of another protocol.
    #[error("names a port that is not for HTTP")]
    Port,
    /// Ours, or nobody's.
    #[error("names an address that is not public")]
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
    /// The database's JSON cannot hold it.
    #[error("the payload of the callback `{0}` holds a NUL character")]
    PayloadNul(&'static str),
}

/// What may be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    allow_private: bool,
}

/// Whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Public,
    /// Loopback and private networks: permitted where the operator says so.
    Private,
    /// Link-local (with the metadata services of clouds), multicast, reserved, documentation: never.
    Nobody,
}

impl Guard {
    pub(crate) const fn new(allow_private: bool) -> Self {
        Self { allow_private }
    }

    /// Judges an address.
    pub(crate) fn permits(self, address: IpAddr) -> bool {
        match owner_of(address) {
            Owner::Public => true,
            Owner::Private => self.allow_private,
            Owner::Nobody => false,
        }
    }

    /// Reads and judges a URL. A host that is a name is judged when it is resolved.
    pub(crate) fn check(self, text: &str) -> Result<Url, Forbidden> {
        if text.len() > limits::CALLBACK_URL_BYTES_MAX {
            return Err(Forbidden::TooLong);
        }
        // Parsing would drop or encode them, and so change what was said.
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
        let is_for_http = matches!(port, 80 | 443) || (port >= 1024 && !PORTS_OF_OTHERS.contains(&port));
        let is_permitted = is_for_http || (self.allow_private && port > 0);
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

/// Judges the callbacks of a submission and brings their URLs into canonical form.
pub(crate) fn check_callbacks(callbacks: &mut Callbacks, guard: Guard) -> Result<(), InvalidCallback> {
    for (kind, callback) in [("queued", &mut callbacks.queued), ("finished", &mut callbacks.finished)] {
        let Some(Callback { url, payload }) = callback else { continue };
        *url = guard.check(url).map_err(|cause| InvalidCallback::Url(kind, cause))?.into();
        // Percent-encoding made it longer.
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

fn owner_of(address: IpAddr) -> Owner {
    match address {
        IpAddr::V4(address) => owner_of_v4(address),
        IpAddr::V6(address) => owner_of_v6(address),
    }
}

/// By the registries of special-purpose addresses (RFC 6890 and its updates).
fn owner_of_v4(address: Ipv4Addr) -> Owner {
    match address.octets() {
        [10 | 127, ..] | [100, 64..=127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Owner::Private,
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Owner::Nobody,
        _ => Owner::Public,
    }
}

fn owner_of_v6(address: Ipv6Addr) -> Owner {
    let segments = address.segments();
    let [.., a, b, c, d] = address.octets();
    match segments {
        // IPv4 in other clothes: mapped, and through NAT64.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => owner_of_v4(Ipv4Addr::new(a, b, c, d)),
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff, ..] => Owner::Private,
        // Teredo and other protocols' own, documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Owner::Nobody,
        // All that is given out to anybody lies in 2000::/3.
        [0x2000..=0x3fff, ..] => Owner::Public,
        _ => Owner::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(text: &str) -> Owner {
        owner_of(text.parse().unwrap())
    }

    #[test]
    fn every_address_has_its_owner() {
        for text in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert_eq!(owner(text), Owner::Public, "{text}");
        }
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert_eq!(owner(text), Owner::Private, "{text}");
        }
        for text in [
            "0.0.0.0",
            "169.254.169.254",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
            "fec0::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "::7f00:1",
            "100::1",
        ] {
            assert_eq!(owner(text), Owner::Nobody, "{text}");
        }
    }

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
