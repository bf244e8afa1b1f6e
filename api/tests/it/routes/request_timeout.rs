//! Clients that do not finish heads, bodies or messages.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use serde_json::json;

use crate::socket::Socket;
use crate::test_api::{TestApi, eventually, in_time};

async fn with_short_timeout() -> TestApi {
    TestApi::with(|config| config.request_timeout = protocol::Duration(Duration::from_millis(500))).await
}

async fn dial(api: &TestApi) -> TcpStream {
    TcpStream::connect(api.url.trim_start_matches("http://")).await.unwrap()
}

/// Everything that the server sends until it closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // A reset also ends the connection.
    let _ = in_time(stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off_and_others_are_served() {
    let api = with_short_timeout().await;
    let mut slow = dial(&api).await;
    slow.write_all(b"GET /q/q HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let silent = dial(&api).await;
    let (mut reader, mut writer) = slow.into_split();
    let trickle = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..200 {
            tick.tick().await;
            if writer.write_all(b"x: y\r\n").await.is_err() {
                return true;
            }
        }
        false
    });
    let mut said = Vec::new();
    let _ = in_time(reader.read_to_end(&mut said)).await;
    assert!(in_time(trickle).await.unwrap(), "disconnected although some bytes came again and again");
    assert_eq!(rest(silent).await, "");
    assert_eq!(api.get("/q/q").await.0, 200);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_answered_with_a_sentence_and_leaves_nothing() {
    let api = with_short_timeout().await;
    let mut slow = dial(&api).await;
    slow.write_all(b"POST /q/q HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{\"definition\":").await.unwrap();
    let said = rest(slow).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("the body did not come in time") && said.contains("access-control-allow-origin: *"), "{said}");
    assert_eq!(api.count("select count(*) from asman.queued").await, 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let api = TestApi::new().await;
    let mut broken = dial(&api).await;
    let whole = r#"{"definition":{"image":"alpine"}}"#;
    let head = format!("POST /q/q HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{whole}", whole.len() + 1);
    broken.write_all(head.as_bytes()).await.unwrap();
    broken.shutdown().await.unwrap();
    let said = rest(broken).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said}");
    assert_eq!(api.get("/q/q").await.1, json!({"data": {}}));
}

#[tokio::test]
async fn a_long_poll_and_an_open_socket_outlast_the_request_timeout() {
    let api = with_short_timeout().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    assert!(api.claim("q", "w", 1, "2s").await.is_empty(), "answered, not cut off");
    socket.ping().await;
}

#[tokio::test]
async fn a_socket_that_never_reads_is_closed_and_memory_stays_bounded() {
    let api = TestApi::with(|config| config.send_timeout = "1s".parse().unwrap()).await;
    let long = "t".repeat(200);
    let tags: Vec<_> = (0..32).map(|n| format!("{n}{long}")).collect();
    for n in 0..300 {
        api.submit_job("q", json!({"definition": {"image": "a", "command": n.to_string(), "tags": tags}})).await;
    }
    let before = resident_kib();
    let mut stuck = Vec::new();
    for _ in 0..10 {
        let mut socket = Socket::connect_raw(&api, "/q/q/client").await;
        for _ in 0..20 {
            socket.send(&json!({"type": "QueryJobStates"})).await;
        }
        stuck.push(socket);
    }
    let mut reader = Socket::connect(&api, "/q/q/client").await;
    let only_the_reader = || async {
        let is_alone = api.get("/q/q/status").await.1["clientCount"] == 1;
        is_alone.then_some(())
    };
    let watch = async {
        loop {
            reader.next().await;
        }
    };
    tokio::select! {
        () = eventually("the stuck ones are closed", only_the_reader) => {}
        () = watch => {}
    }
    // The client requested 200 answers of two mebibytes. Each socket may have one in transit; a measurement showed 39 MiB.
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 100 * 1024, "{grown} KiB");
    drop(stuck);
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
