//! `/download/asman`: the program itself.

use std::io::Write;

use protocol::sha256_hex;

use crate::test_api::{TestApi, assert_one_sentence, body_of};

fn path() -> String {
    format!("/download/asman?os={}&arch={}", std::env::consts::OS, std::env::consts::ARCH)
}

#[tokio::test]
async fn the_program_comes_whole_with_its_version_and_hash() {
    // More bytes than the server reads at a time.
    let bytes: Vec<u8> = (0..700_001_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut program = tempfile::NamedTempFile::new().unwrap();
    program.write_all(&bytes).unwrap();
    let api = TestApi::with(|config| config.executable = Some(program.path().to_owned())).await;
    for method in [reqwest::Method::HEAD, reqwest::Method::GET] {
        let response = api.request(method.clone(), &path()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-asman-sha256"), sha256_hex(&bytes));
        assert_eq!(header("x-asman-version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(header("content-length"), bytes.len().to_string());
        let body = response.bytes().await.unwrap();
        assert!(method == reqwest::Method::HEAD || body == bytes);
    }
}

#[tokio::test]
async fn another_kind_of_machine_gets_a_sentence_and_the_version() {
    let program = tempfile::NamedTempFile::new().unwrap();
    let api = TestApi::with(|config| config.executable = Some(program.path().to_owned())).await;
    for path in ["/download/asman?os=plan9&arch=x86_64", "/download/asman?os=linux&arch=pdp11"] {
        let response = api.fetch(path).await;
        assert_eq!(response.headers()["x-asman-version"], env!("CARGO_PKG_VERSION"));
        let (status, body) = body_of(response).await;
        assert_eq!(status, 404);
        assert_one_sentence(&body);
    }
    let (status, body) = api.get("/download/asman").await;
    assert_eq!(status, 400);
    assert_one_sentence(&body);
}

#[tokio::test]
async fn a_process_that_is_not_the_program_gives_none() {
    let api = TestApi::new().await;
    let (status, body) = api.get(&path()).await;
    assert_eq!(status, 404);
    assert_one_sentence(&body);
}

#[tokio::test]
async fn downloads_of_the_program_count_as_uploads_do() {
    let program = tempfile::NamedTempFile::new().unwrap();
    let api = TestApi::with(|config| {
        config.executable = Some(program.path().to_owned());
        config.limits.trusted_proxies = 1;
        config.limits.uploads_per_address = "2/h".parse().unwrap();
    })
    .await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let request = api.request(reqwest::Method::GET, &path()).header("x-forwarded-for", "203.0.113.7");
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}
