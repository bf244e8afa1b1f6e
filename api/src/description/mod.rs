//! The description of the API: an OpenAPI 3.1 document made from the handlers, the page that shows it, and the guide.
//!
//! Handlers carry `#[utoipa::path]`; `routes!` adds the handler and its description to the router in one step, so neither exists
//! without the other. The test in `routes/tests.rs` finds routes that were added by a plain `.route()`. The document and its page
//! are made once, at the first request for either. They take a few hundred kilobytes for the life of the process.

mod codes;
mod document;
pub(crate) mod guide;
mod page;
pub(crate) mod parameters;
mod permissions;
mod refusals;
pub(crate) mod schemas;
mod shape;
pub(crate) mod skill;
mod status_schemas;

use std::sync::LazyLock;

use axum::body::Bytes;
use serde_json::Value;
use utoipa::openapi::Deprecated;
use utoipa::openapi::path::{Operation, PathItem, PathsMap};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::app::AppState;

/// Extension member of an operation under a second path. Its value is the operation's main path.
pub(crate) const ALIAS: &str = "x-asman-alias-of";

/// The description in its two forms.
pub(crate) struct Description {
    /// The OpenAPI document.
    pub(crate) json: Bytes,
    /// The page.
    pub(crate) html: Bytes,
    /// The content policy of the page: it may load only its own style.
    pub(crate) policy: String,
}

/// The description of the routes in this program.
pub(crate) static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| {
    let document = document::of(crate::routes::described().into_openapi(), crate::compat::task_queue::describe());
    let page = page::of(&document);
    Description { json: document.to_string().into(), html: page.html.into(), policy: page.policy }
});

/// The parameters of a type, as the document writes them.
pub(crate) fn parameters_of<T: utoipa::IntoParams>() -> Vec<Value> {
    T::into_params(|| None).iter().map(|parameter| serde_json::json!(parameter)).collect()
}

/// The same handlers under another path.
pub(crate) fn also(path: &str, routes: UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    moved(path, false, routes)
}

/// The same handlers under a path that is kept for old clients.
pub(crate) fn deprecated(path: &str, routes: UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    moved(path, true, routes)
}

/// Handlers whose only path is kept for old clients.
pub(crate) fn outdated((schemas, mut paths, methods): UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    for item in paths.paths.values_mut() {
        operations(item).for_each(|operation| operation.deprecated = Some(Deprecated::True));
    }
    (schemas, paths, methods)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn moved(
    path: &str,
    is_deprecated: bool,
    (schemas, mut paths, methods): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    let mut moved = PathsMap::new();
    for (first, mut item) in std::mem::take(&mut paths.paths) {
        for operation in operations(&mut item) {
            let alias = utoipa::openapi::extensions::Extensions::builder().add(ALIAS, document::plain(&first)).build();
            operation.extensions = Some(alias);
            if is_deprecated {
                operation.deprecated = Some(Deprecated::True);
            }
        }
        moved.insert(path.to_owned(), item);
    }
    paths.paths = moved;
    (schemas, paths, methods)
}
