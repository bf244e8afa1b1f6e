//! Access to an API that serves one machine alone (`--local`).
//!
//! Listening on loopback keeps other machines out, but not the web pages in a browser on this machine. A page can send requests
//! here, and a page whose own host name is made to point here (DNS rebinding) could read the answers. So a request must use one
//! of this machine's own names. A request of a web page must come from our page, from an origin that the operator has allowed
//! with a flag, or from one that the user of this machine has allowed ([`crate::consent`]). The request that opens a WebSocket is
//! checked in the same way. Only our own pages can allow others; an allowed page cannot.
//!
//! Programs that are not browsers send no `Origin` and are not restricted.
//!
//! Our own page passes this check, so it must not act for a stranger. Its own document, which no other page can write, tells it
//! that it belongs to a local API. The page then runs and changes nothing without an action of the user. Only the page at `/`
//! may be shown in a frame, where it displays nothing and runs nothing. A page that opened ours in a window cannot access that
//! window.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clap::builder::FalseyValueParser;
use protocol::ErrorCode;

use crate::client_page::{ClientPage, INSTANCE};
use crate::consent::{Consents, Guest};
use crate::error::ApiError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// Before a page of the Internet may reach this machine, Chromium asks with the first header, and the answer allows it with the
/// second.
const ASKS_FOR_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");
/// The path where the user allows pages.
pub(crate) const CONSENT_PATH: &str = "/consent";
/// Length limit of an origin that can be allowed.
pub(crate) const ORIGIN_BYTES_MAX: usize = 300;
/// Size limit of our page, which has a few kilobytes.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Whether an API serves this machine alone, and which web pages other than its own may use it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct LocalAccess {
    /// Serve this machine alone: refuse requests with a foreign host name, and requests of web pages from other origins.
    #[arg(long, env = "ASMAN_LOCAL", value_parser = FalseyValueParser::new())]
    pub local: bool,
    /// With a local API: an origin, such as `https://page.example`, whose web pages may use it. The flag may be repeated.
    #[arg(long, env = "ASMAN_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN", value_parser = parse_origin)]
    pub allow_origin: Vec<String>,
    /// With a local API: the file with the origins that the user of this machine has allowed, at /consent or with `asman consent`
    /// [default: consent.json in the data directory].
    #[arg(long, env = "ASMAN_CONSENT_FILE", value_name = "FILE")]
    pub consent_file: Option<PathBuf>,
}

/// An origin as browsers write it: scheme, host, and the port if it is not the scheme's default.
pub fn parse_origin(text: &str) -> Result<String, &'static str> {
    if text == "null" {
        return Ok(text.to_owned());
    }
    let url = url::Url::parse(text).map_err(|_| "it is not an origin; write it as https://page.example")?;
    if !matches!(url.scheme(), "http" | "https") || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("an origin is a scheme and a host without a path, such as https://page.example");
    }
    Ok(url.origin().ascii_serialization())
}

/// What the check needs.
#[derive(Clone, Debug)]
pub(crate) struct LocalGuard {
    pub(crate) settings: LocalAccess,
    pub(crate) consents: Arc<Consents>,
}

/// The layer around every route.
pub(crate) async fn guard(State(local): State<LocalGuard>, mut request: Request, next: Next) -> Response {
    let asks_for_private = request.headers().contains_key(ASKS_FOR_PRIVATE);
    match judge(&local, &request) {
        Ok(guest) => {
            request.extensions_mut().insert(guest);
            let (is_framable, is_consent) = (request.uri().path() == "/", request.uri().path() == CONSENT_PATH);
            let mut answer = own(next.run(request).await, is_framable).await;
            if is_consent {
                answer.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            }
            if asks_for_private {
                // A page of the Internet asks to reach this machine. The check above has allowed it.
                answer.headers_mut().insert(ALLOWS_PRIVATE, HeaderValue::from_static("true"));
            }
            answer
        }
        Err(refused) => {
            metrics::counter!("asman_limited_total", "limit" => "local_door").increment(1);
            refused.into_response(&local)
        }
    }
}

impl Refused {
    fn into_response(self, local: &LocalGuard) -> Response {
        let (code, sentence) = match self {
            Self::Host => (ErrorCode::ForeignHost, "this API serves one machine alone; use the host name localhost".to_owned()),
            Self::Origin(None) => {
                (ErrorCode::ForeignOrigin, "web pages of this origin may not use this API; see --allow-origin".to_owned())
            }
            Self::Origin(Some(asker)) => {
                let Asker { origin, address } = asker;
                if local.consents.note_refused(&origin) {
                    tracing::info!(%origin, "a web page was refused; if you trust it, allow its origin at {address}");
                }
                let sentence = format!(
                    "web pages of {origin} may not use this API yet; the user of this machine can allow them at {address} or with \
                     `asman consent allow {origin}`"
                );
                (ErrorCode::ForeignOrigin, sentence)
            }
        };
        ApiError::refused(code, sentence).into_response()
    }
}

/// If the response is our page, marks it as the page of a local API.
async fn own(response: Response, is_framable: bool) -> Response {
    if response.extensions().get::<ClientPage>().is_none() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, PAGE_BYTES_MAX).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let html = String::from_utf8_lossy(&bytes).replace(INSTANCE.0, INSTANCE.1);
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    let policy = head.headers.get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok()).unwrap_or_default();
    if !is_framable && let Ok(policy) = policy.replace("frame-ancestors *", "frame-ancestors 'none'").parse() {
        head.headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Response::from_parts(head, Body::from(html))
}

#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Host,
    /// With the origin to allow, if it is known.
    Origin(Option<Asker>),
}

/// A page of another origin, and the address where the user of this machine can allow it.
#[derive(Debug, PartialEq, Eq)]
struct Asker {
    origin: String,
    address: String,
}

/// Checks a request. Returns the caller if it is a guest.
fn judge(local: &LocalGuard, request: &Request) -> Result<Option<Guest>, Refused> {
    let (method, headers) = (request.method(), request.headers());
    let port = own_port(request.uri().authority(), headers).ok_or(Refused::Host)?;
    let is_for_us_alone = request.uri().path() == CONSENT_PATH;
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        let may_be_foreign = !is_for_us_alone && !local.settings.allow_origin.is_empty();
        return judge_without_origin(may_be_foreign, method, headers).map(|()| None);
    };
    let origin = origin.to_str().ok().filter(|_| origins.next().is_none()).ok_or(Refused::Origin(None))?;
    if is_ours(origin, port) {
        return Ok(None);
    }
    if is_for_us_alone {
        return Err(Refused::Origin(None));
    }
    if local.settings.allow_origin.iter().any(|allowed| allowed == origin) {
        return Ok(None);
    }
    match local.consents.admits(origin) {
        Some(guest) => Ok(Some(guest)),
        None => Err(Refused::Origin(asker(origin, headers))),
    }
}

/// The origin to allow, and where. A page without an origin cannot be allowed.
fn asker(origin: &str, headers: &HeaderMap) -> Option<Asker> {
    let origin =
        parse_origin(origin).ok().filter(|named| named == origin && named != "null" && named.len() <= ORIGIN_BYTES_MAX)?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let query: String = url::form_urlencoded::byte_serialize(origin.as_bytes()).collect();
    Some(Asker { address: format!("http://{host}{CONSENT_PATH}?origin={query}"), origin })
}

/// The port of the request, if its host name is one of this machine's own. A tunnel may use another port than ours, so the port
/// comes from the request.
fn own_port(target: Option<&Authority>, headers: &HeaderMap) -> Option<u16> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host: Authority = hosts.next()?.to_str().ok()?.parse().ok()?;
    let is_own = |authority: &Authority| !authority.as_str().contains('@') && is_loopback(authority.host());
    let is_called = is_own(&host) && target.is_none_or(is_own) && hosts.next().is_none();
    is_called.then(|| host.port_u16().unwrap_or(80))
}

/// Whether a host name always means this machine, independent of any name server.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whether an origin is that of our own page. Another page on this machine has another port.
fn is_ours(origin: &str, port: u16) -> bool {
    let Ok(url) = url::Url::parse(origin) else { return false };
    let is_web = matches!(url.scheme(), "http" | "https");
    is_web && url.host_str().is_some_and(is_loopback) && url.port_or_known_default() == Some(port)
}

/// Checks a request without an origin. Browsers send no origin when a page only displays something, such as an image, but they
/// send whether the request comes from a page of another site. Such a request is refused, with two exceptions. A user who
/// follows a link may come from anywhere. If a flag allows other pages, they may display something from here, and so may any
/// other page, because these requests do not name their page. Pages that the user has allowed need no exception: they display
/// what they have fetched, and a fetch names its origin.
fn judge_without_origin(may_be_foreign: bool, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    let word = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_foreign = matches!(word(SEC_FETCH_SITE), "cross-site" | "same-site");
    let is_visit = word(SEC_FETCH_MODE) == "navigate" && matches!(*method, Method::GET | Method::HEAD);
    let is_allowed = !is_foreign || is_visit || (may_be_foreign && matches!(*method, Method::GET | Method::HEAD));
    if is_allowed { Ok(()) } else { Err(Refused::Origin(None)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_few() {
        for own in ["localhost", "LOCALHOST", "asman.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
            assert!(is_loopback(own), "{own}");
        }
        for foreign in ["", "evil.example", "localhost.evil.example", "notlocalhost", "10.0.0.1", "0.0.0.0", "localhost."] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        assert_eq!(parse_origin("https://Page.example:443/"), Ok("https://page.example".to_owned()));
        assert_eq!(parse_origin("null"), Ok("null".to_owned()));
        for bad in ["page.example", "ftp://page.example", "https://page.example/path", "*"] {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }
}
