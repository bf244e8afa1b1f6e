//! Path parameters that handlers read by themselves, described for the document.

#![allow(dead_code, reason = "only the macros read it")]

use protocol::{JobId, Namespace};
use utoipa::IntoParams;

/// The last part of a file's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct NamePath {
    /// Name of the file. It may contain slashes.
    #[param(min_length = 1)]
    name: String,
}

/// The part of the path that names a namespace.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct NamespacePath {
    /// The namespace that cancels the job; `*` means all.
    #[param(inline)]
    namespace: Namespace,
}

/// A sentence in the query string.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageParameter {
    /// A sentence that is shown with the job, at most 4096 bytes.
    #[param(max_length = 4096)]
    message: Option<String>,
}

/// The path of a stored file.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyPath {
    /// Key of the file. A key that looks like a SHA-256 must be the hash of the content.
    #[param(value_type = JobId, inline)]
    key: String,
}
