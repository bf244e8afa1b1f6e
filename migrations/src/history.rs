//! The numbered files: the list of all, those that a database has, and the next missing one.
//!
//! The table and its checksums are those of refinery, which reads and names the files at build time.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{Error, begin};

mod embedded {
    refinery::embed_migrations!("sql");
}

/// A numbered file that a database has.
pub(crate) struct Applied {
    pub(crate) version: i32,
    name: String,
    /// RFC 3339 time.
    pub(crate) when: Option<String>,
    checksum: String,
}

/// The files of this build, by number.
pub(crate) fn own() -> Vec<refinery::Migration> {
    let mut all = embedded::migrations::runner().get_migrations().clone();
    all.sort_by_key(number_of);
    all
}

pub(crate) fn number_of(migration: &refinery::Migration) -> i32 {
    i32::try_from(i64::from(migration.version())).unwrap_or(i32::MAX)
}

/// The files that the database has, by number.
pub(crate) async fn applied(client: &Client) -> Result<Vec<Applied>, Error> {
    let read = "select version, name, applied_on, checksum from asman.migration order by version";
    let messages = client.simple_query(read).await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let word = |row: &tokio_postgres::SimpleQueryRow, n: usize| row.get(n).unwrap_or_default().to_owned();
    Ok(rows
        .map(|row| Applied {
            version: word(row, 0).parse().unwrap_or_default(),
            name: word(row, 1),
            when: row.get(2).map(ToOwned::to_owned),
            checksum: word(row, 3),
        })
        .collect())
}

/// Applies the first file that the database lacks. Returns its name, or none if the database has all files.
pub(crate) async fn apply_next(client: &Client) -> Result<Option<String>, Error> {
    begin(client).await?;
    let applied = applied(client).await?;
    let own = own();
    check(&applied, &own)?;
    let Some(next) = own.iter().find(|own| applied.iter().all(|applied| applied.version != number_of(own))) else {
        client.batch_execute("commit").await?;
        return Ok(None);
    };
    let (number, name) = (number_of(next), next.name());
    let failed = |error| Error::Migration { name: format!("V{number:03}__{name}"), error };
    client.batch_execute("set local client_min_messages = warning").await?;
    client.batch_execute(next.sql().unwrap_or_default()).await.map_err(failed)?;
    // No escaping is needed: refinery accepts only names of letters, digits and underscores.
    let note = format!(
        "insert into asman.migration (version, name, applied_on, checksum) values ({number}, '{name}', \
         to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '{}'); commit",
        next.checksum()
    );
    client.batch_execute(&note).await.map_err(failed)?;
    Ok(Some(format!("V{number:03} {name}")))
}

/// Checks that all applied files are the same as in this build.
fn check(applied: &[Applied], own: &[refinery::Migration]) -> Result<(), Error> {
    for applied in applied {
        let name = format!("V{:03}__{}", applied.version, applied.name);
        let Some(own) = own.iter().find(|own| number_of(own) == applied.version) else { return Err(Error::Newer(name)) };
        if own.name() != applied.name || own.checksum().to_string() != applied.checksum {
            return Err(Error::Changed(name));
        }
    }
    Ok(())
}
