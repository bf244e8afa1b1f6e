pub(super) struct Page {
    pub(super) html: String,
    pub(super) policy: String,
}
pub(super) fn of(_: &serde_json::Value) -> Page {
    Page { html: String::new(), policy: String::new() }
}
