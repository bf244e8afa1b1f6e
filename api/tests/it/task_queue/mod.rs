//! The task-queue API, for its existing and its new clients.

mod bodies;
mod claims;
mod client;
mod items;
mod load;
mod shapes;

use reqwest::Method;

use crate::test_api::TestApi;

/// Status and unchanged body of the answer to a request.
pub(crate) async fn exact(api: &TestApi, method: Method, path: &str, body: Option<(&str, &[u8])>) -> (u16, String) {
    let mut request = api.request(method, path);
    if let Some((kind, bytes)) = body {
        request = request.body(bytes.to_vec());
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, without_code(status, response.text().await.unwrap()))
}

/// The body without the code at the end of a refusal, because existing clients ignore the code.
pub(crate) fn without_code(status: u16, text: String) -> String {
    if !(400..500).contains(&status) || text.is_empty() {
        return text;
    }
    let (bare, code) = text.strip_suffix("\"}").and_then(|text| text.rsplit_once(",\"code\":\"")).expect("a refusal has a code");
    let code = protocol::ErrorCode::named(code).expect("a known code");
    assert_eq!(code.status(), status, "{text}");
    format!("{bare}}}")
}

/// A GET below the queue `q`.
pub(crate) async fn get(api: &TestApi, path: &str) -> (u16, String) {
    exact(api, Method::GET, &format!("/q/q/api/v1/queue/{path}"), None).await
}

/// A POST of JSON below the queue `q`.
pub(crate) async fn post(api: &TestApi, path: &str, body: &str) -> (u16, String) {
    exact(api, Method::POST, &format!("/q/q/api/v1/queue/{path}"), Some(("application/json", body.as_bytes()))).await
}

/// The body of an answer that must be successful.
pub(crate) async fn ok(answer: impl Future<Output = (u16, String)>) -> String {
    let (status, body) = answer.await;
    assert_eq!(status, 200, "{body}");
    body
}
