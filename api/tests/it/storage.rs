//! An object storage inside the test, and an API that keeps its files there.

use api::{Config, S3Config};
use axum::http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;

use crate::test_api::TestApi;

/// An object storage over a folder, with real signatures, ranges and uploads in parts. It ends with the test.
pub(crate) struct Storage {
    pub(crate) url: String,
    pub(crate) folder: TempDir,
}

impl Storage {
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    /// A storage whose bucket has object lock, so it refuses content that is sent without its hash.
    pub(crate) async fn locked() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(is_locked: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let inner = service.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let inner = inner.clone();
                    async move {
                        let has_hash = ["content-md5", "x-amz-checksum-sha256"].iter().any(|name| {
                            request.headers().contains_key(*name)
                                || request.uri().query().is_some_and(|query| query.contains(name))
                        });
                        if is_locked
                            && request.method() == Method::PUT
                            && request.uri().path().len() > "/files".len()
                            && !has_hash
                        {
                            return Ok(refusal());
                        }
                        inner.call(request.map(s3s::Body::from)).await
                    }
                });
                tokio::spawn(async move {
                    let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A test may close its connection, which is not a failure of the storage.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, folder }
    }

    /// The settings with which an API uses this storage.
    pub(crate) fn config(&self) -> S3Config {
        S3Config {
            s3_bucket: Some("files".to_owned()),
            s3_endpoint: Some(self.url.clone()),
            s3_path_style: true,
            s3_prefix: "asman-".to_owned(),
            s3_access_key_id: Some("key".to_owned()),
            s3_secret_access_key: Some("secret".to_owned()),
            ..S3Config::default()
        }
    }

    /// Names of all stored objects and of all unfinished uploads.
    pub(crate) fn objects(&self) -> Vec<String> {
        let all =
            std::fs::read_dir(self.folder.path()).unwrap().chain(std::fs::read_dir(self.folder.path().join("files")).unwrap());
        let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "files" && std::path::Path::new(name).extension().is_none_or(|end| end != "json")).collect()
    }
}

fn refusal() -> Response<s3s::Body> {
    let text = "<?xml version=\"1.0\"?><Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is \
                required for Put Object requests with Object Lock parameters</Message></Error>";
    Response::builder().status(400).body(s3s::Body::from(text.to_owned())).unwrap()
}

/// Where an API under test stores its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Directory,
    /// Clients are redirected to the storage.
    S3,
    /// The bytes pass through the API.
    S3Proxied,
}

/// An API with one of the stores.
pub(crate) struct Stored {
    pub(crate) api: TestApi,
    pub(crate) store: Store,
    pub(crate) storage: Option<Storage>,
}

impl Stored {
    pub(crate) async fn new(store: Store) -> Self {
        let storage = if store == Store::Directory { None } else { Some(Storage::start().await) };
        let set = |config: &mut Config| {
            if let Some(storage) = &storage {
                config.s3 = S3Config { s3_proxy: store == Store::S3Proxied, ..storage.config() };
            }
        };
        let api = TestApi::with(set).await;
        Self { api, store, storage }
    }
}
