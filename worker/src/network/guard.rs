//! The client for addresses that a job's author named: build contexts, git remotes and inputs from URLs.
//!
//! It connects to what [`egress`] permits. It follows at most [`REDIRECTS_MAX`] redirects and checks each of them in the same way.
//!
//! Two kinds of addresses are trusted. The API's own origin is trusted, because the worker calls it anyway. If the API runs on this
//! machine, this includes every name of the machine. The address that a file of the API (`/f/…`) redirects to is trusted, because the API
//! chose it. Other redirects of the API go to addresses that a stranger named, so they are checked.
//!
//! Requests to addresses that are not trusted use no proxy from the environment, because a proxy would resolve the name itself. Errors
//! contain no URL, because a URL may contain a secret.

use std::io;
use std::time::Duration;

use egress::{Guard, forbidden_in};
use reqwest::header::LOCATION;
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use tokio::net::TcpStream;

use crate::answer::{ApiError, sort};
use crate::network::Proxies;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A download that brings no byte for this long has failed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
const REDIRECTS_MAX: usize = 5;

/// Why the guard does not permit an address. The sentences follow the words "the URL".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// The worker does not connect to it.
    #[error("{0}{hint}", hint = hint(*.0))]
    Destination(#[from] egress::Forbidden),
    /// The redirect goes from https to http.
    #[error("redirects from https to http")]
    Downgrade,
    /// There are too many redirects, most likely a loop.
    #[error("redirects too often")]
    Redirects,
}

fn hint(forbidden: egress::Forbidden) -> &'static str {
    match forbidden {
        egress::Forbidden::Address => " (a worker started with --allow-private-urls reaches its own network)",
        egress::Forbidden::Scheme | egress::Forbidden::Port => "",
    }
}

impl From<egress::Forbidden> for ApiError {
    fn from(forbidden: egress::Forbidden) -> Self {
        Forbidden::from(forbidden).into()
    }
}

impl From<Forbidden> for ApiError {
    fn from(forbidden: Forbidden) -> Self {
        let sentence = format!("the URL {forbidden}");
        match forbidden {
            Forbidden::Destination(egress::Forbidden::Port | egress::Forbidden::Address) => Self::Forbidden(sentence),
            // Every worker refuses these.
            Forbidden::Destination(egress::Forbidden::Scheme) | Forbidden::Downgrade | Forbidden::Redirects => {
                Self::Refused { status: 403, sentence }
            }
        }
    }
}

/// The client for URLs that a stranger named. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Guarded {
    guard: Guard,
    judged: Client,
    /// For the API's own origin and the storage of its files.
    trusted: Client,
    api: Url,
}

impl Guarded {
    pub(crate) fn new(api: &Url, allow_private: bool) -> reqwest::Result<Self> {
        let guard = Guard::new(allow_private);
        let builder = || {
            let builder = Client::builder().redirect(redirect::Policy::none()).referer(false);
            builder.connect_timeout(CONNECT_TIMEOUT).read_timeout(IDLE_TIMEOUT)
        };
        let judged = builder().no_proxy().dns_resolver(guard).build()?;
        Ok(Self { guard, judged, trusted: Proxies::of_environment().apply(builder()).build()?, api: api.clone() })
    }

    /// Whether addresses of the worker's own network are permitted.
    pub(crate) fn allows_private(&self) -> bool {
        self.guard.allows_private()
    }

    /// Fetches a URL. The answer is a success and not a redirect.
    pub(crate) async fn get(&self, url: Url) -> Result<Response, ApiError> {
        self.get_with(url, |request| request).await
    }

    /// Fetches a URL with what `dress` adds to the request, such as a range. Every redirect gets the addition too, so it must not contain
    /// a secret.
    pub(crate) async fn get_with(
        &self,
        url: Url,
        dress: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, ApiError> {
        let (mut url, mut is_trusted) = (url, false);
        for _ in 0..=REDIRECTS_MAX {
            is_trusted |= self.is_own(&url);
            if !is_trusted {
                self.guard.check(&url)?;
            }
            let client = if is_trusted { &self.trusted } else { &self.judged };
            let answer = dress(client.get(url.clone())).send().await;
            let response = answer.map_err(|error| forbidden_in(&error).map_or_else(|| away(error), ApiError::from))?;
            let Some(next) = redirect_of(&response, &url) else { return sort(Ok(response)).await };
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(Forbidden::Downgrade.into());
            }
            is_trusted = self.is_own_file(&url);
            url = next;
        }
        Err(Forbidden::Redirects.into())
    }

    /// Sends one request and follows no redirect, so its headers and body go only to that URL. The answer is a success.
    pub(crate) async fn once(
        &self,
        method: reqwest::Method,
        url: Url,
        dress: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, ApiError> {
        if !self.is_own(&url) {
            self.guard.check(&url)?;
        }
        let client = if self.is_own(&url) { &self.trusted } else { &self.judged };
        let answer = dress(client.request(method, url)).send().await;
        let response = answer.map_err(|error| forbidden_in(&error).map_or_else(|| away(error), ApiError::from))?;
        if response.status().is_redirection() {
            return Err(Forbidden::Redirects.into());
        }
        sort(Ok(response)).await
    }

    /// Connects to a host for another program.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        if self.api.port_or_known_default() == Some(port) && is_same_host(self.api.host_str(), Some(host)) {
            return TcpStream::connect((host, port)).await;
        }
        self.guard.check_port(port).map_err(|forbidden| io::Error::new(io::ErrorKind::PermissionDenied, forbidden))?;
        let found = self.guard.resolve(host, port).await?;
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&found[..])).await.map_err(timed_out)?
    }

    /// Whether a URL belongs to the API itself.
    pub(crate) fn is_own(&self, url: &Url) -> bool {
        url.scheme() == self.api.scheme()
            && url.port_or_known_default() == self.api.port_or_known_default()
            && is_same_host(self.api.host_str(), url.host_str())
    }

    fn is_own_file(&self, url: &Url) -> bool {
        let base = self.api.path().trim_end_matches('/');
        self.is_own(url) && url.path().strip_prefix(base).is_some_and(|path| path.starts_with("/f/"))
    }
}

/// Whether two hosts are the same. This machine has several names, and browsers on it may use another name than its worker.
fn is_same_host(one: Option<&str>, other: Option<&str>) -> bool {
    let is_loopback = |host: Option<&str>| host.is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1"));
    one == other || (is_loopback(one) && is_loopback(other))
}

fn away(error: reqwest::Error) -> ApiError {
    ApiError::Away(crate::answer::cause_of(error))
}

fn redirect_of(response: &Response, from: &Url) -> Option<Url> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    from.join(location.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(allow_private: bool) -> Guarded {
        Guarded::new(&"http://127.0.0.1:8000/base".parse().unwrap(), allow_private).unwrap()
    }

    async fn refusal(guarded: &Guarded, url: &str) -> String {
        guarded.get(url.parse().unwrap()).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn addresses_that_are_not_public_are_refused_as_literals_and_as_names() {
        for url in [
            "http://127.0.0.1:1/",
            "http://127.1:1/",
            "http://2130706433:8080/",
            "http://[::1]:1024/",
            "http://[::ffff:10.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://169.254.169.254/latest/meta-data",
            "http://localhost/",
        ] {
            let port_or_address = refusal(&guarded(false), url).await;
            assert!(port_or_address.contains("not public") || port_or_address.contains("port"), "{url}: {port_or_address}");
        }
        let always = refusal(&guarded(true), "http://169.254.169.254/latest/meta-data").await;
        assert!(always.contains("not public"), "{always}");
        assert!(refusal(&guarded(false), "http://example.com:22/").await.contains("port"));
        assert!(refusal(&guarded(true), "ftp://example.com/").await.contains("not an http"));
    }

    #[tokio::test]
    async fn other_programs_are_connected_only_to_checked_addresses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost", "::1", "0.0.0.0"] {
            let error = guarded(false).connect(host, port).await.unwrap_err();
            assert!(error.to_string().contains("not public"), "{host}: {error}");
        }
        assert!(guarded(true).connect("127.0.0.1", port).await.is_ok());
    }

    #[test]
    fn only_the_apis_own_files_may_redirect_to_a_trusted_address() {
        let guarded = guarded(false);
        let is_own_file = |url: &str| guarded.is_own_file(&url.parse().unwrap());
        assert!(is_own_file("http://127.0.0.1:8000/base/f/key"));
        assert!(!is_own_file("http://127.0.0.1:8000/base/q/a/j/b/outputs/f/x"));
        assert!(!is_own_file("http://127.0.0.1:8001/base/f/key"));
        assert!(is_own_file("http://localhost:8000/base/f/key") && !is_own_file("http://localhost.example:8000/base/f/key"));
    }
}
