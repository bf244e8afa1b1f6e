//! A database for one case.

use anyhow::{Context, Result};
use migrations::connect;

/// Made at the start of a case, dropped with [`Database::drop_now`].
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    name: String,
    pub(crate) url: String,
}

impl Database {
    /// Makes a database on the server and migrates it.
    pub(crate) async fn make(server: &str) -> Result<Self> {
        let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
        connect(server).await?.batch_execute(&format!("create database {name}")).await?;
        let (base, parameters) = server.split_once('?').map_or((server, String::new()), |(b, p)| (b, format!("?{p}")));
        let (host, _) = base.rsplit_once('/').context("the database URL ends in a database name")?;
        let url = format!("{host}/{name}{parameters}");
        migrations::migrate(&url).await?;
        Ok(Self { server: server.to_owned(), name, url })
    }

    /// Runs SQL, for example to fill the database or to vacuum it.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        Ok(connect(&self.url).await?.batch_execute(sql).await?)
    }

    pub(crate) async fn drop_now(self) -> Result<()> {
        Ok(connect(&self.server).await?.batch_execute(&format!("drop database {} with (force)", self.name)).await?)
    }
}
