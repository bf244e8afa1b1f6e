//! What older programs use, as adapters over the native routes: the socket of published workers, the task-queue API, addresses of files,
//! and paths that have newer names.
//!
//! Native modules do not use this one, except the list of routes in `routes` and the description of all routes. Nothing here
//! has its own state or statements: a worker behind the socket claims and finishes like any other, and an item of the
//! task-queue API is a job of the queue. `docs/compatibility.md` says who uses what.

mod file_address;
pub(crate) mod task_queue;
mod worker_socket;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::description::{also, deprecated, outdated};
use crate::routes::{client_socket, description, job, status};

/// All routes that only older programs use, with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(worker_socket::connect))
        .routes(also("/{queue}/worker", routes!(worker_socket::connect)))
        .routes(also("/q/{queue}/browser", routes!(client_socket::connect)))
        .routes(also("/{queue}/client", routes!(client_socket::connect)))
        .routes(also("/{queue}/browser", routes!(client_socket::connect)))
        .routes(also("/q/{queue}/j/{id}/results.json", routes!(job::result)))
        .routes(also("/j/{id}/results.json", routes!(job::result_anywhere)))
        .routes(deprecated("/{queue}/status", routes!(status::status)))
        .routes(deprecated("/{queue}/metrics", routes!(status::metrics)))
        .routes(outdated(routes!(description::old_guide)))
        .routes(outdated(routes!(file_address::upload)))
        .routes(outdated(routes!(file_address::download)))
        .merge(task_queue::routes().into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { sources(&path, found) } else { found.push(path) }
        }
    }

    #[test]
    fn native_modules_use_nothing_of_this_one_except_its_routes_and_their_descriptions() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut all = Vec::new();
        sources(&root, &mut all);
        let uses = all.iter().filter(|path| std::fs::read_to_string(path).unwrap_or_default().contains("crate::compat"));
        let mut uses: Vec<_> = uses.filter_map(|path| path.strip_prefix(&root).ok()?.to_str()).collect();
        uses.retain(|path| !path.starts_with("compat/"));
        uses.sort_unstable();
        assert_eq!(uses, ["description/document.rs", "description/mod.rs", "routes/mod.rs", "routes/tests.rs"]);
    }
}
