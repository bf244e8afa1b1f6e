//! Gives a worker that is not root access to folders that containers wrote to.
//!
//! Root in a container creates files and folders that this worker's user may neither read nor remove. The [helper] gives every user these
//! rights. It runs as root of a container with this one folder and no network. Other users still cannot reach the folder, because the data
//! directory is private.
//!
//! [helper]: crate::engine::HelperSpec

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::engine::files::remove_tree;
use crate::engine::{Confinement, Docker, Fault, HelperSpec, Mount};
use crate::labels::LABEL_SANDBOX;

/// Path of the folder in the helper's container.
const INSIDE: &str = "/folder";
/// Rights to enter folders of other users, and to change the mode of their files.
const CAPABILITIES: [&str; 2] = ["DAC_OVERRIDE", "FOWNER"];
const PIDS: u32 = 64;

/// Lets this worker read and remove everything in a folder. Does nothing if it already can.
pub(super) async fn open(docker: &Docker, folder: &Path, data_label: &str) -> Result<(), Fault> {
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
        tracing::warn!(code = helped.exit_code, "this worker cannot read or remove some files of a job");
    }
    Ok(())
}

/// Removes a folder with everything in it. Returns whether it is removed.
pub(super) async fn remove(docker: &Docker, folder: PathBuf, data_label: &str) -> bool {
    if remove_tree(folder.clone()).await {
        return true;
    }
    if let Err(fault) = open(docker, &folder, data_label).await {
        tracing::warn!(%fault, path = %folder.display(), "this worker cannot read or remove the files of a job");
    }
    remove_tree(folder).await
}

/// Whether this process cannot read or remove something below a folder.
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
