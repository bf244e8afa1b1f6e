//! The web client, which is part of the program: its page for people's browsers, and the files that the page loads.
//!
//! Invariants:
//! - A file below `assets/` has the hash of its content in its name and may be cached for ever; the page itself is always
//!   requested again.
//! - The page loads code from this server only, and any other page may show it in a frame, as a metaframe.
//! - A path that names a script, a text or an icon never returns the page. `/sw.js` and `/registerSW.js` replace the service
//!   worker of an earlier client at this address by one that removes it.
//! - Every address in the page is relative, so that the page works behind a proxy at any path. For a deeper path `page` adds
//!   `../` to the addresses.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use protocol::ErrorCode;

use crate::client_page::ClientPage;
use crate::error::ApiError;

/// One file of the client, plain and, if that is smaller, compressed.
struct File {
    path: &'static str,
    bytes: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/web.rs"));

/// The page of a program that was built without the client.
const PLAIN: &str = include_str!("../../../web/plain.html");
/// Inline styles are allowed, because the terminal and the editor create styles while they run. Connections may go anywhere,
/// because a queue may be on another server and files in object storages. Files of jobs are shown from memory (`blob:`) and never
/// run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; \
    media-src blob:; frame-src blob:; font-src 'self'; connect-src http: https: ws: wss:; worker-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors *";
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Endings of paths that never return the page.
const FILE_ENDINGS: [&str; 5] = [".js", ".sh", ".md", ".txt", ".ico"];

fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

/// The page for a path with this many slashes after the first: `/` has none, `/j/<id>` has one.
pub(super) fn page(depth: usize) -> Response {
    let html = find("index.html").and_then(|file| str::from_utf8(file.bytes).ok()).unwrap_or(PLAIN);
    let html = if depth == 0 { html.to_owned() } else { html.replace("\"./", &format!("\"{}", "../".repeat(depth))) };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, if FILES.is_empty() { "frame-ancestors *" } else { POLICY }),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut response = (headers, html).into_response();
    response.extensions_mut().insert(ClientPage);
    response
}

/// The answer for a path outside of the API: a file of the client, else the page.
pub(super) fn answer(path: &str, headers: &HeaderMap) -> Response {
    let name = path.strip_prefix('/').unwrap_or(path);
    match find(name) {
        Some(file) if file.path != "index.html" => send(file, headers),
        // For a page that was opened before an upgrade: HTML in place of its code would cause an obscure error.
        None if name.starts_with("assets/") => {
            ApiError::refused(ErrorCode::NoPage, "this file is of another version of the page; reload it").into_response()
        }
        // A program that requests one of these would misread the page.
        None if FILE_ENDINGS.iter().any(|ending| name.ends_with(ending)) => ApiError::refused(
            ErrorCode::NoPage,
            "there is no such file; the page is at /, and the routes for programs are at /docs",
        )
        .into_response(),
        _ => page(name.matches('/').count()),
    }
}

fn send(file: &File, headers: &HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let compressed = [("br", file.brotli), ("gzip", file.gzip)];
    let chosen = compressed.into_iter().find_map(|(name, bytes)| Some((name, bytes?)).filter(|_| accepts(accepted, name)));
    let mut response = Response::new(Body::from(chosen.map_or(file.bytes, |(_, bytes)| bytes)));
    *response.status_mut() = StatusCode::OK;
    let answer = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(mime_guess::from_path(file.path).first_or_octet_stream().essence_str()) {
        answer.insert(header::CONTENT_TYPE, kind);
    }
    if let Some((name, _)) = chosen {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    let keep = if file.path.starts_with("assets/") { FOREVER } else { "no-cache" };
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether an `Accept-Encoding` names the encoding and does not refuse it with `q=0` (RFC 9110, 12.5.3).
fn accepts(header: &str, encoding: &str) -> bool {
    header.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        is_named && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::accepts;

    #[test]
    fn an_encoding_counts_when_it_is_named_and_not_refused() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("GZIP;q=0.5", "gzip"));
        assert!(!accepts("gzip;q=0, br", "gzip"));
        assert!(!accepts("brotli", "br"));
        assert!(!accepts("", "gzip"));
    }
}
