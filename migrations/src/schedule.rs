//! Schedules `asman.maintain()` with `pg_cron` if the database has it.

use tokio_postgres::{Client, SimpleQueryMessage};

/// Schedules maintenance every five minutes if `pg_cron` is in this database and may be used, and logs it. It never fails,
/// because the API does the same work in any case.
///
/// The extension is not created here. Its tables have row security, with which only a superuser can run `pg_dump`, so an operator
/// must decide to install it.
pub(crate) async fn schedule_maintenance(client: &Client) {
    match try_schedule(client).await {
        Ok(Some(Run::Failed(why))) => {
            tracing::warn!(why, "pg_cron cannot run asman.maintain(): its last run failed; the API runs it");
        }
        Ok(Some(Run::Succeeded)) => tracing::info!("pg_cron runs asman.maintain() every five minutes, and so does the API"),
        Ok(Some(Run::None)) => tracing::info!(
            "pg_cron is asked to run asman.maintain() every five minutes; `asman db status` says whether it can. The API runs it too"
        ),
        Ok(None) => tracing::debug!("this database does not have pg_cron; the API runs asman.maintain()"),
        Err(error) => {
            let cause = crate::chain(&error);
            tracing::warn!(cause, "this database has pg_cron, but this user may not use it; the API runs asman.maintain()");
        }
    }
}

/// The result of our last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// There was no run yet.
    None,
    /// It succeeded.
    Succeeded,
    /// It failed, with this message.
    Failed(String),
}

async fn try_schedule(client: &Client) -> Result<Option<Run>, tokio_postgres::Error> {
    if is_here(client).await? {
        client.batch_execute("select cron.schedule('asman-maintain', '*/5 * * * *', 'call asman.maintain()')").await?;
    }
    last_run(client).await
}

async fn is_here(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let made = client.simple_query("select 'yes' where exists (select from pg_extension where extname = 'pg_cron')").await?;
    Ok(crate::first_column(&made).next().is_some())
}

/// The result of the last run by `pg_cron`; none if the database does not have it.
pub(crate) async fn last_run(client: &Client) -> Result<Option<Run>, tokio_postgres::Error> {
    if !is_here(client).await? {
        return Ok(None);
    }
    let messages = client.simple_query("select is_done, message from asman.cron_run()").await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0)? == "t", row.get(1).unwrap_or_default().to_owned())),
        _ => None,
    });
    Ok(Some(match row {
        None => Run::None,
        Some((true, _)) => Run::Succeeded,
        Some((false, why)) => Run::Failed(why),
    }))
}
