//! The files of `/f` in a real object storage, with the real program. `./x test-s3` runs it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod faults;
mod files;
mod jobs;
mod setup;
#[path = "../support/mod.rs"]
mod support;

use std::process::Command;

use reqwest::header::LOCATION;
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use support::garage::{Garage, KEY, SECRET};
use support::house::{free_port, test_database};
use support::{Running, until};

/// A storage, a prepared bucket, and an API process that uses them.
struct House {
    garage: Garage,
    api: Running,
    url: String,
    http: Client,
}

impl House {
    fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// The same with other settings of the API.
    fn start_with(set: impl FnOnce(&mut Command)) -> Self {
        let garage = Garage::start();
        let made = garage.asman("files").args(["blob", "init"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let database_url = test_database();
        let migrated = support::asman().args(["db", "migrate", "--database-url", &database_url]).output().unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        let listen = format!("127.0.0.1:{}", free_port());
        let mut command = garage.asman("files");
        set(command.args(["api", "--database-url", &database_url, "--listen", &listen]));
        let api = Running::start(&mut command);
        let url = format!("http://{listen}");
        until(|| std::net::TcpStream::connect(&listen).ok());
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { garage, api, url, http }
    }

    /// A client that shows what the storage itself contains.
    fn storage(&self) -> aws_sdk_s3::Client {
        client(&self.garage)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The largest amount of memory that the API process has had, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.api.pid().as_raw_nonzero())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        let first = self.http.get(self.at(path)).send().await.unwrap();
        match first.headers().get(LOCATION) {
            Some(url) => self.http.get(url.to_str().unwrap()).send().await.unwrap(),
            None => first,
        }
    }
}

/// A client that uses the storage without Asman.
fn client(garage: &Garage) -> aws_sdk_s3::Client {
    let keys = aws_sdk_s3::config::Credentials::new(KEY, SECRET, None, None, "test");
    let config = aws_sdk_s3::Config::builder().endpoint_url(&garage.url).region(aws_sdk_s3::config::Region::new("garage"));
    aws_sdk_s3::Client::from_conf(config.force_path_style(true).credentials_provider(keys).build())
}

fn location(response: &Response) -> String {
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

fn hash_of(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}
