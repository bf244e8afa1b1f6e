//! Resident memory of an idle API and an idle worker: the release binary, left alone for a few seconds.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use crate::database::Database;
use crate::table::Table;

/// After this time an idle process has done all that it does at its start.
const SETTLE: Duration = Duration::from_secs(5);
const START_MAX: Duration = Duration::from_secs(20);

pub(crate) async fn measure(server_url: &str, table: &mut Table) -> Result<()> {
    let asman = std::env::current_exe()?.with_file_name("asman");
    if !asman.exists() {
        table.add("resident memory", "not measured: build the asman binary beside this one", "");
        return Ok(());
    }
    let database = Database::make(server_url).await?;
    let folder = tempfile::tempdir()?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut api = Command::new(&asman)
        .args(["api", "--database-url", &database.url, "--listen", &address.to_string()])
        .arg("--blob-directory")
        .arg(folder.path().join("blobs"))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    wait_until_healthy(&format!("http://{address}")).await?;
    let mut worker = Command::new(&asman)
        .args(["worker", "run", "bench", "--api", &format!("http://{address}")])
        .arg("--data-directory")
        .arg(folder.path().join("worker"))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    tokio::time::sleep(SETTLE).await;
    table.add("resident memory of an idle API", resident(&api)?, "< 40 MiB");
    table.add(
        "resident memory of an idle worker",
        resident(&worker).unwrap_or_else(|e| format!("not measured: {e}")),
        "< 25 MiB",
    );
    worker.kill().await.ok();
    api.kill().await?;
    database.drop_now().await
}

async fn wait_until_healthy(url: &str) -> Result<()> {
    let http = reqwest::Client::new();
    let end = Instant::now() + START_MAX;
    while http.get(format!("{url}/healthz")).send().await.is_err() {
        anyhow::ensure!(Instant::now() < end, "the API did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn resident(child: &Child) -> Result<String> {
    let pid = child.id().context("the process has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the process has ended")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{:.1} MiB", kib / 1024.0))
}
