//! The machine of the measurement.

use anyhow::Result;
use migrations::connect;

/// One line with the processor, the number of cores, the version of PostgreSQL, and whether PostgreSQL commits to disk.
pub(crate) async fn describe(database_url: &str) -> Result<String> {
    let client = connect(database_url).await?;
    let setting =
        async |name: &str| -> Result<String> { Ok(client.query_one("select current_setting($1)", &[&name]).await?.get(0)) };
    let (version, fsync, commit) =
        (setting("server_version").await?, setting("fsync").await?, setting("synchronous_commit").await?);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |m| m.trim_start_matches([' ', '\t', ':']));
    let n_cores = std::thread::available_parallelism()?;
    Ok(format!(
        "{model}, {n_cores} cores; PostgreSQL {version}, fsync={fsync}, synchronous_commit={commit}; server and load on the same cores"
    ))
}
