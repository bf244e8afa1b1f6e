//! An object storage that does not answer or refuses requests. The API continues, reports what is wrong, and recovers by itself.

use api::{Done, S3Config, check_blobs, set_up_blobs};
use axum::Router;
use axum::http::StatusCode;
use serde_json::json;

use crate::storage::Storage;
use crate::test_api::TestApi;

/// A storage that answers everything with this error.
async fn refusing(status: u16, code: &'static str) -> S3Config {
    saying(status, code, "no").await
}

async fn saying(status: u16, code: &'static str, message: &'static str) -> S3Config {
    let answer = move || async move {
        let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
        (StatusCode::from_u16(status).unwrap(), [("content-type", "application/xml")], text)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    S3Config {
        s3_bucket: Some("files".to_owned()),
        s3_endpoint: Some(url),
        s3_path_style: true,
        s3_access_key_id: Some("key".to_owned()),
        s3_secret_access_key: Some("very-secret".to_owned()),
        ..S3Config::default()
    }
}

#[tokio::test]
async fn each_fault_is_one_sentence_with_its_fix() {
    for (status, code, part) in [
        (403, "RequestTimeTooSkewed", "set the clock"),
        (403, "InvalidAccessKeyId", "check the access key"),
        (403, "SignatureDoesNotMatch", "check the access key"),
        (400, "ExpiredToken", "renew them"),
        (404, "NoSuchBucket", "asman blob init"),
        (301, "PermanentRedirect", "set --s3-region"),
    ] {
        let said = check_blobs(&refusing(status, code).await).await.unwrap_err();
        assert!(said.contains(part) && !said.contains('\n') && !said.contains("very-secret"), "{code}: {said}");
    }
    for (code, message, part) in [
        ("AccessDenied", "Access Denied", "check the access key"),
        ("AccessDenied", "Access key k has expired", "renew them"),
        ("AccessDenied", "Request has expired", "set the clock"),
        ("SignatureDoesNotMatch", "Signature expired: it is now later", "set the clock"),
        ("InvalidRequest", "Bad request: Date is too old", "set the clock"),
    ] {
        let said = check_blobs(&saying(403, code, message).await).await.unwrap_err();
        assert!(said.contains(part), "{message}: {said}");
    }
    let nowhere = S3Config { s3_endpoint: Some("http://127.0.0.1:1".to_owned()), ..refusing(500, "x").await };
    let said = check_blobs(&nowhere).await.unwrap_err();
    assert!(said.contains("no object storage answers") && said.contains("--s3-endpoint"), "{said}");
    let half = S3Config { s3_secret_access_key: None, ..nowhere.clone() };
    assert!(check_blobs(&half).await.unwrap_err().contains("give both"));
    let no_address = S3Config { s3_endpoint: Some("localhost".to_owned()), ..nowhere };
    assert!(check_blobs(&no_address).await.unwrap_err().contains("is not an address"));
}

#[tokio::test]
async fn wrong_keys_are_told_from_a_missing_bucket() {
    let storage = Storage::start().await;
    check_blobs(&storage.config()).await.unwrap();
    let wrong = S3Config { s3_secret_access_key: Some("guess".to_owned()), ..storage.config() };
    assert!(check_blobs(&wrong).await.unwrap_err().contains("refuses the credentials"));
    let other = S3Config { s3_bucket: Some("other".to_owned()), ..storage.config() };
    assert!(check_blobs(&other).await.unwrap_err().contains("asman blob init"));
}

#[tokio::test]
async fn a_process_whose_storage_is_away_serves_the_rest_and_is_not_ready() {
    let s3 = refusing(403, "RequestTimeTooSkewed").await;
    let api = TestApi::with(|config| config.s3 = s3).await;
    assert_eq!(api.get("/readyz").await, (503, json!({"ready": false, "missing": ["blob store"]})));
    api.submit("q", 1).await;
    for path in ["/f/k", "/f/k?proxy=1", "/f/k/exists"] {
        let response = api.fetch(path).await;
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()), "{path}");
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["error"], "internal error", "no word about the cause");
    }
}

#[tokio::test]
async fn a_bucket_with_object_lock_takes_files_that_pass_through_the_api() {
    let storage = Storage::locked().await;
    let steps = set_up_blobs(&storage.config()).await;
    let uploads = steps.iter().find(|step| step.name == "uploads").unwrap();
    assert_eq!(uploads.done, Done::Kept, "{}", uploads.text);
    let s3 = S3Config { s3_proxy: true, ..storage.config() };
    let api = TestApi::with(|config| config.s3 = s3).await;
    for content in [vec![1; 1_000], vec![2; 20 * 1024 * 1024]] {
        let key = protocol::sha256_hex(&content);
        let sent = reqwest::Client::new().put(format!("{}/f/{key}", api.url)).body(content.clone()).send().await.unwrap();
        assert_eq!(sent.status(), 200, "{}", content.len());
        assert_eq!(api.fetch(&format!("/f/{key}")).await.bytes().await.unwrap().len(), content.len());
    }
}

#[tokio::test]
async fn what_the_storage_refuses_for_good_is_told_from_what_passes() {
    for (status, code, expected) in [
        (400, "InvalidRequest", 422),
        (501, "NotImplemented", 422),
        (413, "EntityTooLarge", 422),
        (403, "AccessDenied", 422),
        (400, "RequestTimeout", 503),
        (403, "InvalidAccessKeyId", 503),
        (503, "SlowDown", 503),
        (404, "NoSuchBucket", 503),
    ] {
        let s3 = S3Config { s3_proxy: true, ..refusing(status, code).await };
        let api = TestApi::with(|config| config.s3 = s3).await;
        let sent = reqwest::Client::new().put(format!("{}/f/k", api.url)).body("x").send().await.unwrap();
        assert_eq!((sent.status().as_u16(), sent.headers().contains_key("retry-after")), (expected, expected == 503), "{code}");
        let body: serde_json::Value = sent.json().await.unwrap();
        assert_eq!(body["error"].as_str().unwrap().contains(code), expected == 422, "{body}");
    }
}

#[tokio::test]
async fn a_storage_that_takes_any_content_is_found_out() {
    let storage = Storage::start().await;
    let steps = set_up_blobs(&S3Config { s3_bucket: Some("made".to_owned()), ..storage.config() }).await;
    assert_eq!((steps[0].name, steps[0].done), ("bucket", Done::Changed));
    let hashes = steps.iter().find(|step| step.name == "hashes").unwrap();
    assert_eq!(hashes.done, Done::Refused);
    assert!(hashes.text.contains("--s3-proxy"), "{}", hashes.text);
    assert!(storage.objects().iter().all(|name| !name.starts_with("asman-")), "the probe is removed");
}
