//! Checks that the document describes every route, and only routes that are served.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::described;
use crate::compat::task_queue::{ENDS, MOUNT, MOUNT_OF_QUEUE, ROUTES};
use crate::description::DESCRIPTION;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Method and path of everything that the router serves. axum lists its routes only in its `Debug` output.
fn served() -> BTreeSet<(String, String)> {
    let text = format!("{:?}", axum::Router::from(described()));
    let (router, _) = text.split_once("fallback_router:").expect("axum's Debug ends with the fallbacks");
    let (routes, paths) = router.split_once("node: Node {").expect("axum's Debug has the paths behind the routes");
    let (routes, paths) = (by_number(routes), by_number(paths));
    let mut served = BTreeSet::new();
    for (number, path) in paths {
        let path = path.split('"').nth(1).expect("a path").replace("{*", "{");
        let route = routes[number];
        let is_any = route.contains("fallback: BoxedHandler");
        let is_served = |method: &str| route.contains(&format!("{method}: BoxedHandler")) || (is_any && method == "get");
        served.extend(METHODS.into_iter().filter(|method| is_served(method)).map(|method| (method.to_owned(), path.clone())));
    }
    below_mounts(&mut served);
    served
}

/// Replaces the router's patterns for the task-queue API by the routes of this API, which parses paths by itself.
fn below_mounts(served: &mut BTreeSet<(String, String)>) {
    for mount in [MOUNT, MOUNT_OF_QUEUE] {
        for end in ENDS {
            let catch_all = format!("{mount}{end}").replace("{*", "{");
            assert!(served.remove(&("get".to_owned(), catch_all.clone())), "{catch_all} is served");
        }
        for route in &ROUTES {
            let path = format!("{mount}/{}", route.path());
            served.extend(route.operations.iter().map(|operation| (operation.method.to_lowercase(), path.clone())));
        }
    }
}

/// The text after each `RouteId(number): `.
fn by_number(text: &str) -> BTreeMap<&str, &str> {
    text.split("RouteId(").skip(1).filter_map(|entry| entry.split_once("): ")).collect()
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
fn the_routes_can_be_read_from_the_router() {
    let served = served();
    for (method, path) in [("get", "/q/{queue}"), ("post", "/q/{queue}"), ("put", "/f/{key}"), ("get", "/j/{id}/inputs/{name}")] {
        assert!(served.contains(&(method.to_owned(), path.to_owned())), "{method} {path}: {served:?}");
    }
}

#[test]
fn the_document_has_every_route_that_is_served_and_no_other() {
    let (served, described) = (served(), in_the_document());
    assert!(served.len() > 40, "too few routes were found in axum's Debug output; its format may have changed: {served:?}");
    let lacking: Vec<_> = served.difference(&described).collect();
    assert!(lacking.is_empty(), "give these a #[utoipa::path] and add them with routes!(): {lacking:?}");
    let invented: Vec<_> = described.difference(&served).collect();
    assert!(invented.is_empty(), "described and not served: {invented:?}");
}
