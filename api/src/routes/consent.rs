//! `/consent`: the page on which the user of a machine allows pages of other origins to use it, and revokes these consents.
//! [`crate::consent`] describes why no other page can allow itself.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use protocol::ErrorCode;
use serde::Deserialize;

use crate::app::{App, AppState};
use crate::consent::{Consent, ConsentError};
use crate::description::schemas::{Refusals, Sentence};
use crate::error::ApiError;
use crate::extract::Parameters;
use crate::local::{CONSENT_PATH, ORIGIN_BYTES_MAX, parse_origin};

/// The page runs no script, loads nothing from elsewhere, and cannot be shown in a frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("consent.css");
/// Size limit of a form: an origin, a token and two words.
const FORM_BYTES_MAX: usize = 2_048;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asking {
    /// The origin that asks for consent, such as `https://page.example`.
    origin: Option<String>,
}

/// `GET /consent?origin=`: the page that asks the user of this machine whether pages of an origin may use it, and lists the
/// allowed origins. Only on an API that serves one machine alone.
#[utoipa::path(
    get,
    path = "/consent",
    tag = "operation",
    params(Asking),
    responses(
        (status = 200, description = "The page.", content_type = "text/html", body = String),
        (status = 404, description = "This API accepts pages of any origin.", body = Sentence),
        Refusals,
    ),
)]
pub(crate) async fn ask(State(app): State<AppState>, Parameters(asking): Parameters<Asking>) -> Result<Response, ApiError> {
    check_local(&app)?;
    let origin = asking.origin.as_deref().map(read_origin).transpose()?;
    Ok(page(&app, origin.as_deref(), None))
}

/// The content of the form.
#[derive(Default)]
struct Said {
    origin: String,
    token: String,
    is_allowed: bool,
    is_revoked: bool,
    is_sure: bool,
}

/// `POST /consent`: the form of that page. Only the form of the page itself is accepted.
#[utoipa::path(
    post,
    path = "/consent",
    tag = "operation",
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "Done: back to the page."),
        (status = 404, description = "This API accepts pages of any origin.", body = Sentence),
        Refusals,
    ),
)]
pub(crate) async fn answer(State(app): State<AppState>, body: String) -> Result<Response, ApiError> {
    check_local(&app)?;
    if body.len() > FORM_BYTES_MAX {
        return Err(ApiError::refused(ErrorCode::InvalidRequest, "this is not the form of /consent"));
    }
    let said = read(&body);
    let origin = read_origin(&said.origin)?;
    if !app.consents.close_form(&said.token) {
        return Ok(page(&app, Some(&origin), Some("This form has expired. Please answer again.")));
    }
    if said.is_revoked {
        app.consents.revoke(&origin).map_err(failed)?;
    } else if said.is_allowed && said.is_sure {
        app.consents.allow(&origin).map_err(failed)?;
        tracing::info!(%origin, "pages of this origin may use this machine from now on");
    } else {
        return Ok(page(&app, Some(&origin), Some("Tick the box first.")));
    }
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static(CONSENT_PATH))]).into_response())
}

fn check_local(app: &App) -> Result<(), ApiError> {
    let sentence = "this API does not serve one machine alone: it accepts pages of any origin, so no consent is needed";
    if app.config.local_access.local { Ok(()) } else { Err(ApiError::refused(ErrorCode::NoPage, sentence)) }
}

/// An origin that can be allowed, in the form that browsers send.
fn read_origin(text: &str) -> Result<String, ApiError> {
    let origin = parse_origin(text).ok().filter(|origin| origin != "null" && origin.len() <= ORIGIN_BYTES_MAX);
    origin.ok_or_else(|| {
        let sentence =
            "an origin is a scheme and a host, such as https://page.example; a page without an origin cannot be allowed";
        ApiError::refused(ErrorCode::InvalidRequest, sentence)
    })
}

fn read(body: &str) -> Said {
    let mut said = Said::default();
    for (name, value) in url::form_urlencoded::parse(body.as_bytes()) {
        match (name.as_ref(), value.as_ref()) {
            ("origin", origin) => origin.clone_into(&mut said.origin),
            ("token", token) => token.clone_into(&mut said.token),
            ("answer", "allow") => said.is_allowed = true,
            ("answer", "revoke") => said.is_revoked = true,
            ("sure", "yes") => said.is_sure = true,
            _ => {}
        }
    }
    said
}

fn failed(error: ConsentError) -> ApiError {
    match error {
        ConsentError::File { path, cause } => {
            tracing::error!(path = %path.display(), %cause, "consents cannot be kept");
            cause.into()
        }
        other => ApiError::refused(ErrorCode::InvalidRequest, other.to_string()),
    }
}

fn page(app: &App, origin: Option<&str>, word: Option<&str>) -> Response {
    let (admitted, refused) = app.consents.list();
    let html = document(&View { app, origin, word, admitted: &admitted, refused: &refused }).into_string();
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, html).into_response()
}

struct View<'a> {
    app: &'a App,
    origin: Option<&'a str>,
    word: Option<&'a str>,
    admitted: &'a [Consent],
    refused: &'a [String],
}

fn document(view: &View<'_>) -> Markup {
    let is_admitted = |origin: &str| view.admitted.iter().any(|consent| consent.origin == origin);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // All other pages have the policy `no-referrer`, with which a browser would not send the origin of the form.
                meta name="referrer" content="same-origin";
                title { "Who may use this machine - Asman" }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Who may use this machine" }
                    @if let Some(word) = view.word { p.word role="alert" { (word) } }
                    @match view.origin {
                        Some(origin) if is_admitted(origin) => p role="status" { "Pages of " code { (origin) } " may use this machine." },
                        Some(origin) => (question(view.app, origin)),
                        None => {}
                    }
                    (allowed(view))
                    (kept_out(view.refused))
                }
            }
        }
    }
}

fn question(app: &App, origin: &str) -> Markup {
    html! {
        form method="post" action=(CONSENT_PATH) {
            p { "Pages of " strong.origin { (origin) } " ask to use this machine." }
            p {
                "They could then run containers here, read the results of jobs here, and read and change every queue of this \
                 API, until you revoke it. Say yes only if you trust the makers of these pages."
            }
            input type="hidden" name="origin" value=(origin);
            input type="hidden" name="token" value=(app.consents.open_form());
            label { input type="checkbox" name="sure" value="yes" required; " I know " (origin) " and trust it" }
            button type="submit" name="answer" value="allow" { "Allow its pages" }
        }
    }
}

fn allowed(view: &View<'_>) -> Markup {
    html! {
        h2 { "Let in" }
        @let flagged = &view.app.config.local_access.allow_origin;
        @if view.admitted.is_empty() && flagged.is_empty() { p { "No pages of other origins." } }
        ul {
            @for consent in view.admitted {
                @let origin = &consent.origin;
                li {
                    code { (origin) } " since " (consent.since_text())
                    form.inline method="post" action=(CONSENT_PATH) {
                        input type="hidden" name="origin" value=(origin);
                        input type="hidden" name="token" value=(view.app.consents.open_form());
                        button type="submit" name="answer" value="revoke" aria-label={ "Revoke the consent for " (origin) } { "Revoke" }
                    }
                }
            }
            @for origin in flagged { li { code { (origin) } " by a flag of this API, for as long as it runs" } }
        }
    }
}

fn kept_out(refused: &[String]) -> Markup {
    html! {
        @if !refused.is_empty() {
            h2 { "Refused lately" }
            ul {
                @for origin in refused {
                    @let query: String = url::form_urlencoded::byte_serialize(origin.as_bytes()).collect();
                    li { a href={ (CONSENT_PATH) "?origin=" (query) } { (origin) } }
                }
            }
        }
    }
}
