//! What the routes and the middleware of a local API share of the client's page.

/// Marks a response as the client's page, so that a local API can add that it is local.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientPage;

/// The marker in the page, and its value for a local API.
pub(crate) const INSTANCE: (&str, &str) =
    (r#"name="asman-instance" content="public""#, r#"name="asman-instance" content="local""#);
