//! Measures what the design promises, on a PostgreSQL that commits to disk, and prints one table.
//!
//! `./x bench` starts such a server and calls this. Every number depends on this machine and this moment, so compare only rows of one run.
//! Databases are made for the run and dropped after it.

mod claims;
mod containers;
mod database;
mod engine;
mod latency;
mod machine;
mod memory;
mod submits;
mod table;

use anyhow::Result;
use clap::Parser;

use table::Table;

/// What can be measured.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Claim and complete per second.
    Claims,
    /// Submissions per second.
    Submits,
    /// Submit to claim.
    Latency,
    /// Resident memory of idle processes.
    Memory,
    /// Container jobs against bare containers. Needs Docker.
    Job,
}

/// Measure what the design promises.
#[derive(Parser, Debug)]
struct Arguments {
    /// Only these.
    cases: Vec<Case>,
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
    /// Also write the table of a whole run to this file.
    #[arg(long)]
    output: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    // Two TLS providers are compiled in; one must be chosen before the first TLS connection.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    let mut table = Table::new(machine::describe(&arguments.database_url).await?);
    let is_asked = |case| arguments.cases.is_empty() || arguments.cases.contains(&case);
    if is_asked(Case::Claims) {
        claims::measure(&arguments, &mut table).await?;
    }
    if is_asked(Case::Submits) {
        submits::measure(&arguments.database_url, &mut table).await?;
    }
    if is_asked(Case::Latency) {
        latency::measure(&arguments.database_url, &mut table).await?;
    }
    if is_asked(Case::Memory) {
        memory::measure(&arguments.database_url, &mut table).await?;
    }
    if is_asked(Case::Job) {
        containers::measure(&arguments.database_url, &mut table).await?;
    }
    let text = table.to_string();
    println!("{text}");
    if let Some(path) = arguments.output.filter(|_| arguments.cases.is_empty()) {
        std::fs::write(path, text)?;
    }
    Ok(())
}
