//! A file in a bucket that is requested a day or more after it was stored gets a new lifetime.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use api::S3Config;
use protocol::sha256_hex;
use reqwest::Method;

use crate::storage::Storage;
use crate::test_api::TestApi;

const CONTENT: &str = "content that jobs refer to again and again";

/// Stores a file, makes it this many hours old, and requests it once. Returns its age afterwards, in hours.
async fn hours_after(renew_after: Option<&str>, hours: u64) -> u64 {
    let storage = Storage::start().await;
    let s3 = S3Config { s3_renew_after: renew_after.map(|text| text.parse().unwrap()), ..storage.config() };
    let api = TestApi::with(|config| config.s3 = s3).await;
    let path = format!("/f/{}", sha256_hex(CONTENT.as_bytes()));
    assert_eq!(api.request(Method::PUT, &path).body(CONTENT).send().await.unwrap().status(), 200);
    let object = object(&storage);
    let long_ago = SystemTime::now() - Duration::from_hours(hours);
    std::fs::File::options().write(true).open(&object).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(api.get(&format!("{path}/exists")).await.0, 200);
    let read = api.request(Method::GET, &format!("{path}?proxy=1")).send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), CONTENT);
    let age = object.metadata().unwrap().modified().unwrap().elapsed().unwrap();
    age.as_secs() / 3600
}

fn object(storage: &Storage) -> PathBuf {
    let name = format!("asman-{}", sha256_hex(CONTENT.as_bytes()));
    assert!(storage.objects().contains(&name));
    storage.folder.path().join("files").join(name)
}

#[tokio::test]
async fn a_file_of_yesterday_is_renewed_when_it_is_asked_for() {
    assert_eq!(hours_after(None, 25).await, 0);
}

#[tokio::test]
async fn a_file_of_today_is_left_alone() {
    assert_eq!(hours_after(None, 23).await, 23);
}

#[tokio::test]
async fn the_time_is_a_setting() {
    assert_eq!(hours_after(Some("1h"), 2).await, 0);
    assert_eq!(hours_after(Some("3h"), 2).await, 2);
}

#[tokio::test]
async fn what_is_gone_is_not_renewed() {
    let storage = Storage::start().await;
    let s3 = S3Config { s3_renew_after: Some("0".parse().unwrap()), ..storage.config() };
    let api = TestApi::with(|config| config.s3 = s3).await;
    assert_eq!(api.get(&format!("/f/{}/exists", sha256_hex(CONTENT.as_bytes()))).await.0, 404);
}
