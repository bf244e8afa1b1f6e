//! `…/metaframe.json`.

use serde_json::json;

use crate::test_api::TestApi;

#[tokio::test]
async fn the_metaframe_is_described_below_every_path_to_every_page() {
    let api = TestApi::new().await;
    for path in [
        "/metaframe.json",
        "/some/where/metaframe.json",
        "/j/abc/metaframe.json",
        "/q/abc/metaframe.json",
        "/j/metaframe.json",
        "/q/metaframe.json",
        "/q/abc/j/metaframe.json",
        "/f/a/metaframe.json",
    ] {
        let request = api.request(reqwest::Method::GET, &format!("{path}?mp_debug=1")).header("origin", "https://parent.example");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{path}");
        let body: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!((&body["version"], &body["allow"]), (&json!("2"), &json!("clipboard-write")));
        assert!(body["inputs"]["metaframe/job"].is_object() && body["outputs"]["job/result.json"].is_object());
        assert!(body["hashParams"].as_array().unwrap().contains(&json!("queueOverride")));
    }
}

#[tokio::test]
async fn files_of_that_name_are_files_and_a_queue_of_that_name_takes_jobs() {
    let api = TestApi::new().await;
    let put = api.request(reqwest::Method::PUT, "/f/metaframe.json").body("mine").send().await.unwrap();
    assert_eq!(put.status(), 200);
    assert_eq!(api.fetch("/f/metaframe.json").await.text().await.unwrap(), "mine");
    let definition = json!({"image": "a", "inputs": {"metaframe.json": {"value": "an input"}}});
    let id = api.submit_job("metaframe.json", json!({"definition": definition})).await;
    assert_eq!(api.fetch(&format!("/j/{id}/inputs/metaframe.json")).await.text().await.unwrap(), "an input");
    assert_eq!(api.fetch(&format!("/q/metaframe.json/j/{id}/inputs/metaframe.json")).await.text().await.unwrap(), "an input");
    assert_eq!(api.get("/q/metaframe.json/j").await.1["data"][&id]["state"], "Queued");
}
