//! The data directory: everything that `asman up` keeps on this machine, and where.
//!
//! The directory itself is 0755, because Postgres may run as another user and must pass through it;
//! private files are in folders with mode 0700.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The folder for the files of the embedded stack.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DataArgs {
    /// Folder for the database, the files of jobs and the logs of the stack
    /// [default: /var/lib/asman for root, else ~/.local/share/asman].
    #[arg(long = "data-directory", env = "ASMAN_DATA_DIRECTORY", value_name = "D")]
    data_directory: Option<PathBuf>,
}

/// An existing data directory, as an absolute path.
#[derive(Clone, Debug)]
pub(crate) struct DataDirectory(PathBuf);

impl DataArgs {
    /// The given directory; if none is given, the one in `ASMAN_DATA_DIRECTORY`.
    pub(crate) fn at(data_directory: Option<PathBuf>) -> Self {
        let named = || std::env::var_os("ASMAN_DATA_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { data_directory: data_directory.or_else(named) }
    }

    /// The directory's path, whether it exists or not.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        match &self.data_directory {
            Some(path) => std::path::absolute(path).map_err(|error| Failure::io("use", path, &error)),
            None => default_path(),
        }
    }

    /// Creates the directory if it is missing.
    pub(crate) fn create(&self) -> Result<DataDirectory, Failure> {
        let path = self.path()?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&path);
        let opened = made.and_then(|()| if self.data_directory.is_none() { let_others_pass(&path) } else { Ok(()) });
        let real = opened.and_then(|()| path.canonicalize()).map_err(|error| Failure::io("create", &path, &error))?;
        Ok(DataDirectory(real))
    }
}

/// `/var/lib` for root, else the XDG directory.
fn default_path() -> Result<PathBuf, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/asman"));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(data) = absolute("XDG_DATA_HOME") {
        return Ok(data.join("asman"));
    }
    let home = absolute("HOME").ok_or_else(|| Failure::BadInput("HOME is not set; give --data-directory".into()))?;
    Ok(home.join(".local/share/asman"))
}

/// Whether a data directory is the default one.
pub(crate) fn is_default(root: &Path) -> bool {
    default_path().is_ok_and(|path| path == root || path.canonicalize().is_ok_and(|path| path == root))
}

impl DataDirectory {
    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// A file or folder in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A folder in it that only this user may enter. It is created if it is missing.
    pub(crate) fn private_folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.join(name);
        make_private(&path).map_err(|error| Failure::io("create", &path, &error))?;
        Ok(path)
    }
}

/// The default directory belongs to this program, so its mode is corrected. The mode of a directory that the user named stays as
/// it is.
fn let_others_pass(path: &Path) -> std::io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o111 == 0o111 { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o111)) }
}

/// Creates a folder with mode 0700, and corrects the mode of an existing one.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}
