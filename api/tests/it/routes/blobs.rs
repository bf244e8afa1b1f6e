//! `/f/:key`: files whole or not at all.

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::test_api::{TestApi, assert_one_sentence, body_of, in_time};

async fn put(api: &TestApi, key: &str, content: impl Into<reqwest::Body>) -> (u16, serde_json::Value) {
    body_of(api.request(Method::PUT, &format!("/f/{key}")).body(content).send().await.unwrap()).await
}

async fn exists(api: &TestApi, key: &str) -> bool {
    let (status, body) = api.get(&format!("/f/{key}/exists")).await;
    let exists = body["exists"].as_bool().unwrap();
    assert_eq!((status, body), (if exists { 200 } else { 404 }, json!({"exists": exists})));
    exists
}

#[tokio::test]
async fn a_file_is_stored_found_and_replaced() {
    let api = TestApi::new().await;
    assert!(!exists(&api, "k").await);
    let (status, body) = api.get("/f/k").await;
    assert_eq!(status, 404);
    assert_one_sentence(&body);
    assert_eq!(put(&api, "k", "one").await.0, 200);
    assert!(exists(&api, "k").await);
    assert_eq!(put(&api, "k", "two!").await.0, 200);
    let response = api.fetch("/f/k").await;
    assert_eq!(response.headers()["content-length"], "4");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.text().await.unwrap(), "two!");
    assert_eq!(put(&api, "empty", "").await.0, 200);
    assert_eq!(api.fetch("/f/empty").await.text().await.unwrap(), "");
}

#[tokio::test]
async fn a_part_of_a_file_can_be_read() {
    let api = TestApi::new().await;
    put(&api, "k", "0123456789").await;
    let part = |range: &'static str| api.request(Method::GET, "/f/k").header("range", range).send();
    let middle = part("bytes=2-5").await.unwrap();
    assert_eq!((middle.status().as_u16(), &middle.headers()["content-range"]), (206, &"bytes 2-5/10".parse().unwrap()));
    assert_eq!(middle.text().await.unwrap(), "2345");
    assert_eq!(part("bytes=-3").await.unwrap().text().await.unwrap(), "789");
    assert_eq!(part("bytes=99-").await.unwrap().status(), 416);
    let head = api.request(Method::HEAD, "/f/k").send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"10".parse().unwrap()));
    assert_eq!(api.request(Method::HEAD, "/f/none").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_key_that_looks_like_a_hash_must_be_the_contents() {
    let api = TestApi::new().await;
    let hash = hex::encode(Sha256::digest(b"content"));
    let (status, body) = put(&api, &hash, "something else").await;
    assert_eq!(status, 400);
    assert_one_sentence(&body);
    assert!(!exists(&api, &hash).await, "nothing is stored");
    assert_eq!(put(&api, &hash, "content").await.0, 200);
    assert_eq!(put(&api, &hash, "forged").await.0, 400);
    let response = api.fetch(&format!("/f/{hash}")).await;
    assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(response.text().await.unwrap(), "content", "the forgery changed nothing");
}

#[tokio::test]
async fn an_upload_that_breaks_off_stores_nothing() {
    let api = TestApi::new().await;
    let address = api.url.strip_prefix("http://").unwrap();
    for body in [
        "PUT /f/half HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nonly this",
        "PUT /f/half HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        // The server's own end, whether it answers or hangs up.
        in_time(stream.read_to_end(&mut Vec::new())).await.unwrap();
        assert!(!exists(&api, "half").await);
    }
    put(&api, "half", "whole").await;
    assert_eq!(api.fetch("/f/half").await.text().await.unwrap(), "whole");
}

#[tokio::test]
async fn odd_keys_are_names_and_never_paths() {
    let api = TestApi::new().await;
    for (key, expected) in [("..%5C..", 200), ("a%20b%3F", 200), ("%C3%BC", 200), ("a%2Fb", 400), ("%00", 400), ("a%0Ab", 400)] {
        let (status, body) = put(&api, key, key).await;
        assert_eq!(status, expected, "{key}: {body}");
        if status == 200 {
            assert_eq!(api.fetch(&format!("/f/{key}")).await.text().await.unwrap(), key);
        }
    }
    let long = "k".repeat(256);
    assert_eq!(put(&api, &long, "").await.0, 400);
    // As raw as it comes: the client library would tidy it up.
    let dots = raw(&api, "PUT /f/.. HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\ndots").await;
    assert!(dots.starts_with("HTTP/1.1 200"), "{dots}");
    let dots = raw(&api, "GET /f/.. HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(dots.ends_with("dots"), "{dots}");
}

async fn raw(api: &TestApi, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(api.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn sixty_four_mebibytes_stream_in_and_out() {
    let api = TestApi::new().await;
    let chunk = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let chunks = stream::iter(std::iter::repeat_n(chunk, 64)).map(Ok::<_, std::io::Error>);
    assert_eq!(put(&api, "large", reqwest::Body::wrap_stream(chunks)).await.0, 200);
    let mut n_bytes = 0;
    let mut content = api.fetch("/f/large").await.bytes_stream();
    while let Some(chunk) = in_time(content.next()).await {
        n_bytes += chunk.unwrap().len();
    }
    assert_eq!(n_bytes, 64 << 20);
}
