//! Files of every size, straight to the storage and through the API.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::header::{HeaderMap, LOCATION, ORIGIN};
use reqwest::{Body, Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::support::until;
use crate::{House, hash_of, location};

const MIB: usize = 1 << 20;
/// More bytes than a signed 32-bit number can count.
const LARGE_MIB: usize = 2048;

/// The content of the large file in pieces of one MiB. Each piece differs from the one before.
fn large() -> impl Iterator<Item = Vec<u8>> {
    (0..LARGE_MIB).map(|n| n.to_le_bytes().repeat(MIB / size_of::<usize>()))
}

fn large_body() -> Body {
    Body::wrap_stream(stream::iter(large().map(Ok::<_, std::io::Error>)))
}

/// Reads the response to its end and compares it with the large file.
async fn is_large(response: Response) -> bool {
    let (mut hasher, mut bytes) = (Sha256::new(), response.bytes_stream());
    while let Some(chunk) = bytes.next().await {
        hasher.update(chunk.unwrap());
    }
    let mut expected = Sha256::new();
    large().for_each(|chunk| expected.update(chunk));
    hasher.finalize() == expected.finalize()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_sends_and_reads_a_file_at_the_storage() {
    let house = tokio::task::block_in_place(House::start);
    let path = house.at(&format!("/f/{}", hash_of(b"from a page")));
    let preflight = |url: String| {
        let ask = house.http.request(Method::OPTIONS, url).header(ORIGIN, "https://page.example");
        ask.header("access-control-request-method", "PUT").header("access-control-request-headers", "content-type").send()
    };
    let allows = |headers: &HeaderMap| headers["access-control-allow-origin"] == "*";
    assert!(allows(preflight(path.clone()).await.unwrap().headers()));
    let put = |url: String| {
        let put = house.http.put(url).header(ORIGIN, "https://page.example");
        put.header("content-type", "application/octet-stream").body("from a page").send()
    };
    let first = put(path.clone()).await.unwrap();
    assert!(allows(first.headers()));
    let there = preflight(location(&first)).await.unwrap();
    assert!(there.status().is_success() && allows(there.headers()), "{there:?}");
    let sent = put(location(&first)).await.unwrap();
    assert!(sent.status().is_success() && allows(sent.headers()), "{sent:?}");
    let way = house.http.get(&path).header(ORIGIN, "https://page.example").send().await.unwrap();
    let read =
        house.http.get(way.headers()[LOCATION].to_str().unwrap()).header(ORIGIN, "https://page.example").send().await.unwrap();
    assert!(allows(read.headers()) && read.headers()["content-disposition"] == "attachment", "{read:?}");
    assert_eq!(read.text().await.unwrap(), "from a page");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storage_refuses_other_content_than_the_key_names() {
    let house = tokio::task::block_in_place(House::start);
    let hash = hash_of(b"content");
    let url = location(&house.http.put(house.at(&format!("/f/{hash}"))).body("content").send().await.unwrap());
    let forged = house.http.put(&url).body("forgery").send().await.unwrap();
    assert!(forged.status().is_client_error(), "{forged:?}");
    let longer = house.http.put(&url).body("content, and more").send().await.unwrap();
    assert!(longer.status().is_client_error(), "{longer:?}");
    let unbound = url.replace("x-amz-checksum-sha256=", "x-other=");
    assert!(house.http.put(unbound).body("content").send().await.unwrap().status().is_client_error());
    assert_eq!(house.get(&format!("/f/{hash}/exists")).await.status(), 404);
    assert!(house.http.put(&url).body("content").send().await.unwrap().status().is_success());
    assert_eq!(house.get(&format!("/f/{hash}")).await.text().await.unwrap(), "content");
    assert_eq!(house.http.put(house.at(&format!("/f/{hash}?proxy=1"))).body("forgery").send().await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_that_breaks_off_is_aborted() {
    let house = tokio::task::block_in_place(House::start);
    let (cut, is_cut) = tokio::sync::oneshot::channel::<()>();
    let end = stream::once(async {
        let _ = is_cut.await;
        Err(std::io::Error::other("cut"))
    });
    let body = Body::wrap_stream(stream::iter(large().take(40).map(Ok)).chain(end));
    let put = tokio::spawn(house.http.put(house.at("/f/half?proxy=1")).body(body).send());
    let has = |n: u64| tokio::task::block_in_place(|| until(|| (house.garage.unfinished_uploads("files") == n).then_some(())));
    has(1);
    cut.send(()).unwrap();
    assert!(put.await.unwrap().is_err());
    has(0);
    let wrong = house.at(&format!("/f/{}?proxy=1", hash_of(b"content")));
    let wrong = house.http.put(wrong).body(vec![b'x'; 20 * MIB]).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    has(0);
    assert_eq!(house.get("/f/half/exists").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gibibytes_pass_at_the_storage_and_through_a_small_api() {
    let house = tokio::task::block_in_place(House::start);
    let before = house.peak_kib();
    let length = LARGE_MIB * MIB;
    // A request that asks before it sends its body, as clients do that follow redirects.
    let ask = house.http.put(house.at("/f/direct")).header("content-length", length).header("expect", "100-continue");
    let asked = ask.body(Body::wrap_stream(
        stream::once(tokio::time::sleep(Duration::from_secs(30))).map(|()| Ok::<_, std::io::Error>(Vec::new())),
    ));
    let url = location(&asked.send().await.unwrap());
    let sent = house.http.put(url).header("content-length", length).body(large_body()).send().await.unwrap();
    assert!(sent.status().is_success(), "{sent:?}");
    assert!(is_large(house.get("/f/direct").await).await);
    let sent =
        house.http.put(house.at("/f/through?proxy=1")).header("content-length", length).body(large_body()).send().await.unwrap();
    assert_eq!(sent.status(), 200, "{sent:?}");
    assert!(is_large(house.get("/f/through?proxy=1").await).await);
    let part = house.http.get(house.at("/f/through?proxy=1")).header("range", "bytes=2147483640-").send().await.unwrap();
    assert_eq!(
        (part.status(), part.headers()["content-range"].to_str().unwrap()),
        (StatusCode::PARTIAL_CONTENT, "bytes 2147483640-2147483647/2147483648")
    );
    assert_eq!(part.bytes().await.unwrap().to_vec(), large().last().unwrap()[MIB - 8..]);
    let after = house.peak_kib();
    println!("peak memory of the API: {} MiB before, {} MiB after 2 GiB in and out", before / 1024, after / 1024);
    assert!(after < 192 * 1024, "{after} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_sent_to_a_storage_that_holds_them_to_the_hash() {
    let house = tokio::task::block_in_place(House::start);
    let hash = hash_of(b"content");
    let put = |path: String| house.http.put(house.at(&path)).body("content").send();
    // Even the first upload to the process is redirected.
    assert!(location(&put(format!("/f/{hash}")).await.unwrap()).starts_with(&house.garage.url));
    assert!(location(&put("/f/name".to_owned()).await.unwrap()).starts_with(&house.garage.url));
    let older: serde_json::Value = house.get(&format!("/upload/{hash}")).await.json().await.unwrap();
    assert!(older["url"].as_str().unwrap().starts_with(&house.garage.url), "{older}");
    let left = house.storage().list_objects_v2().bucket("files").send().await.unwrap();
    assert_eq!(left.key_count(), Some(0), "the probe is removed: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_asked_for_again_gets_its_time_anew() {
    let set = |api: &mut std::process::Command| {
        api.env("ASMAN_S3_RENEW_AFTER", "0s");
    };
    let house = tokio::task::block_in_place(|| House::start_with(set));
    let content: Vec<u8> = large().take(20).flatten().collect();
    let path = format!("/f/{}", hash_of(&content));
    // The upload goes in parts, in which the storage keeps large files.
    let put = house.http.put(house.at(&format!("{path}?proxy=1"))).body(content.clone()).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let stored = async || {
        let all = house.storage().list_objects_v2().bucket("files").send().await.unwrap();
        assert_eq!(all.key_count(), Some(1));
        all.contents()[0].last_modified().unwrap().to_millis().unwrap()
    };
    let first = stored().await;
    assert_eq!(house.get(&format!("{path}/exists")).await.status(), 200);
    let renewed = stored().await;
    assert!(renewed > first, "{renewed} after {first}");
    let read = house.get(&path).await;
    assert_eq!(read.headers()["content-type"], "application/octet-stream");
    assert!(read.bytes().await.unwrap() == content);
    tokio::task::block_in_place(|| house.garage.forbid_writing("files"));
    let status = house.get(&format!("{path}/exists")).await.status();
    assert_eq!(status, 404, "what cannot be renewed is sent again, or it could be lost before its job runs");
    assert!(house.get(&path).await.bytes().await.unwrap() == content);
    assert_eq!(stored().await, renewed);
}
