//! No route without its description.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use serde_json::Value;

use super::described;
use crate::description::DESCRIPTION;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Method and path of everything that the router serves. axum lists its routes nowhere but in its `Debug`.
fn served() -> BTreeSet<(String, String)> {
    let text = format!("{:?}", axum::Router::from(described()));
    let (routers, rest) = text.split_once("node: Node { paths: {").expect("axum's Debug still lists the paths");
    let paths = rest.split("RouteId(").skip(1).filter_map(|entry| {
        let (number, entry) = entry.split_once("): \"")?;
        Some((number.parse::<usize>().ok()?, entry.split_once('"')?.0.replace("{*", "{")))
    });
    let routers: Vec<&str> = routers.split("MethodRouter { ").skip(1).collect();
    let mut served = BTreeSet::new();
    for (number, path) in paths.take(routers.len()) {
        let router = routers[number];
        let is_any = router.contains("fallback: BoxedHandler");
        let is_served = |method: &str| router.contains(&format!("{method}: BoxedHandler")) || (is_any && method == "get");
        served.extend(METHODS.into_iter().filter(|method| is_served(method)).map(|method| (method.to_owned(), path.clone())));
    }
    served
}

fn in_the_document() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_slice(&DESCRIPTION.json).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = |(path, item): (&String, &Value)| {
        let methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(|method| (method, path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(operations).collect()
}

#[test]
fn the_document_has_every_route_that_is_served_and_no_other() {
    let (served, described) = (served(), in_the_document());
    assert!(served.len() > 50, "the routes can still be read from axum's Debug: {served:?}");
    let lacking: Vec<_> = served.difference(&described).collect();
    assert!(lacking.is_empty(), "give these a #[utoipa::path] and add them with routes!(): {lacking:?}");
    let invented: Vec<_> = described.difference(&served).collect();
    assert!(invented.is_empty(), "described and not served: {invented:?}");
}
