//! Which of an address's servers answers, and whether a pooler in transaction mode stands before it.
//!
//! Two connections are enough to tell: while both are open, a server's processes are of one connection each, but a pooler in
//! transaction mode serves the second with the process that the first has just left, or the first with another one than before.

use std::time::Duration;

use migrations::Address;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Row};

use crate::address::Place;
use crate::{Error, Result, address};

/// Looks at a pooler that others use too: one may come in between.
const LOOKS: usize = 4;

/// What was found.
pub(crate) struct Found {
    pub(crate) places: Vec<Place>,
    /// The one that answers.
    pub(crate) place: usize,
    pub(crate) is_pooled: bool,
}

/// Finds the first place that answers and may be written to; one that may not, when there is no other.
pub(crate) async fn places(address: &Address) -> Result<Found> {
    let places = address::places(address)?;
    if places.len() == 1 {
        return Ok(Found { places, place: 0, is_pooled: false });
    }
    let mut fallback = None;
    for (n, place) in places.iter().enumerate() {
        let Ok(mut connection) = connect(&place.options, address.connect_timeout).await else { continue };
        match ask(&mut connection, "show transaction_read_only").await {
            Ok(read_only) if read_only == "off" => return Ok(Found { place: n, places, is_pooled: false }),
            Ok(_) => fallback = fallback.or(Some(n)),
            Err(_) => {}
        }
    }
    let place = fallback.unwrap_or_default();
    Ok(Found { places, place, is_pooled: false })
}

/// Connects within the time that the address gives.
async fn connect(options: &PgConnectOptions, patience: Option<Duration>) -> sqlx::Result<PgConnection> {
    let connecting = PgConnection::connect_with(options);
    match patience {
        Some(patience) => tokio::time::timeout(patience, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)),
        None => connecting.await,
    }
}

/// The same, and whether a pooler in transaction mode stands before it.
pub(crate) async fn look(address: &Address) -> Result<Found> {
    let mut found = places(address).await?;
    let options = &found.places[found.place].options;
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

/// Whether the first of two open connections lost its process to the second, or got another one.
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
