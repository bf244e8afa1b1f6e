//! Hands `asman.maintain()` to `pg_cron` where the server has it.

use tokio_postgres::Client;

/// Name of the scheduled job.
const JOB: &str = "asman-maintain";

/// Schedules maintenance every five minutes where `pg_cron` is loaded and may be used; says so, and never fails: without it the
/// API does the same work.
pub(crate) async fn schedule_maintenance(client: &Client) {
    match try_schedule(client).await {
        Ok(true) => tracing::info!("pg_cron runs asman.maintain() every five minutes"),
        Ok(false) => tracing::debug!("pg_cron is not here; the API runs asman.maintain()"),
        Err(error) => {
            let cause = crate::chain(&error);
            tracing::warn!(cause, "pg_cron is here but cannot be used; the API runs asman.maintain()");
        }
    }
}

async fn try_schedule(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let loaded = "select current_setting('cron.database_name', true) = current_database() as here, \
                  exists (select from pg_extension where extname = 'pg_cron') as made";
    let row = client.query_one(loaded, &[]).await?;
    if row.get::<_, Option<bool>>("here") != Some(true) {
        return Ok(false);
    }
    if !row.get::<_, bool>("made") {
        client.batch_execute("create extension pg_cron").await?;
    }
    client.execute("select cron.schedule($1, '*/5 * * * *', 'call asman.maintain()')", &[&JOB]).await?;
    Ok(true)
}
