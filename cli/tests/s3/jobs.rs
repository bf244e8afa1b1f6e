//! A whole job with large files: the CLI sends them and fetches the output, and a worker fetches them and sends the output.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::house::{IMAGE, make_image};
use crate::support::{Running, asman};
use crate::{House, hash_of, location};

const INPUT_BYTES: usize = 3_000_000;
const TOKEN: &str = "for-the-api-alone";

/// A proxy whose address clients and workers use as that of the storage. It records everything that they send.
struct CountingProxy {
    url: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl CountingProxy {
    /// Opens the proxy on a port of its own; it forwards only after its target is set.
    fn open() -> (Self, Arc<Mutex<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heard, behind) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Mutex<String>>::default());
        let proxy = Self { url, heard: heard.clone() };
        let target = behind.clone();
        std::thread::spawn(move || {
            for inside in listener.incoming() {
                let address = target.lock().unwrap().clone();
                pass(inside.unwrap(), TcpStream::connect(address).unwrap(), heard.clone());
            }
        });
        (proxy, behind)
    }
}

/// Passes bytes in both directions and keeps those of the first direction.
fn pass(from: TcpStream, to: TcpStream, heard: Arc<Mutex<Vec<u8>>>) {
    let (mut answers, mut back) = (to.try_clone().unwrap(), from.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (from, to);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            heard.lock().unwrap().extend_from_slice(&buffer[..n]);
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn has(heard: &[u8], part: &str) -> bool {
    heard.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// Runs a job that writes a large file twice into another file.
fn run_job(house: &House) {
    make_image();
    let folder = tempfile::tempdir().unwrap();
    let mut worker = asman();
    worker.args(["worker", "run", "q", "--id", "w", "--api", &house.url, "--data-directory"]).arg(folder.path().join("worker"));
    let _worker = Running::start(worker.env("ASMAN_TOKEN", TOKEN));
    let input: Vec<u8> = b"0123456789abcde\n".iter().copied().cycle().take(INPUT_BYTES).collect();
    std::fs::write(folder.path().join("large"), &input).unwrap();
    let mut job = asman();
    job.args(["job", "add", "q", "-i", IMAGE, "-c", "sh -c 'cat /inputs/large /inputs/large > /outputs/twice'", "-f", "large"]);
    job.args(["--wait", "-o", "out"]).current_dir(folder.path()).env("ASMAN_API", &house.url).env("ASMAN_TOKEN", TOKEN);
    let done = job.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(std::fs::read(folder.path().join("out/twice")).unwrap() == input.repeat(2));
}

#[test]
fn a_jobs_files_go_past_the_api_and_no_token_goes_with_them() {
    let (proxy, behind) = CountingProxy::open();
    let house = House::start_with(|api| {
        api.env("ASMAN_S3_PUBLIC_ENDPOINT", &proxy.url);
    });
    house.garage.url.trim_start_matches("http://").clone_into(&mut behind.lock().unwrap());
    run_job(&house);
    let heard = proxy.heard.lock().unwrap();
    // The input and the output were sent once each. Only the requests of the downloads are recorded here, not their answers.
    assert!((3 * INPUT_BYTES..4 * INPUT_BYTES).contains(&heard.len()), "{} bytes", heard.len());
    assert!(has(&heard, "PUT /files/") && has(&heard, "GET /files/"));
    assert!(!has(&heard, "authorization:") && !has(&heard, TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_files_go_through_the_api_where_the_storage_is_out_of_reach() {
    let nowhere = "http://127.0.0.1:1";
    let set = |api: &mut Command| {
        api.env("ASMAN_S3_PUBLIC_ENDPOINT", nowhere);
    };
    let house = tokio::task::block_in_place(|| House::start_with(set));
    let put = house.http.put(house.at(&format!("/f/{}", hash_of(b"content")))).body("content").send().await.unwrap();
    assert!(location(&put).starts_with(nowhere), "all are sent there first");
    tokio::task::block_in_place(|| run_job(&house));
    assert!(house.storage().list_objects_v2().bucket("files").send().await.unwrap().key_count().unwrap() >= 2);
}
