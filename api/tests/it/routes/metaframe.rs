//! `…/metaframe.json`.

use serde_json::json;

use crate::test_api::TestApi;

#[tokio::test]
async fn the_metaframe_is_described_below_every_path_to_every_page() {
    let api = TestApi::new().await;
    for path in
        ["/metaframe.json", "/some/where/metaframe.json", "/j/abc/metaframe.json", "/q/abc/metaframe.json", "/j/metaframe.json"]
    {
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
