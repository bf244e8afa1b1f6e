//! Submissions per second over HTTP to one queue, and whether they slow down as it grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::database::Database;
use crate::latency::Server;
use crate::table::Table;

const CLIENTS: u64 = 64;
const PER_STAGE: u64 = 20_000;

pub(crate) async fn measure(server_url: &str, table: &mut Table) -> Result<()> {
    let database = Database::make(server_url).await?;
    let server = Server::start(&database.url).await?;
    for stage in 0..3 {
        let rate = send(&server, stage * PER_STAGE).await?;
        let what = format!("submits per second over HTTP, {CLIENTS} clients, {} jobs waiting", stage * PER_STAGE);
        table.add(what, format!("{rate:.0}"), "2,000");
    }
    server.stop().await;
    database.drop_now().await
}

async fn send(server: &Server, first: u64) -> Result<f64> {
    let next = Arc::new(AtomicU64::new(first));
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (next, http, url) = (Arc::clone(&next), server.http.clone(), format!("{}/q/bench", server.url));
        clients.push(tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= first + PER_STAGE {
                    return anyhow::Ok(());
                }
                let body = format!(r#"{{"definition":{{"image":"alpine:3.20","command":"echo {n}","env":{{"A":"b"}}}}}}"#);
                let response = http.post(&url).body(body).send().await?;
                ensure!(response.status().is_success(), "{}", response.status());
            }
        }));
    }
    for client in clients {
        client.await??;
    }
    Ok(PER_STAGE as f64 / start.elapsed().as_secs_f64())
}
