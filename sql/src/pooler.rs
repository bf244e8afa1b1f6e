//! Finds the server of an address that answers, and whether a pooler in transaction mode is in front of it.
//!
//! Two connections are enough to detect this: on a server each open connection has its own process, but a pooler in transaction
//! mode serves the second connection with the process that the first has just left, or gives the first one another process.

use std::time::Duration;

use migrations::Address;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Row};

use crate::address::Endpoint;
use crate::{Error, Result, address};

/// How often the check for a pooler is repeated: other clients may hide a pooler from one check.
const LOOKS: usize = 4;

/// What was found.
pub(crate) struct Found {
    pub(crate) endpoints: Vec<Endpoint>,
    /// The one that answers.
    pub(crate) endpoint: usize,
    pub(crate) is_pooled: bool,
}

/// Finds the first endpoint that answers and accepts writes; otherwise one that only answers.
pub(crate) async fn endpoints(address: &Address) -> Result<Found> {
    let endpoints = address::endpoints(address)?;
    if endpoints.len() == 1 {
        return Ok(Found { endpoints, endpoint: 0, is_pooled: false });
    }
    let mut fallback = None;
    for (n, endpoint) in endpoints.iter().enumerate() {
        let Ok(mut connection) = connect(&endpoint.options, address.connect_timeout).await else { continue };
        match ask(&mut connection, "show transaction_read_only").await {
            Ok(read_only) if read_only == "off" => return Ok(Found { endpoint: n, endpoints, is_pooled: false }),
            Ok(_) => fallback = fallback.or(Some(n)),
            Err(_) => {}
        }
    }
    let endpoint = fallback.unwrap_or_default();
    Ok(Found { endpoints, endpoint, is_pooled: false })
}

/// Connects within the address's timeout.
async fn connect(options: &PgConnectOptions, timeout: Option<Duration>) -> sqlx::Result<PgConnection> {
    let connecting = PgConnection::connect_with(options);
    match timeout {
        Some(timeout) => tokio::time::timeout(timeout, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)),
        None => connecting.await,
    }
}

/// Finds an endpoint as `endpoints` does, and whether a pooler in transaction mode is in front of it.
pub(crate) async fn look(address: &Address) -> Result<Found> {
    let mut found = endpoints(address).await?;
    let options = &found.endpoints[found.endpoint].options;
    let mut first = connect(options, address.connect_timeout).await?;
    let mut second = connect(options, address.connect_timeout).await?;
    for _ in 0..LOOKS {
        if share_a_process(&mut first, &mut second).await? {
            found.is_pooled = true;
            break;
        }
    }
    let _ = tokio::join!(first.close(), second.close());
    Ok(found)
}

/// Whether the first of two open connections lost its process to the second, or got another process.
async fn share_a_process(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool> {
    const PROCESS: &str = "select pg_backend_pid()::text";
    let of_first = ask(first, PROCESS).await?;
    sqlx::raw_sql("begin").execute(&mut *second).await.map_err(of_begin)?;
    let of_second = ask(second, PROCESS).await;
    let again = ask(first, PROCESS).await;
    sqlx::raw_sql("rollback").execute(second).await?;
    let of_second = of_second.map_err(of_begin_error)?;
    Ok(of_second == of_first || again? != of_first)
}

/// A pooler in statement mode refuses to begin a transaction.
fn of_begin(error: sqlx::Error) -> Error {
    if error.to_string().contains("statement pooling") { Error::StatementPooler } else { error.into() }
}

fn of_begin_error(error: Error) -> Error {
    if error.to_string().contains("statement pooling") { Error::StatementPooler } else { error }
}

async fn ask(connection: &mut PgConnection, question: &'static str) -> Result<String> {
    Ok(sqlx::raw_sql(question).fetch_one(connection).await?.try_get(0)?)
}
