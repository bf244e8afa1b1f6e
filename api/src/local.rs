//! The door of an API that serves one machine alone (`--local`).
//!
//! Being bound to loopback keeps other machines out, but not the web pages that a browser on this machine has open. A page may
//! send requests here, and a page whose own name is made to point here (DNS rebinding) may read the answers. So a request must
//! call this machine by one of its own names, and a request of a web page must come from our page, from an origin that the
//! operator has allowed by a flag, or from one that the person at this machine let in ([`crate::consent`]). A WebSocket is opened by a
//! request and judged like any other. Only our own pages can let others in; a page that was let in cannot.
//!
//! Programs that are no browsers send no `Origin` and are not held up.
//!
//! Our own page passes this door, so it must not do a stranger's bidding: it learns from its own document, which no other page can
//! write, that it is one machine's own, and then runs and changes nothing without the person's own act. Only the page at `/` may
//! lie in a frame, where it shows and runs nothing. A page that opened ours in a window cannot reach into that window.

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

use crate::consent::{Consents, Guest};
use crate::error::ApiError;
use crate::routes::web::{ClientPage, INSTANCE};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// How Chromium asks before a page of the Internet reaches this machine, and how that is answered.
const ASKS_FOR_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");
/// Where pages are let in.
pub(crate) const CONSENT_PATH: &str = "/consent";
/// Of an origin that can be let in.
pub(crate) const ORIGIN_BYTES_MAX: usize = 300;
/// The page is some kilobytes.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Whether an API serves this machine alone, and which web pages beside its own may use it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct LocalDoor {
    /// Serve this machine alone: refuse requests that call it by a foreign name, and those of web pages of other origins.
    #[arg(long, env = "ASMAN_LOCAL", value_parser = FalseyValueParser::new())]
    pub local: bool,
    /// With a local API: an origin, such as `https://page.example`, whose web pages may use it. May be repeated.
    #[arg(long, env = "ASMAN_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN", value_parser = parse_origin)]
    pub allow_origin: Vec<String>,
    /// With a local API: the file that keeps which pages the person at this machine let in, at /consent or with `asman consent`
    /// [default: consent.json in the data directory].
    #[arg(long, env = "ASMAN_CONSENT_FILE", value_name = "FILE")]
    pub consent_file: Option<PathBuf>,
}

/// An origin as browsers write it: scheme, host, and the port where it is not the scheme's own.
pub fn parse_origin(text: &str) -> Result<String, &'static str> {
    if text == "null" {
        return Ok(text.to_owned());
    }
    let url = url::Url::parse(text).map_err(|_| "it is no origin; write it as https://page.example")?;
    if !matches!(url.scheme(), "http" | "https") || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("an origin is a scheme and a host, such as https://page.example, and no path");
    }
    Ok(url.origin().ascii_serialization())
}

/// What judges.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) settings: LocalDoor,
    pub(crate) consents: Arc<Consents>,
}

/// The layer around every route.
pub(crate) async fn guard(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let asks_for_private = request.headers().contains_key(ASKS_FOR_PRIVATE);
    match judge(&door, &request) {
        Ok(guest) => {
            request.extensions_mut().insert(guest);
            let (is_framable, is_consent) = (request.uri().path() == "/", request.uri().path() == CONSENT_PATH);
            let mut answer = own(next.run(request).await, is_framable).await;
            if is_consent {
                answer.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            }
            if asks_for_private {
                // A page of the Internet asks to reach this machine; whether it may was judged above.
                answer.headers_mut().insert(ALLOWS_PRIVATE, HeaderValue::from_static("true"));
            }
            answer
        }
        Err(refused) => {
            metrics::counter!("asman_limited_total", "limit" => "local_door").increment(1);
            refused.into_response(&door)
        }
    }
}

impl Refused {
    fn into_response(self, door: &Door) -> Response {
        let (code, sentence) = match self {
            Self::Host => (ErrorCode::ForeignHost, "this API serves one machine alone; call it localhost".to_owned()),
            Self::Origin(None) => {
                (ErrorCode::ForeignOrigin, "web pages of this origin may not use this API; see --allow-origin".to_owned())
            }
            Self::Origin(Some(asker)) => {
                let Asker { origin, address } = asker;
                if door.consents.note_refused(&origin) {
                    tracing::info!(%origin, "a web page was kept out; let its origin in at {address}, if you trust it");
                }
                let sentence = format!(
                    "web pages of {origin} may not use this API yet; the person at this machine can let them in at {address} or with \
                     `asman consent allow {origin}`"
                );
                (ErrorCode::ForeignOrigin, sentence)
            }
        };
        ApiError::refused(code, sentence).into_response()
    }
}

/// Our page, as one that knows whose it is.
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
    /// With whom to let in, where that can be said.
    Origin(Option<Asker>),
}

/// A page of another origin, and where the person at this machine can let it in.
#[derive(Debug, PartialEq, Eq)]
struct Asker {
    origin: String,
    address: String,
}

/// Who asks, if it is a guest.
fn judge(door: &Door, request: &Request) -> Result<Option<Guest>, Refused> {
    let (method, headers) = (request.method(), request.headers());
    let port = own_port(request.uri().authority(), headers).ok_or(Refused::Host)?;
    let is_for_us_alone = request.uri().path() == CONSENT_PATH;
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        let may_be_foreign = !is_for_us_alone && !door.settings.allow_origin.is_empty();
        return judge_without_origin(may_be_foreign, method, headers).map(|()| None);
    };
    let origin = origin.to_str().ok().filter(|_| origins.next().is_none()).ok_or(Refused::Origin(None))?;
    if is_ours(origin, port) {
        return Ok(None);
    }
    if is_for_us_alone {
        return Err(Refused::Origin(None));
    }
    if door.settings.allow_origin.iter().any(|allowed| allowed == origin) {
        return Ok(None);
    }
    match door.consents.admits(origin) {
        Some(guest) => Ok(Some(guest)),
        None => Err(Refused::Origin(asker(origin, headers))),
    }
}

/// Whom to let in, and where. Nobody lets in a page that has no name.
fn asker(origin: &str, headers: &HeaderMap) -> Option<Asker> {
    let origin =
        parse_origin(origin).ok().filter(|named| named == origin && named != "null" && named.len() <= ORIGIN_BYTES_MAX)?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let query: String = url::form_urlencoded::byte_serialize(origin.as_bytes()).collect();
    Some(Asker { address: format!("http://{host}{CONSENT_PATH}?origin={query}"), origin })
}

/// The port by which this machine is called, where that is done by a name of its own. A tunnel may lead to another port than we
/// listen on, so the port is the caller's word.
fn own_port(target: Option<&Authority>, headers: &HeaderMap) -> Option<u16> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host: Authority = hosts.next()?.to_str().ok()?.parse().ok()?;
    let is_own = |authority: &Authority| !authority.as_str().contains('@') && is_loopback(authority.host());
    let is_called = is_own(&host) && target.is_none_or(is_own) && hosts.next().is_none();
    is_called.then(|| host.port_u16().unwrap_or(80))
}

/// Names that lead to this machine whatever a name server says.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Another page on this machine has another port.
fn is_ours(origin: &str, port: u16) -> bool {
    let Ok(url) = url::Url::parse(origin) else { return false };
    let is_web = matches!(url.scheme(), "http" | "https");
    is_web && url.host_str().is_some_and(is_loopback) && url.port_or_known_default() == Some(port)
}

/// Browsers name no origin when a page only shows what is here, as an image. They say where such a request comes from, and a
/// person who follows a link may come from anywhere. Where other pages are allowed by a flag, theirs cannot be told from a
/// stranger's; one that was let in shows what it has fetched, which names its origin.
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
