//! A registry that fails every request for a while, and a worker with many jobs: no job is lost, and none ends as an error.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use support::house::{House, IMAGE, free_port, test_database};
use support::registry::Registry;

fn docker(arguments: &[&str]) {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
}

/// A proxy of the registry that answers 503 until the given moment.
fn failing_registry(behind: String, until: Instant) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, behind) = (client.unwrap(), behind.clone());
            std::thread::spawn(move || answer(client, &behind, Instant::now() < until));
        }
    });
    address
}

/// Answers one request of a connection.
fn answer(mut client: TcpStream, behind: &str, fails: bool) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
        // An engine that tries TLS first gets an error at once.
        if head[0] == 0x16 {
            return None;
        }
    }
    if fails {
        return client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
    }
    let text = String::from_utf8_lossy(&head).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut server = TcpStream::connect(behind).ok()?;
    server.write_all(text.as_bytes()).ok()?;
    std::io::copy(&mut server, &mut client).ok()?;
    client.shutdown(Shutdown::Both).ok()
}

/// Returns how long it took until all jobs had succeeded.
fn outlast(outage: Duration, n_jobs: usize) -> Duration {
    let house = House::over(test_database());
    let address = format!("127.0.0.1:{}", free_port());
    let _registry = Registry::start(house.folder.path(), &address);
    let pushed = format!("{address}/outage:v1");
    docker(&["tag", IMAGE, &pushed]);
    docker(&["push", &pushed]);
    docker(&["rmi", &pushed]);
    let began = Instant::now();
    let image = format!("{}/outage:v1", failing_registry(address, began + outage));
    let _api = house.start_api();
    let jobs: Vec<String> = (0..n_jobs)
        .map(|n| {
            let command = format!("echo {n}");
            let added = house.job(&["add", "outage", "-i", &image, "-c", &command]).output().unwrap();
            assert!(added.status.success(), "{added:?}");
            String::from_utf8(added.stdout).unwrap().trim().to_owned()
        })
        .collect();
    let mut worker = house.start_worker("outage", "w1");
    for id in &jobs {
        let mut command = house.job(&["await", "outage", id, "-q"]);
        let waited = command.current_dir(house.folder.path()).output().unwrap();
        assert!(waited.status.success(), "{waited:?}");
    }
    let took = began.elapsed();
    assert!(took >= outage);
    worker.stop();
    docker(&["rmi", &image]);
    took
}

#[test]
fn jobs_outlast_a_registry_that_fails_for_some_seconds() {
    outlast(Duration::from_secs(8), 6);
}

#[test]
#[ignore = "takes minutes: cli/tests/postgres.sh cargo nextest run -p cli --test outage --run-ignored only --no-capture"]
fn fifty_jobs_outlast_a_registry_that_fails_for_a_minute() {
    let took = outlast(Duration::from_mins(1), 50);
    eprintln!("50 jobs succeeded {:.0} s after a minute's outage began", took.as_secs_f64());
}
