//! The web client from the server. It must have been built (`just web`).

use reqwest::Method;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING};

use crate::test_api::TestApi;

#[tokio::test]
async fn the_page_may_be_framed_by_anybody_and_loads_code_from_here_only() {
    let api = TestApi::new().await;
    let page = api.request(Method::GET, "/").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("frame-ancestors *"), "{policy}");
    assert!(policy.contains("script-src 'self';") && policy.contains("default-src 'none'"), "{policy}");
}

#[tokio::test]
async fn a_page_that_lies_deeper_finds_its_files_at_the_root() {
    let api = TestApi::new().await;
    for (path, prefix) in [("/", "\"./assets/"), ("/j/abc", "\"../assets/"), ("/any/where/", "\"../../assets/")] {
        let page = api.request(Method::GET, path).header(ACCEPT, "text/html").send().await.unwrap().text().await.unwrap();
        assert!(page.contains(prefix), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_file_of_the_page_comes_compressed_as_the_browser_likes_and_is_kept_for_ever() {
    let api = TestApi::new().await;
    let page = api.request(Method::GET, "/").send().await.unwrap().text().await.unwrap();
    let script = page.split("src=\"./assets").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let script = &format!("/assets{script}");
    let plain = api.request(Method::GET, script).header(ACCEPT_ENCODING, "identity").send().await.unwrap();
    assert!(plain.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(plain.headers()["content-type"], "text/javascript");
    let plain = plain.bytes().await.unwrap();
    for encoding in ["br", "gzip"] {
        let file = api.request(Method::GET, script).header(ACCEPT_ENCODING, format!("{encoding}, x")).send().await.unwrap();
        assert_eq!(file.headers()["content-encoding"], encoding);
        assert_eq!(file.headers()["vary"].to_str().unwrap().to_lowercase(), "accept-encoding");
        assert!(file.bytes().await.unwrap().len() < plain.len(), "{encoding}");
    }
}

#[tokio::test]
async fn a_file_of_another_version_is_missing_and_not_the_page() {
    let api = TestApi::new().await;
    let response = api.request(Method::GET, "/assets/index-of-yesterday.js").send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert!(response.text().await.unwrap().contains("reload"));
}
