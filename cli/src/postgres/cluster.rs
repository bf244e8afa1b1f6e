//! Initialises the database's files, once.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::account::{Account, lend};
use super::binaries::Binaries;
use crate::data::{DataDirectory, make_private};
use crate::failure::Failure;
use crate::say;

/// Returns the folder of an initialised database. `initdb` runs in a folder with another name, which is renamed when it is
/// complete, so a kill in the middle leaves nothing that looks like a database.
pub(crate) async fn ensure(data: &DataDirectory, binaries: &Binaries, account: Option<&Account>) -> Result<PathBuf, Failure> {
    if let Some(account) = account {
        account.check_reach(data.root())?;
    }
    let folder = data.join("database");
    if folder.join("PG_VERSION").is_file() {
        return Ok(folder);
    }
    say::note(&format!("Creating a database in {} (PostgreSQL {})", folder.display(), binaries.version));
    let new = data.join("database.new");
    make_empty(&new, account)?;
    init(&new, data, binaries, account).await?;
    std::fs::rename(&new, &folder).map_err(|error| Failure::io("create", &folder, &error))?;
    Ok(folder)
}

fn make_empty(folder: &Path, account: Option<&Account>) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Failure::io("remove", folder, &error)),
        _ => {}
    }
    make_private(folder).map_err(|error| Failure::io("create", folder, &error))?;
    account.map_or(Ok(()), |account| account.own(folder))
}

async fn init(new: &Path, data: &DataDirectory, binaries: &Binaries, account: Option<&Account>) -> Result<(), Failure> {
    // Some systems spell this locale differently or lack it. Plain C sorts text in the same way.
    let locale = if cfg!(target_os = "linux") { "--locale=C.UTF-8" } else { "--locale=C" };
    let mut command = Command::new(binaries.folder.join("initdb"));
    command.arg("-D").arg(new).args(["-U", "asman", "-E", "UTF8", locale, "--no-instructions"]);
    command.args(["--auth-local=trust", "--auth-host=reject"]);
    // The account may not be able to enter the current folder, and initdb returns to it.
    command.current_dir(data.root()).stdin(Stdio::null());
    lend(account, &mut command);
    let output = command.output().await.map_err(|error| Failure::Failed(format!("cannot run initdb: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.lines().find(|line| line.contains("error") || line.contains("FATAL")).unwrap_or("no reason given");
    Err(Failure::Failed(format!("cannot create a database: {reason}")))
}
