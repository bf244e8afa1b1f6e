//! The folder of the socket, and its URL.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::account::Account;
use crate::data::{DataDirectory, make_private};
use crate::failure::Failure;

/// Most bytes of the folder's path: a socket's address has at most 107 bytes, and the file's own name needs the rest.
const FOLDER_BYTES_MAX: usize = 85;

/// The folder of the socket. It is created if it is missing, and only the server's user and root may enter it.
pub(crate) fn make_folder(data: &DataDirectory, account: Option<&Account>) -> Result<PathBuf, Failure> {
    let folder = folder_for(data.root());
    make_private(&folder).map_err(|error| Failure::io("create", &folder, &error))?;
    if let Some(account) = account {
        account.own(&folder)?;
    }
    // In a shared temporary folder another user could have created a folder or a link with this name.
    let metadata = folder.symlink_metadata().map_err(|error| Failure::io("read", &folder, &error))?;
    let is_ours = account.map_or(metadata.uid() == rustix::process::geteuid().as_raw(), |account| account.owns(&metadata));
    if !metadata.is_dir() || !is_ours {
        return Err(Failure::Failed(format!("{} belongs to another user; remove it", folder.display())));
    }
    Ok(folder)
}

/// `socket` in the data directory, or a short path in the temporary folder if that is too long for a socket.
fn folder_for(root: &Path) -> PathBuf {
    let folder = root.join("socket");
    if folder.as_os_str().len() <= FOLDER_BYTES_MAX {
        return folder;
    }
    let hash = protocol::sha256_hex(root.as_os_str().as_encoded_bytes());
    std::env::temp_dir().join(format!("asman-{}", &hash[..16]))
}

/// The URL of a database behind the socket in `folder`.
pub(crate) fn url(folder: &Path, database: &str) -> String {
    let host = percent_encode(folder.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
    format!("postgres://asman@{host}/{database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_drivers_read_the_url_of_a_socket() {
        let url = url(Path::new("/var/lib/a b/ü"), "asman");
        let config: tokio_postgres::Config = url.parse().unwrap();
        assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Unix("/var/lib/a b/ü".into())]);
        assert_eq!(config.get_dbname(), Some("asman"));
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        assert_eq!(options.get_socket().map(PathBuf::as_path), Some(Path::new("/var/lib/a b/ü")));
        assert_eq!(options.get_database(), Some("asman"));
    }

    #[test]
    fn a_long_data_directory_puts_the_socket_in_the_temporary_folder() {
        assert_eq!(folder_for(Path::new("/data")), Path::new("/data/socket"));
        let long = folder_for(Path::new(&format!("/{}", "x".repeat(90))));
        assert!(long.starts_with(std::env::temp_dir()) && long.as_os_str().len() < FOLDER_BYTES_MAX, "{long:?}");
    }
}
