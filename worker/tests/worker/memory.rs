//! How much memory a worker needs, even for jobs with large outputs. It is measured in a separate process.

use std::process::{Command, Stdio};

use protocol::Reason;
use worker::{Config, Shutdown};

use crate::api::FakeApi;
use crate::harness::{ensure_image, script};

const PEAK_KIB_MAX: u64 = 80 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_outputs_and_a_long_log_do_not_grow_a_worker() {
    outputs_of(256).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes 2 GiB to disk and sends it: `cargo nextest run -p worker two_gibibytes --run-ignored all`"]
async fn two_gibibytes_of_outputs_do_not_grow_a_worker() {
    outputs_of(2048).await;
}

async fn outputs_of(mebibytes: u64) {
    ensure_image().await;
    let api = FakeApi::start().await;
    api.with(|heard| heard.discards_uploads = true);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "memory::worker_alone", "--ignored", "--nocapture"]);
    command.env("ASMAN_TEST_API", &api.url).env("ASMAN_TEST_DATA", folder.path());
    let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let half = mebibytes / 2;
    let text = format!(
        "yes 0123456789abcde | head -n 1500000 & for n in 1 2; do {{ echo $n; dd if=/dev/zero bs=1M count={half} 2>/dev/null; }} > \
         /outputs/$n; done; i=0; while [ $i -lt 2000 ]; do echo $i > /outputs/small-$i; i=$((i + 1)); done; wait"
    );
    let job = api.submit(&script(&text));
    let finish = api.finish_of(&job).await;
    assert_eq!((finish.reason, finish.result.outputs.len()), (Reason::Success, 2002), "{:?}", finish.message);
    assert_eq!(api.with(|heard| heard.uploaded_bytes), 2 * half * 1024 * 1024 + 4);
    // Its stdin is closed now, so the process ends and prints how much memory it used.
    let output = tokio::task::spawn_blocking(|| process.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let peak: u64 =
        said.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    println!("{mebibytes} MiB of outputs: {peak} KiB at most");
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
}

#[tokio::test]
#[ignore = "run by the tests above, in a process of its own"]
async fn worker_alone() {
    let mut config = Config::for_queue("test queue".parse().unwrap(), std::env::var("ASMAN_TEST_API").unwrap());
    config.data_directory = Some(std::env::var_os("ASMAN_TEST_DATA").unwrap().into());
    config.memory = Some("1g".to_owned());
    let shutdown = Shutdown::new();
    let drain = shutdown.drain.clone();
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        drain.cancel();
    });
    worker::run(config, shutdown).await.unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("\n{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap());
}
