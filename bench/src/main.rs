//! Measures what the design promises, on a PostgreSQL that commits to disk, and prints one table.
//!
//! `./x bench` starts such a server and calls this. Every number is of this machine and this moment: compare rows of one run.
//! Databases are made for the run and dropped after it.

mod claims;
mod database;
mod latency;
mod machine;
mod memory;
mod submits;
mod table;

use anyhow::Result;
use clap::Parser;

use table::Table;

/// Measure claims, submissions, latency and memory.
#[derive(Parser, Debug)]
struct Arguments {
    /// A PostgreSQL server on which databases may be made, as superuser.
    #[arg(long, env = "BENCH_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Waiting jobs and queues of the large cases.
    #[arg(long, default_value_t = 1_000_000)]
    queues: i64,
    /// Jobs that each claim case takes at most.
    #[arg(long, default_value_t = 100_000)]
    jobs: i64,
    /// Seconds that each claim case takes at most.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Also write the table to this file.
    #[arg(long)]
    output: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    // Two providers are compiled in; one must be chosen before the first TLS connection.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    let mut table = Table::new(machine::describe(&arguments.database_url).await?);
    claims::measure(&arguments, &mut table).await?;
    submits::measure(&arguments.database_url, &mut table).await?;
    latency::measure(&arguments.database_url, &mut table).await?;
    memory::measure(&arguments.database_url, &mut table).await?;
    let text = table.to_string();
    println!("{text}");
    if let Some(path) = arguments.output {
        std::fs::write(path, text)?;
    }
    Ok(())
}
