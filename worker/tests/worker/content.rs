//! The cache of inputs, and downloads that break off.

use std::collections::VecDeque;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::{Reason, sha256_hex};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{TestWorker, eventually, names_in, script};

fn with_input(text: &str, reference: &Value) -> Value {
    let mut definition = script(text);
    definition["inputs"] = json!({ "a": reference });
    definition
}

/// Starts a worker that may use private addresses, because the test's own servers are on this machine.
async fn start() -> TestWorker {
    TestWorker::start_with(|config| config.allow_private_urls = true).await
}

#[tokio::test]
async fn jobs_that_need_the_same_content_download_it_once_and_cannot_change_it() {
    let worker = start().await;
    let (bytes, key) = (vec![b'x'; 3 << 20], sha256_hex(&vec![b'x'; 3 << 20]));
    worker.api.with(|heard| heard.blobs.insert(key.clone(), bytes.clone().into()));
    let text = |n| format!("wc -c < /inputs/a; echo more >> /inputs/a; chmod 777 /inputs/a; rm /inputs/a; echo {n}");
    let definition = |n| with_input(&text(n), &json!({ "type": "key", "value": key }));
    let pair = [worker.api.submit(&definition(1)), worker.api.submit(&definition(2))];
    for job in &pair {
        assert_eq!(worker.api.finish_of(job).await.reason, Reason::Success);
        assert!(worker.api.text(job, false).starts_with("3145728\n"));
        assert_eq!(worker.api.text(job, true).matches("Read-only file system").count(), 3);
    }
    let kept = worker.data().join("content").join(&key);
    assert!(std::fs::read(&kept).unwrap() == bytes && std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777 == 0o444);
    worker.run(&definition(3)).await;
    let n_downloads = worker.api.with(|heard| heard.paths.iter().filter(|path| **path == format!("/f/{key}")).count());
    assert_eq!(n_downloads, 1);
    eventually("the jobs' links go", || std::fs::metadata(&kept).unwrap().nlink() == 1).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_url_with_its_true_hash_is_fetched_once_and_one_with_a_false_hash_poisons_nothing() {
    let worker = start().await;
    let (truth, lie) = (sha256_hex(b"true content"), sha256_hex(b"what everybody wants"));
    worker.api.with(|heard| {
        heard.blobs.insert("true".to_owned(), "true content".into());
        heard.blobs.insert(lie.clone(), "what everybody wants".into());
    });
    let url = format!("{}/true", worker.api.elsewhere);
    let by_url =
        |hash: &str, n: u32| with_input(&format!("cat /inputs/a; : {n}"), &json!({ "type": "url", "value": url, "hash": hash }));
    for n in 1..=2 {
        let (job, _) = worker.run(&by_url(&truth, n)).await;
        assert_eq!(worker.api.text(&job, false), "true content\n");
    }
    assert_eq!(worker.api.with(|heard| heard.n_elsewhere), 1);
    let (job, _) = worker.run(&by_url(&lie, 3)).await;
    assert_eq!(worker.api.text(&job, false), "true content\n");
    assert!(worker.api.text(&job, true).contains("differs from the hash"));
    assert_eq!(names_in(&worker.data().join("content")), [truth]);
    let (job, _) = worker.run(&with_input("cat /inputs/a", &json!({ "type": "key", "value": lie }))).await;
    assert_eq!(worker.api.text(&job, false), "what everybody wants\n");
    worker.drain().await;
}

#[tokio::test]
async fn a_file_of_the_queue_is_found_whatever_address_its_url_has() {
    let worker = start().await;
    let key = sha256_hex(b"uploaded by a browser");
    worker.api.with(|heard| heard.blobs.insert(key.clone(), "uploaded by a browser".into()));
    // Nothing listens at this address, as at the localhost of a browser on another machine.
    let url = format!("http://127.0.0.1:1/f/{key}");
    let (job, finish) = worker.run(&with_input("cat /inputs/a", &json!({ "type": "url", "value": url, "hash": key }))).await;
    assert_eq!((finish.reason, worker.api.text(&job, false).as_str()), (Reason::Success, "uploaded by a browser\n"));
    worker.drain().await;
}

#[tokio::test]
async fn without_a_cache_nothing_is_kept() {
    let worker = TestWorker::start_with(|config| {
        config.allow_private_urls = true;
        config.disk.input_cache = 0;
    })
    .await;
    let key = sha256_hex(b"small");
    worker.api.with(|heard| heard.blobs.insert(key.clone(), "small".into()));
    let (job, _) = worker.run(&with_input("cat /inputs/a", &json!({ "type": "key", "value": key }))).await;
    assert_eq!(worker.api.text(&job, false), "small\n");
    assert_eq!(names_in(&worker.data().join("content")), Vec::<String>::new());
    worker.drain().await;
}

/// One answer of an unreliable server: a head, then a body in pieces with pauses, then the end of the connection, even if the head
/// promised more.
struct Answer {
    head: String,
    pieces: Vec<Vec<u8>>,
    pause: Duration,
}

/// A server that gives its answers in order and stores the requests.
struct Flaky {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Flaky {
    async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let record = Arc::clone(&asked);
        tokio::spawn(async move {
            for answer in VecDeque::from(answers) {
                let (stream, _) = listener.accept().await.unwrap();
                let head = serve(stream, answer).await;
                record.lock().unwrap().push(head);
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, answer: Answer) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(format!("{}\r\nConnection: close\r\n\r\n", answer.head).as_bytes()).await.unwrap();
    for piece in answer.pieces {
        stream.write_all(&piece).await.unwrap();
        tokio::time::sleep(answer.pause).await;
    }
    stream.shutdown().await.unwrap();
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

fn whole(tag: &str, length: usize, sent: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 200 OK\r\n{tag}Content-Length: {length}");
    Answer { head, pieces: vec![sent.to_vec()], pause: Duration::ZERO }
}

fn part(from: usize, length: usize, sent: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{length}",
        length - from,
        length - 1
    );
    Answer { head, pieces: vec![sent.to_vec()], pause: Duration::ZERO }
}

const TAG: &str = "ETag: \"v1\"\r\n";

fn digits() -> Vec<u8> {
    (0..100_000_u32).flat_map(|n| format!("{n:07}\n").into_bytes()).collect()
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let bytes = digits();
    let n = bytes.len();
    let server = Flaky::start(vec![
        whole(TAG, n, &bytes[..300_000]),
        part(300_000, n, &bytes[300_000..500_000]),
        part(500_000, n, &bytes[500_000..]),
    ])
    .await;
    let worker = start().await;
    let (job, finish) = worker.run(&with_input("sha256sum < /inputs/a", &json!({ "type": "url", "value": server.url }))).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    assert!(worker.api.text(&job, false).starts_with(&sha256_hex(&bytes)));
    let asked = server.asked();
    assert!(!asked[0].contains("range:"));
    assert!(asked[1].contains("range: bytes=300000-\r\n") && asked[1].contains("if-range: \"v1\"\r\n"), "{}", asked[1]);
    assert!(asked[2].contains("range: bytes=500000-\r\n"), "{}", asked[2]);
    worker.drain().await;
}

#[tokio::test]
async fn a_server_without_ranges_or_with_another_version_is_read_from_the_start() {
    let bytes = digits();
    let n = bytes.len();
    let other: Vec<u8> = bytes.iter().map(|b| b.wrapping_add(1)).collect();
    let worker = start().await;
    for (answers, expected, resumes) in [
        (vec![whole("", n, &bytes[..300_000]), whole("", n, &bytes)], &bytes, false),
        (vec![whole(TAG, n, &bytes[..300_000]), whole("ETag: \"v2\"\r\n", n, &other)], &other, true),
        (vec![whole(TAG, n, &bytes[..300_000]), part(7, n, &bytes[7..]), whole(TAG, n, &bytes)], &bytes, true),
    ] {
        let server = Flaky::start(answers).await;
        let (job, finish) =
            worker.run(&with_input("sha256sum < /inputs/a", &json!({ "type": "url", "value": server.url }))).await;
        assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
        assert!(worker.api.text(&job, false).starts_with(&sha256_hex(expected)));
        assert_eq!(server.asked()[1].contains("range:"), resumes);
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_slow_download_is_followed_in_the_log() {
    let bytes = digits();
    let slow = Answer {
        pieces: bytes.chunks(200_000).map(<[u8]>::to_vec).collect(),
        pause: Duration::from_millis(600),
        ..whole(TAG, bytes.len(), b"")
    };
    let server = Flaky::start(vec![slow]).await;
    let worker = start().await;
    let (job, finish) = worker.run(&with_input("wc -c < /inputs/a", &json!({ "type": "url", "value": server.url }))).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    let text = worker.api.text(&job, false);
    assert!(text.contains("of 0.8 MiB fetched") && text.contains("input \"a\": all 0.8 MiB fetched in "), "{text}");
    worker.drain().await;
}
