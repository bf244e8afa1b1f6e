//! The user that runs Postgres. Postgres refuses to run as root, so root runs it as `postgres` or `nobody`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tokio::process::Command;

use crate::failure::Failure;

/// An unprivileged user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` when this process is not root: Postgres then runs as the same user.
    pub(crate) fn to_lend() -> Result<Option<Self>, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = ["postgres", "nobody"].iter().find_map(|name| lookup(&passwd, name));
        let missing = "PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody; add one with `useradd -r postgres`";
        found.map(Some).ok_or_else(|| Failure::Missing(missing.to_owned()))
    }

    /// Makes this user the owner of a folder.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Failure> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(|error| Failure::io("change the owner of", path, &error))
    }

    /// Reports when this user cannot enter one of the folders above `path`: Postgres's own message contains neither the user nor
    /// the folder.
    pub(crate) fn check_reach(&self, path: &Path) -> Result<(), Failure> {
        let closed = path.ancestors().find(|folder| !self.may_enter(folder));
        closed.map_or(Ok(()), |folder| {
            Err(Failure::BadInput(format!(
                "PostgreSQL runs as user {} here, which cannot enter {}; give another --data-directory, or run `chmod a+x {}`",
                self.name,
                folder.display(),
                folder.display()
            )))
        })
    }

    fn may_enter(&self, folder: &Path) -> bool {
        std::fs::metadata(folder).is_ok_and(|metadata| {
            let bit = match metadata.uid() == self.uid {
                true => 0o100,
                false if metadata.gid() == self.gid => 0o010,
                false => 0o001,
            };
            metadata.permissions().mode() & bit != 0
        })
    }

    /// Whether a file belongs to this user.
    pub(crate) fn owns(&self, metadata: &std::fs::Metadata) -> bool {
        metadata.uid() == self.uid
    }
}

/// Runs `command` as `account`, or as the present user. `uid` drops the supplementary groups of root.
pub(crate) fn lend(account: Option<&Account>, command: &mut Command) {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
}

fn lookup(passwd: &str, name: &str) -> Option<Account> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    let number = |index: usize| fields.get(index)?.parse().ok();
    Some(Account { name: name.to_owned(), uid: number(2)?, gid: number(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:x,,,:/var:/bin/bash\nbroken\n";
        let account = lookup(passwd, "postgres").unwrap();
        assert_eq!((account.uid, account.gid), (101, 104));
        assert_eq!(lookup(passwd, "nobody"), None);
        assert_eq!(lookup(passwd, "broken"), None);
    }
}
