//! Decides to which addresses from strangers we connect: the API for webhooks, the worker for build contexts, git remotes and inputs.
//!
//! A URL from a stranger may point into our own network. [`Guard`] checks the URL, resolves its name itself, and checks every address. It
//! is also the resolver of the HTTP client, so the client connects to exactly the checked addresses. A check only before the request would
//! not be enough, because the name may resolve to another address a moment later.
//!
//! Redirects, proxies and time limits differ between webhooks and downloads, so their own code handles these.
//!
//! Invariant: no connection to an address that [`Guard::permits`] refuses.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};

use protocol::address::{Owner, is_http_port};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why a URL or an address is refused. Each sentence continues the words "the URL".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The URL has another scheme, or no host.
    #[error("is not an http or https URL")]
    Scheme,
    /// The port belongs to another protocol.
    #[error("has a port that is not for HTTP")]
    Port,
    /// The address is private or reserved.
    #[error("points to an address that is not public")]
    Address,
}

/// Which addresses are permitted.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    allow_private: bool,
}

impl Guard {
    /// `allow_private` also permits the addresses of private networks and of this machine. Link-local addresses, such as that of a cloud's
    /// metadata service, are never permitted.
    pub const fn new(allow_private: bool) -> Self {
        Self { allow_private }
    }

    /// Whether private addresses are permitted.
    pub const fn allows_private(self) -> bool {
        self.allow_private
    }

    /// Checks an address.
    pub fn permits(self, address: IpAddr) -> bool {
        Owner::of(address).is_permitted(self.allow_private)
    }

    /// Checks a port. It must be a port of HTTP, unless private addresses are permitted.
    pub fn check_port(self, port: u16) -> Result<(), Forbidden> {
        let is_permitted = is_http_port(port) || (self.allow_private && port > 0);
        if is_permitted { Ok(()) } else { Err(Forbidden::Port) }
    }

    /// Checks a URL. A host name is checked when it is resolved.
    pub fn check(self, url: &Url) -> Result<(), Forbidden> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Forbidden::Scheme);
        }
        self.check_port(url.port_or_known_default().unwrap_or(0))?;
        let is_permitted = match url.host() {
            Some(Host::Ipv4(address)) => self.permits(address.into()),
            Some(Host::Ipv6(address)) => self.permits(address.into()),
            Some(Host::Domain(name)) => !name.is_empty(),
            None => return Err(Forbidden::Scheme),
        };
        if is_permitted { Ok(()) } else { Err(Forbidden::Address) }
    }

    /// All addresses of a host. If one of them is not permitted, this fails with an error that contains [`Forbidden`].
    pub async fn resolve(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        if found.iter().any(|address| !self.permits(address.ip())) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, Forbidden::Address));
        }
        Ok(found)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found = guard.resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Finds the guard's refusal in an error of an HTTP client. The client wraps the refusal several times.
pub fn forbidden_in(error: &(dyn Error + 'static)) -> Option<Forbidden> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        let in_io = || inner.downcast_ref::<io::Error>().and_then(|error| error.get_ref()?.downcast_ref::<Forbidden>());
        if let Some(forbidden) = inner.downcast_ref::<Forbidden>().or_else(in_io) {
            return Some(*forbidden);
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

    use super::*;

    fn check(allow_private: bool, text: &str) -> Result<(), Forbidden> {
        Guard::new(allow_private).check(&text.parse().unwrap())
    }

    #[test]
    fn urls_are_judged_by_the_address_that_they_spell_in_any_way() {
        for text in ["https://example.com/a?b", "http://example.com:8080", "HTTPS://Example.com", "http://localhost/"] {
            assert_eq!(check(false, text), Ok(()), "{text}");
        }
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001",
            "http://2130706433",
            "http://[::1]/",
            "http://10.0.0.1:8080",
        ] {
            assert_eq!((check(false, text), check(true, text)), (Err(Forbidden::Address), Ok(())), "{text}");
        }
        for text in ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::ffff:a9fe:a9fe]/"] {
            assert_eq!(check(true, text), Err(Forbidden::Address), "{text}");
        }
        for text in ["ftp://example.com", "file:///etc/passwd", "javascript:alert(1)"] {
            assert_eq!(check(true, text), Err(Forbidden::Scheme), "{text}");
        }
        for text in ["http://example.com:22", "http://example.com:6379"] {
            assert_eq!((check(false, text), check(true, text)), (Err(Forbidden::Port), Ok(())), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_each_of_its_addresses_and_the_refusal_is_found_in_the_error() {
        let error = Guard::new(false).resolve("localhost", 80).await.unwrap_err();
        assert_eq!(forbidden_in(&error), Some(Forbidden::Address));
        assert!(!Guard::new(true).resolve("localhost", 80).await.unwrap().is_empty());
    }
}
