//! `/f/:key`: a file is stored whole or not at all, and this is the same for every store.

use futures_util::{StreamExt, stream};
use reqwest::{Body, Method, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::storage::{Store, Stored};
use crate::test_api::{TestApi, assert_one_sentence, body_of, eventually, in_time};

/// Makes a test for every store from each of these functions.
macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod directory { $(#[tokio::test] async fn $name() { super::$name(super::Stored::new(super::Store::Directory).await).await; })* }
        mod s3 { $(#[tokio::test] async fn $name() { super::$name(super::Stored::new(super::Store::S3).await).await; })* }
        mod s3_proxied { $(#[tokio::test] async fn $name() { super::$name(super::Stored::new(super::Store::S3Proxied).await).await; })* }
    };
}

on_every_store! {
    a_file_is_stored_found_and_replaced
    a_part_of_a_file_can_be_read
    a_key_that_looks_like_a_hash_must_be_the_contents
    an_upload_that_breaks_off_stores_nothing
    odd_keys_are_names_and_never_paths
    sixty_four_mebibytes_stream_in_and_out
    a_large_file_of_another_hash_leaves_nothing
    older_clients_get_addresses
    too_large_a_file_is_refused_before_it_is_sent
}

/// Sends a PUT, and repeats it after a redirect, as a capable client does.
async fn send(api: &TestApi, path: &str, content: Vec<u8>) -> Response {
    let first = api.request(Method::PUT, path).body(content.clone()).send().await.unwrap();
    match location(&first) {
        Some(url) => api.http.put(url).body(content).send().await.unwrap(),
        None => first,
    }
}

async fn put(api: &TestApi, key: &str, content: &str) -> (u16, Value) {
    body_of(send(api, &format!("/f/{key}"), content.as_bytes().to_vec()).await).await
}

/// Follows a redirect with the same headers.
async fn fetch(api: &TestApi, path: &str, headers: &[(&'static str, &str)]) -> Response {
    let with =
        |request: reqwest::RequestBuilder| headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let first = with(api.request(Method::GET, path)).send().await.unwrap();
    match location(&first) {
        Some(url) => with(api.http.get(url)).send().await.unwrap(),
        None => first,
    }
}

async fn text(api: &TestApi, key: &str) -> String {
    fetch(api, &format!("/f/{key}"), &[]).await.text().await.unwrap()
}

fn location(response: &Response) -> Option<String> {
    response.status().is_redirection().then(|| response.headers()["location"].to_str().unwrap().to_owned())
}

async fn exists(api: &TestApi, key: &str) -> bool {
    let (status, body) = api.get(&format!("/f/{key}/exists")).await;
    let exists = body["exists"].as_bool().unwrap();
    let absent = json!({"exists": false, "error": "no file is stored under this key", "code": "no-file"});
    assert_eq!((status, body), if exists { (200, json!({"exists": true})) } else { (404, absent) });
    exists
}

fn hash_of(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

async fn a_file_is_stored_found_and_replaced(Stored { api, store, storage: _storage }: Stored) {
    assert!(!exists(&api, "k").await);
    let (status, body) = api.get("/f/k").await;
    assert_eq!(status, 404);
    assert_one_sentence(&body);
    assert_eq!(api.get("/f/k?proxy=1").await.0, 404);
    assert_eq!(put(&api, "k", "one").await.0, 200);
    assert!(exists(&api, "k").await);
    assert_eq!(put(&api, "k", "two!").await.0, 200);
    let response = fetch(&api, "/f/k", &[]).await;
    assert_eq!(response.headers()["content-length"], "4");
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    match store {
        // The storage answers this request; the redirect asks it for this header.
        Store::S3 => assert_eq!(response.headers()["content-disposition"], "attachment"),
        _ => assert_eq!(response.headers()["x-content-type-options"], "nosniff"),
    }
    assert_eq!(response.text().await.unwrap(), "two!");
    assert_eq!(put(&api, "empty", "").await.0, 200);
    assert_eq!(text(&api, "empty").await, "");
}

async fn a_part_of_a_file_can_be_read(Stored { api, storage: _storage, .. }: Stored) {
    put(&api, "k", "0123456789").await;
    for path in ["/f/k", "/f/k?proxy=1"] {
        let middle = fetch(&api, path, &[("range", "bytes=2-5")]).await;
        assert_eq!((middle.status().as_u16(), &middle.headers()["content-range"]), (206, &"bytes 2-5/10".parse().unwrap()));
        assert_eq!(middle.text().await.unwrap(), "2345");
        assert_eq!(fetch(&api, path, &[("range", "bytes=-3")]).await.text().await.unwrap(), "789");
        assert_eq!(fetch(&api, path, &[("range", "bytes=99-")]).await.status(), 416);
        let head = api.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"10".parse().unwrap()));
    }
    assert_eq!(api.request(Method::HEAD, "/f/none").send().await.unwrap().status(), 404);
}

async fn a_key_that_looks_like_a_hash_must_be_the_contents(Stored { api, storage: _storage, .. }: Stored) {
    let hash = hash_of(b"content");
    // This storage accepts content of any hash, so clients are not redirected to it; the real one of `./x test-s3` refuses it.
    let path = format!("/f/{hash}");
    let first = api.request(Method::PUT, &path).body("content of another hash").send().await.unwrap();
    assert_eq!((first.status().as_u16(), location(&first)), (400, None));
    let (_, older) = api.get(&format!("/upload/{hash}")).await;
    assert_eq!(older["url"], format!("{}/f/{hash}", api.url));
    let (status, body) = body_of(send(&api, &path, b"something else".to_vec()).await).await;
    assert_eq!(status, 400);
    assert_one_sentence(&body);
    assert!(!exists(&api, &hash).await, "nothing is stored");
    assert_eq!(put(&api, &hash, "content").await.0, 200);
    assert_eq!(send(&api, &path, b"forged".to_vec()).await.status(), 400);
    let response = fetch(&api, &format!("/f/{hash}"), &[]).await;
    assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(response.text().await.unwrap(), "content", "the forgery changed nothing");
}

async fn an_upload_that_breaks_off_stores_nothing(Stored { api, storage, .. }: Stored) {
    // More than one part, so that the store has begun an upload in parts when the connection ends.
    let some = "x".repeat(9 << 20);
    for (length, some) in [
        ("content-length: 20000000", some.as_str()),
        ("content-length: 1000", "only this"),
        ("transfer-encoding: chunked", "5\r\nhello\r\n"),
    ] {
        for path in ["/f/half", "/f/half?proxy=1"] {
            let (address, path) = place_of(&api, path, length).await;
            let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
            let head = format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\n{length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(some.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // The server may answer or close the connection.
            let _ = in_time(stream.read_to_end(&mut Vec::new())).await;
            assert!(!exists(&api, "half").await);
        }
    }
    if let Some(storage) = storage {
        let is_clean = || async { storage.objects().is_empty().then_some(()) };
        eventually("what was begun is removed", is_clean).await;
    }
}

/// The host and the path to which a client finally sends the bytes.
async fn place_of(api: &TestApi, path: &str, length: &str) -> (String, String) {
    let own = api.url.strip_prefix("http://").unwrap().to_owned();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\n{length}\r\n\r\n");
    let answer = raw(&own, &head).await;
    let Some(answer) = answer.strip_prefix("HTTP/1.1 307").map(str::to_owned) else { return (own, path.to_owned()) };
    let url = answer.lines().find_map(|line| line.strip_prefix("location: http://")).unwrap();
    let (host, path) = url.split_once('/').unwrap();
    (host.to_owned(), format!("/{path}"))
}

async fn odd_keys_are_names_and_never_paths(Stored { api, storage: _storage, .. }: Stored) {
    for (key, expected) in [("..%5C..", 200), ("a%20b%3F", 200), ("%C3%BC", 200), ("a%2Fb", 400), ("%00", 400), ("a%0Ab", 400)] {
        let (status, body) = put(&api, key, key).await;
        assert_eq!(status, expected, "{key}: {body}");
        if status == 200 {
            assert_eq!(text(&api, key).await, key);
        }
    }
    let long = "k".repeat(256);
    assert_eq!(put(&api, &long, "").await.0, 400);
    // The request is sent as raw bytes, because the client library would change the path.
    let own = api.url.strip_prefix("http://").unwrap();
    let dots = "PUT /f/..?proxy=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\ndots";
    let dots = raw(own, dots).await;
    assert!(dots.starts_with("HTTP/1.1 200"), "{dots}");
    let dots = raw(own, "GET /f/..?proxy=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(dots.ends_with("dots"), "{dots}");
}

/// Sends text and reads the answer to its end, or until the server answers 100.
async fn raw(address: &str, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = in_time(stream.read(&mut buffer)).await {
        answer.push_str(&String::from_utf8_lossy(&buffer[..n]));
        if answer.starts_with("HTTP/1.1 100") {
            break;
        }
    }
    answer
}

async fn sixty_four_mebibytes_stream_in_and_out(Stored { api, storage: _storage, .. }: Stored) {
    let chunk = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    // The body has no length, so the API cannot sign a redirect for it.
    let chunks = stream::iter(std::iter::repeat_n(chunk, 64)).map(Ok::<_, std::io::Error>);
    let sent = api.request(Method::PUT, "/f/large").body(Body::wrap_stream(chunks)).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    for path in ["/f/large", "/f/large?proxy=1"] {
        let mut n_bytes = 0;
        let mut content = fetch(&api, path, &[]).await.bytes_stream();
        while let Some(chunk) = in_time(content.next()).await {
            n_bytes += chunk.unwrap().len();
        }
        assert_eq!(n_bytes, 64 << 20);
    }
}

async fn a_large_file_of_another_hash_leaves_nothing(Stored { api, storage, .. }: Stored) {
    let hash = hash_of(b"content");
    let (status, body) = body_of(send(&api, &format!("/f/{hash}?proxy=1"), vec![b'x'; 20 << 20]).await).await;
    assert_eq!(status, 400, "{body}");
    assert!(!exists(&api, &hash).await);
    if let Some(storage) = storage {
        eventually("the parts are removed", || async { storage.objects().is_empty().then_some(()) }).await;
    }
}

async fn older_clients_get_addresses(Stored { api, store, storage: _storage }: Stored) {
    let (status, up) = api.get("/upload/old%20key").await;
    assert_eq!((status, &up["ref"]), (200, &json!({"value": "old key", "type": "key"})));
    let url = up["url"].as_str().unwrap();
    assert_eq!(url.starts_with(&api.url), store != Store::S3, "{url}");
    assert_eq!(api.http.put(url).body("old").send().await.unwrap().status(), 200);
    let (status, down) = api.get("/download/old%20key").await;
    assert_eq!((status, &down["ref"]), (200, &json!({"value": down["url"], "type": "url"})));
    assert_eq!(api.http.get(down["url"].as_str().unwrap()).send().await.unwrap().text().await.unwrap(), "old");
    let behind = api.request(Method::GET, "/upload/k").header("host", "queue.example").header("x-forwarded-proto", "https");
    let behind = body_of(behind.send().await.unwrap()).await.1;
    assert!(store == Store::S3 || behind["url"] == "https://queue.example/f/k", "{behind}");
}

async fn too_large_a_file_is_refused_before_it_is_sent(Stored { api, storage: _storage, .. }: Stored) {
    let own = api.url.strip_prefix("http://").unwrap();
    let head =
        "PUT /f/huge HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 5368709121\r\n\r\n";
    let answer = raw(own, head).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_signed_address_is_good_for_nothing_else() {
    let Stored { api, storage: _storage, .. } = Stored::new(Store::S3).await;
    let sent = api.request(Method::PUT, "/f/k").body("content").send().await.unwrap();
    assert_eq!((sent.status().as_u16(), &sent.headers()["cache-control"]), (307, &"no-store".parse().unwrap()));
    let url = location(&sent).unwrap();
    assert!(url.contains("X-Amz-Expires=900"), "{url}");
    let other = url.replace(&hash_of(b"k"), &hash_of(b"other"));
    let longer = url.replace("X-Amz-Expires=900", "X-Amz-Expires=90000");
    for tampered in [other, longer] {
        assert_eq!(api.http.put(&tampered).body("content").send().await.unwrap().status(), 403, "{tampered}");
    }
    assert_eq!(api.http.put(&url).body("content, and more").send().await.unwrap().status(), 403, "the length is signed");
    let date = url.split("X-Amz-Date=").nth(1).unwrap().split('&').next().unwrap();
    let old = url.replace(date, &format!("2020{}", &date[4..]));
    assert_eq!(api.http.put(&old).body("content").send().await.unwrap().status(), 403, "expired");
    assert!(!exists(&api, "k").await);
    assert_eq!(api.http.put(&url).body("content").send().await.unwrap().status(), 200);
    assert!(exists(&api, "k").await);
}

#[tokio::test]
async fn the_address_that_clients_see_may_be_another() {
    let storage = crate::storage::Storage::start().await;
    let mut s3 = storage.config();
    s3.s3_public_endpoint = Some("https://files.example:9000".to_owned());
    let api = TestApi::with(|config| config.s3 = s3).await;
    let sent = api.request(Method::PUT, "/f/k?proxy=1").body("content").send().await.unwrap();
    assert_eq!(sent.status(), 200, "the API itself uses the other address");
    let url = location(&api.fetch("/f/k").await).unwrap();
    assert!(url.starts_with("https://files.example:9000/files/asman-named-"), "{url}");
}

#[tokio::test]
async fn a_large_body_that_is_sent_before_the_answer_is_read_does_not_lose_it() {
    let Stored { api, storage: _storage, .. } = Stored::new(Store::S3).await;
    let mut stream = tokio::net::TcpStream::connect(api.url.strip_prefix("http://").unwrap()).await.unwrap();
    let body = vec![b'x'; 32 << 20];
    stream.write_all(format!("PUT /f/k HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    in_time(stream.write_all(&body)).await.unwrap();
    let mut start = [0; 12];
    in_time(stream.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 307");
}
