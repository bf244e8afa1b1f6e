//! Finds the programs of Postgres on this machine.
//!
//! An existing database needs the major version that created it. That version is used, and an error names it if it is missing. A new
//! database gets the highest version.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::data::DataDirectory;
use crate::failure::Failure;

/// The oldest supported major version.
const MAJOR_MIN: u32 = 15;
const FIX: &str = "install it (Debian and Ubuntu: `apt-get install postgresql`), or give --database-url";

/// A folder with `initdb` and `postgres` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Such as 15.
    pub(crate) major: u32,
    /// Such as `15.18`.
    pub(crate) version: String,
}

/// Finds the binaries for the database at `data`, or for a new one.
pub(crate) fn find(data: Option<&DataDirectory>) -> Result<Binaries, Failure> {
    let in_use = data.and_then(|data| std::fs::read_to_string(data.join("database/PG_VERSION")).ok());
    let in_use = in_use.and_then(|text| text.trim().parse::<u32>().ok());
    let found = places(data).iter().filter_map(|folder| inspect(folder)).collect::<Vec<_>>();
    choose(found, in_use)
}

fn choose(found: Vec<Binaries>, in_use: Option<u32>) -> Result<Binaries, Failure> {
    if let Some(major) = in_use {
        return found.into_iter().find(|binaries| binaries.major == major).ok_or_else(|| {
            Failure::Missing(format!(
                "the database was created by PostgreSQL {major}, which is not installed; install it (Debian and Ubuntu: `apt-get install postgresql-{major}`)"
            ))
        });
    }
    let newest = found.iter().map(|binaries| binaries.major).max();
    match newest {
        None => Err(Failure::Missing(format!("PostgreSQL is not installed; {FIX}"))),
        Some(major) if major < MAJOR_MIN => {
            Err(Failure::Missing(format!("PostgreSQL {major} is too old, {MAJOR_MIN} is the oldest supported version; {FIX}")))
        }
        Some(major) => found.into_iter().find(|binaries| binaries.major == major).ok_or_else(|| Failure::Missing(FIX.into())),
    }
}

/// The folders to search, in order. If `ASMAN_POSTGRES_BIN` is set, it is the only one.
fn places(data: Option<&DataDirectory>) -> Vec<PathBuf> {
    if let Some(only) = std::env::var_os("ASMAN_POSTGRES_BIN") {
        return vec![PathBuf::from(only)];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (above, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-"), ("/opt/homebrew/opt", "postgresql")] {
        places.extend(folders_in(Path::new(above), prefix).map(|folder| folder.join("bin")));
    }
    places.extend(data.map(|data| data.join("postgres/bin")));
    places
}

fn folders_in(above: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(above).into_iter().flatten().flatten();
    entries.filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(|entry| entry.path())
}

fn inspect(folder: &Path) -> Option<Binaries> {
    let program = folder.join("postgres");
    if !program.is_file() || !folder.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let version = read_version(&String::from_utf8_lossy(&output.stdout))?;
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Binaries { folder: folder.to_owned(), major, version })
}

/// From `postgres (Postgres) 15.18 (Debian 15.18-0+deb12u1)`.
fn read_version(text: &str) -> Option<String> {
    let word = text.split(") ").nth(1)?.split_whitespace().next()?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binaries(major: u32) -> Binaries {
        Binaries { folder: format!("/{major}").into(), major, version: format!("{major}.1") }
    }

    #[test]
    fn versions_read_as_postgres_prints_them() {
        assert_eq!(read_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n").as_deref(), Some("15.18"));
        assert_eq!(read_version("postgres (PostgreSQL) 18devel\n").as_deref(), Some("18devel"));
        assert_eq!(read_version("nonsense"), None);
    }

    #[test]
    fn a_new_database_takes_the_newest_and_an_old_one_the_version_that_made_it() {
        let found = vec![binaries(14), binaries(15), binaries(17), binaries(16)];
        assert_eq!(choose(found.clone(), None).unwrap().major, 17);
        assert_eq!(choose(found.clone(), Some(15)).unwrap().major, 15);
        assert!(choose(found, Some(13)).unwrap_err().to_string().contains("postgresql-13"));
        assert!(choose(vec![binaries(13)], None).unwrap_err().to_string().contains("too old"));
        assert!(choose(vec![], None).unwrap_err().to_string().contains("apt-get install postgresql"));
    }
}
