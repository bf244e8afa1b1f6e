//! The pools, and the statements about the database itself.

use std::str::FromStr;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use crate::{Error, Result};

const READY: &str = include_str!("../queries/database/ready.sql");
const NOTIFY: &str = include_str!("../queries/database/notify.sql");
const MAINTAIN: &str = include_str!("../queries/database/maintain.sql");

/// Newest migration that the statements here rely on.
const SCHEMA_VERSION: i32 = 4;

/// Channel of all notifications.
const CHANNEL: &str = "asman";

/// Claims are short and ordered by their index; with statistics that say "two rows a queue" the planner would read and sort the
/// whole queue instead (measured: 176 ms against 0.19 ms on 200,000 waiting jobs). Arrays would be planned anew at each call.
const CLAIM_SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; set enable_sort = off; \
    set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off";

/// A crash of the server may forget the last moments of a log and of the hints, never a state.
const RELAXED_SETTINGS: &str =
    "set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; set synchronous_commit = off";

/// Statements take arrays, which would be planned anew at each call. A plan outlives the moment when its tables were small, so none
/// is to read a whole one: `README.md` tells what else that takes.
const COMMON_SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; \
    set idle_in_transaction_session_timeout = '10s'; set statement_timeout = '60s'";

/// What the connection of a statement was told, by the statement's path below `queries/`: what tests need to see its true plan.
pub fn settings_of(path: &str) -> &'static str {
    match path {
        "queued/claim.sql" | "item/claim.sql" | "item/peek.sql" => CLAIM_SETTINGS,
        "log_chunk/append.sql" | "log_chunk/next_seq.sql" | "log_chunk/has_run.sql" | "database/notify.sql" => RELAXED_SETTINGS,
        _ => COMMON_SETTINGS,
    }
}

/// How to reach PostgreSQL.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most connections for ordinary statements.
    pub connections_max: u32,
    /// Longest wait for a free connection.
    pub acquire_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { connections_max: 12, acquire_timeout: Duration::from_secs(5) }
    }
}

/// PostgreSQL as the product sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    /// Everything that has no reason to be elsewhere.
    pub(crate) pool: PgPool,
    /// Claims alone: their planner settings would hurt other statements. Two, because two statements may be in flight.
    pub(crate) claims: PgPool,
    /// Log chunks and notifications: `synchronous_commit=off`.
    pub(crate) relaxed: PgPool,
}

fn pool(options: PgConnectOptions, max: u32, wait: Duration, settings: &'static str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(max)
        .acquire_timeout(wait)
        .idle_timeout(Duration::from_mins(5))
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(settings).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

impl Db {
    /// Makes the pools. Connects at the first statement, so that a database that comes up later is no error here.
    pub fn new(database_url: &str, settings: &Settings) -> Result<Self> {
        let options = PgConnectOptions::from_str(database_url)?.application_name("asman");
        let wait = settings.acquire_timeout;
        Ok(Self {
            pool: pool(options.clone(), settings.connections_max, wait, COMMON_SETTINGS),
            claims: pool(options.clone(), 2, wait, CLAIM_SETTINGS),
            relaxed: pool(options, 4, wait, RELAXED_SETTINGS),
        })
    }

    /// Whether the database answers and has the schema that this program needs.
    pub async fn check_ready(&self) -> Result<()> {
        let found = match sqlx::query_scalar::<_, Option<i32>>(READY).fetch_one(&self.pool).await {
            Ok(version) => version,
            // 42P01: the table of migrations is not there.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => None,
            Err(error) => return Err(error.into()),
        };
        match found {
            Some(version) if version >= SCHEMA_VERSION => Ok(()),
            _ => Err(Error::Schema { found, needed: SCHEMA_VERSION }),
        }
    }

    /// Sends hints to every API process. Losing one costs latency only.
    pub async fn notify(&self, payloads: &[String]) -> Result<()> {
        sqlx::query(NOTIFY).bind(payloads).execute(&self.relaxed).await?;
        Ok(())
    }

    /// Runs `asman.maintain()`.
    pub async fn maintain(&self) -> Result<()> {
        sqlx::raw_sql(MAINTAIN).execute(&self.pool).await?;
        Ok(())
    }

    /// A connection of its own that listens for hints. `listen_url` is a direct connection where `DATABASE_URL` is pooled.
    pub async fn listen(listen_url: &str) -> Result<PgListener> {
        let mut listener = PgListener::connect(listen_url).await?;
        // A lost connection is reported, so that the hub can read everything anew, and not papered over.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    /// How long it took to get a connection of the ordinary pool.
    pub async fn wait_for_connection(&self) -> Result<Duration> {
        let start = std::time::Instant::now();
        drop(self.pool.acquire().await?);
        Ok(start.elapsed())
    }

    /// Connections of the ordinary pool: (open, idle).
    pub fn pool_size(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    /// Closes every connection, after the statements under way.
    pub async fn close(&self) {
        self.pool.close().await;
        self.claims.close().await;
        self.relaxed.close().await;
    }
}
