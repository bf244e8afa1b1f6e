//! `/openapi.json` and `/docs`: the routes of this server, for programs and for people.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::job::{is_for_browser, vary};
use protocol::ErrorCode;

use crate::description::DESCRIPTION;
use crate::description::guide::GUIDE;
use crate::description::schemas::Missing;
use crate::description::skill;
use crate::error::ApiError;
use crate::extract::Parts;
use crate::own_address::OwnAddress;

/// `GET /openapi.json`: every route of this server, for programs.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operation",
    responses( (status = 200, description = "The document.", content_type = "application/json", body = serde_json::Value)),
)]
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION.json.clone()).into_response()
}

/// `GET /docs`: the guide's contents, for people. The guide loads nothing from elsewhere.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "operation",
    responses( (status = 200, description = "The page.", content_type = "text/html", body = String)),
)]
pub(crate) async fn docs() -> Response {
    page(GUIDE.contents.clone(), &GUIDE.policy)
}

/// Which page of the guide.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct GuidePath {
    /// `api` for every route of this server, or a page such as `quick-start`; `quick-start.md` is its Markdown.
    page: String,
}

/// `GET /docs/:page`: one page of the guide, for people. `api` is this description as a page. If there is no such page, a browser
/// gets a page that says so. With `.md` after its name a page is sent as Markdown.
#[utoipa::path(
    get,
    path = "/docs/{page}",
    tag = "operation",
    params(GuidePath),
    responses(
        (status = 200, description = "The page.", content((String = "text/html"), (String = "text/markdown"))),
        Missing,
    ),
)]
pub(crate) async fn docs_page(Parts(GuidePath { page: name }): Parts<GuidePath>, headers: HeaderMap) -> Response {
    if name == "api" {
        return page(DESCRIPTION.html.clone(), &DESCRIPTION.policy);
    }
    if let Some(html) = GUIDE.page(&name) {
        return page(html, &GUIDE.policy);
    }
    if let Some(source) = name.strip_suffix(".md").and_then(|name| GUIDE.source(name)) {
        return markdown(source.text.clone());
    }
    if name == "quickstart" {
        return moved("quick-start");
    }
    vary(if is_for_browser(&headers) {
        (StatusCode::NOT_FOUND, page(GUIDE.missing.clone(), &GUIDE.policy)).into_response()
    } else {
        ApiError::refused(ErrorCode::NoPage, "there is no such page; /docs lists all of them").into_response()
    })
}

/// `GET /docs/guide/*page`: the address of the guide in the existing system. It redirects to the page of that name, or to the
/// contents.
#[utoipa::path(
    get,
    path = "/docs/guide/{*page}",
    tag = "operation",
    params(GuidePath),
    responses((status = 308, description = "The page's address, relative to the one asked for.")),
)]
pub(crate) async fn old_guide(Parts(GuidePath { page: name }): Parts<GuidePath>) -> Response {
    let up = "../".repeat(name.matches('/').count() + 1);
    let target = match name.as_str() {
        "quickstart" => "quick-start",
        known if GUIDE.page(known).is_some() => known,
        _ => return moved(&format!("{up}../docs")),
    };
    moved(&format!("{up}{target}"))
}

/// `to` is relative, so that the pages work behind a proxy at any path.
fn moved(to: &str) -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response()
}

fn markdown(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response()
}

/// `GET /llms.txt`: every page of the guide with its first paragraph, for programs.
#[utoipa::path(
    get,
    path = "/llms.txt",
    tag = "agents",
    responses((status = 200, description = "The list, in Markdown.", content_type = "text/plain", body = String)),
)]
pub(crate) async fn llms(own: OwnAddress) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], skill::llms(own.root())).into_response()
}

/// Which file of the skill.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SkillPath {
    /// `install.sh`, `asman/SKILL.md`, or one of its references such as `asman/references/rest.md`.
    file: String,
}

/// `GET /docs/skill/*file`: the skill for agents, made from the guide. `install.sh`, piped to `sh`, installs it into a folder.
#[utoipa::path(
    get,
    path = "/docs/skill/{*file}",
    tag = "agents",
    params(SkillPath),
    responses(
        (status = 200, description = "The file.", content((String = "text/markdown"), (String = "text/x-shellscript"))),
        Missing,
    ),
)]
pub(crate) async fn skill_file(Parts(SkillPath { file }): Parts<SkillPath>, own: OwnAddress) -> Response {
    match file.as_str() {
        "install.sh" => {
            let headers = [(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
            (headers, skill::installer(own.root())).into_response()
        }
        _ => skill::file(&file, own.root()).map_or_else(
            || ApiError::refused(ErrorCode::NoPage, "the skill has no such file; install.sh lists all of them").into_response(),
            markdown,
        ),
    }
}

fn page(html: Bytes, policy: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, html).into_response()
}
