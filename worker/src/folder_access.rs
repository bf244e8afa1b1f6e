//! Folders that containers wrote to, for a worker that is not root.
//!
//! Root in a container makes files and folders that this worker's user may neither read nor remove. The [helper] lets everybody do
//! so, as root of a container that has this one folder and no network. Only the worker gets there: its data directory is closed.
//!
//! [helper]: crate::executor::HelperSpec

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::executor::{Confinement, Docker, Fault, HelperSpec, LABEL_SANDBOX, Mount};

/// Where the helper finds the folder.
const INSIDE: &str = "/folder";
/// To get into folders of others, and to give rights to their files.
const CAPABILITIES: [&str; 2] = ["DAC_OVERRIDE", "FOWNER"];
const PIDS: u32 = 64;

/// Lets this worker read and remove what is in a folder. Does nothing where it can.
pub(crate) async fn open(docker: &Docker, folder: &Path, data_label: &str) -> Result<(), Fault> {
    let looked_at = folder.to_owned();
    let is_shut = tokio::task::spawn_blocking(move || is_shut(&looked_at)).await.unwrap_or(true);
    if !is_shut || !docker.has_helper() {
        return Ok(());
    }
    let confinement = Confinement {
        network: "none".to_owned(),
        capabilities: CAPABILITIES.map(str::to_owned).into(),
        user: Some("0:0".to_owned()),
        pids: PIDS,
        is_read_only: true,
        ..Confinement::default()
    };
    let spec = HelperSpec {
        arguments: ["open", INSIDE].map(str::to_owned).into(),
        mounts: vec![Mount { source: folder.to_owned(), target: INSIDE.to_owned(), is_read_only: false }],
        confinement: Some(confinement),
        labels: HashMap::from([(LABEL_SANDBOX.to_owned(), data_label.to_owned())]),
        ..HelperSpec::default()
    };
    let helped = docker.help(&spec).await?;
    if helped.exit_code != 0 {
        tracing::warn!(code = helped.exit_code, "some of what a job wrote stays closed to this worker");
    }
    Ok(())
}

/// Removes a folder with all that is in it. Whether it is gone.
pub(crate) async fn remove(docker: Option<&Docker>, folder: PathBuf, data_label: &str) -> bool {
    let (first, again) = (folder.clone(), folder.clone());
    // Joining fails only when the runtime ends.
    let is_gone = tokio::task::spawn_blocking(move || is_removed(&first)).await.unwrap_or(false);
    let Some(docker) = docker.filter(|_| !is_gone) else { return is_gone };
    if let Err(fault) = open(docker, &folder, data_label).await {
        tracing::warn!(%fault, path = %folder.display(), "what a job wrote stays closed to this worker");
    }
    tokio::task::spawn_blocking(move || is_removed(&again)).await.unwrap_or(false)
}

fn is_removed(folder: &Path) -> bool {
    std::fs::remove_dir_all(folder).or_else(|error| if folder.exists() { Err(error) } else { Ok(()) }).is_ok()
}

/// Whether something below a folder can not be read or removed by this process. Ends at the first such thing.
fn is_shut(folder: &Path) -> bool {
    if rustix::process::geteuid().is_root() {
        return false;
    }
    let may = |path: &Path, access| rustix::fs::access(path, access).is_ok();
    walkdir::WalkDir::new(folder).follow_links(false).into_iter().any(|entry| {
        let Ok(entry) = entry else { return true };
        let kind = entry.file_type();
        let is_open = match () {
            () if kind.is_dir() => may(entry.path(), Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK),
            () if kind.is_file() => may(entry.path(), Access::READ_OK),
            () => true,
        };
        !is_open
    })
}
