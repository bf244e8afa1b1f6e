//! `asman db`: migrates, shows the status, runs maintenance, and runs the private Postgres alone.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::data::DataArgs;
use crate::failure::Failure;
use crate::lock::Lock;
use crate::postgres::Server;
use crate::say;
use crate::signals::Signals;

/// Verbs of `asman db`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Bring the database to the schema of this program. Safe to run again, and at the same time.
    Migrate(UrlArgs),
    /// List the migrations and when each was applied.
    Status(UrlArgs),
    /// Run this once after you restored a dump, or recovered the server to a point in time. It updates the schema and makes sure
    /// that no epoch is issued twice, so that workers with claims from before the restore cannot end later claims of others.
    AfterRestore(UrlArgs),
    /// Create and drop partitions, delete expired data. The API and `pg_cron` also do this by themselves.
    Maintain(UrlArgs),
    /// Run only the private Postgres of `asman up`, and print its URL: for psql, `pg_dump` or an API that you start yourself.
    #[command(after_help = "Example:\n  asman db run &   # prints postgres://…\n  psql 'postgres://…' -c 'select 1'")]
    Run(DataArgs),
}

/// Which database.
#[derive(Debug, clap::Args)]
pub(crate) struct UrlArgs {
    /// URL of the database, such as `postgres://user@host/asman`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,
}

/// Runs one command.
pub(crate) async fn run(command: Command, global: &Global) -> Result<(), Failure> {
    match command {
        Command::Migrate(args) => print_applied(&migrate(&args.database_url).await?, global.json),
        Command::Status(args) => status(&args.database_url, global.json).await?,
        Command::AfterRestore(args) => {
            migrations::after_restore(&args.database_url).await.map_err(|error| failure(&error))?;
            say::note("The restored database is up to date, and its epochs continue from a number that was never issued");
        }
        Command::Maintain(args) => {
            migrations::maintain(&args.database_url).await.map_err(|error| failure(&error))?;
            say::note("Maintained");
        }
        Command::Run(args) => serve(&args, global.json).await?,
    }
    Ok(())
}

/// Applies the missing migrations and prints their names.
pub(crate) async fn migrate(url: &str) -> Result<Vec<String>, Failure> {
    migrations::migrate(url).await.map_err(|error| failure(&error))
}

fn failure(error: &migrations::Error) -> Failure {
    Failure::Failed(error.to_string())
}

fn print_applied(applied: &[String], is_json: bool) {
    if is_json {
        return say::json(&json!({ "applied": applied }));
    }
    match applied {
        [] => say::note("The database is up to date"),
        names => names.iter().for_each(|name| say::result(name)),
    }
}

async fn status(url: &str, is_json: bool) -> Result<(), Failure> {
    let rows = migrations::status(url).await.map_err(|error| failure(&error))?;
    if is_json {
        let row =
            |row: &migrations::MigrationStatus| json!({"version": row.version, "name": row.name, "appliedOn": row.applied_on});
        say::json(&rows.iter().map(row).collect::<Vec<_>>());
        return Ok(());
    }
    for row in rows {
        say::result(&format!("V{:03}  {:<30}  {}", row.version, row.name, row.applied_on.as_deref().unwrap_or("not applied")));
    }
    // Before the first migration this fails, and nothing is printed.
    match migrations::cron_run(url).await {
        Ok(Some(migrations::CronRun::Failed(why))) => {
            say::note(&format!("pg_cron cannot run maintenance, so only the API does: {why}"));
        }
        Ok(Some(migrations::CronRun::Succeeded)) => say::note("pg_cron runs maintenance, and so does the API"),
        Ok(Some(migrations::CronRun::None)) => say::note("pg_cron has not run maintenance yet; the API runs it"),
        Ok(None) | Err(_) => {}
    }
    Ok(())
}

async fn serve(args: &DataArgs, is_json: bool) -> Result<(), Failure> {
    let signals = Signals::listen()?;
    let data = args.create()?;
    let _lock = Lock::take(&data)?;
    let mut server = Server::start(&data).await?;
    if is_json {
        say::json(&json!({ "databaseUrl": server.url() }));
    } else {
        say::result(server.url());
    }
    tokio::select! {
        failure = server.ended() => Err(failure),
        () = signals.first.cancelled() => stop(server, &signals.second).await,
    }
}

async fn stop(server: Server, hurry: &CancellationToken) -> Result<(), Failure> {
    say::note("Stopping PostgreSQL");
    server.stop(hurry).await
}
