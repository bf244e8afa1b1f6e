//! The pools, and the statements about the database itself.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use migrations::Address;
use sqlx::postgres::{PgListener, PgPoolOptions};

use crate::tuned_pool::{Server, TunedPool};
use crate::{Error, Result, address, pooler};

const READY: &str = include_str!("../queries/database/ready.sql");
const TEXT: &str = include_str!("../queries/database/text.sql");
const NOTIFY: &str = include_str!("../queries/database/notify.sql");
const MAINTAIN: &str = include_str!("../queries/database/maintain.sql");

/// Hash of the procedures and views that the statements here rely on.
static OWN_TEXT: LazyLock<String> = LazyLock::new(migrations::text_hash);

/// Channel of all notifications.
const CHANNEL: &str = "asman";

/// Claims are short and ordered by their index; with statistics that say "two rows a queue" the planner would read and sort the
/// whole queue instead (measured: 176 ms against 0.19 ms on 200,000 waiting jobs). Without the setting, statements with arrays
/// would be planned again at each call.
const CLAIM_SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; set enable_sort = off; \
    set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off";

/// Statements take arrays, and would be planned again at each call. A plan may be older than the growth of its tables, so no plan
/// may read a whole table: `docs/sql-internals.md` says what else this needs.
const COMMON_SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; \
    set idle_in_transaction_session_timeout = '10s'; set statement_timeout = '60s'";

/// The settings of a statement's connection, by the statement's path below `queries/`: tests need them to see its real plan.
pub fn settings_of(path: &str) -> &'static str {
    match path {
        "queued/claim.sql" | "item/claim.sql" | "item/peek.sql" => CLAIM_SETTINGS,
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
    /// The pool of ordinary statements.
    pub(crate) pool: TunedPool,
    /// The pool of claims: their planner settings would slow down other statements. It has two connections, because two claims
    /// may run at once.
    pub(crate) claims: TunedPool,
    /// The pool of log chunks and notifications, so that they do not wait behind the rest.
    pub(crate) relaxed: TunedPool,
    server: Arc<Server>,
}

impl Db {
    /// Creates the pools. They connect at the first statement, so a database that starts later is not an error here. This function
    /// does not detect a pooler in transaction mode: [`Db::open`] does.
    pub fn new(database_url: &str, settings: &Settings) -> Result<Self> {
        let address = Address::read(database_url)?;
        Ok(Self::over(Arc::new(Server::new(address::endpoints(&address)?, false)), settings, &address))
    }

    /// Connects, detects a pooler in transaction mode, and creates matching pools.
    pub async fn open(database_url: &str, settings: &Settings) -> Result<Self> {
        let address = Address::read(database_url)?;
        let found = pooler::look(&address).await?;
        if found.is_pooled {
            tracing::info!("the database is behind a pooler in transaction mode: each statement gets its own transaction");
        }
        let server = Server::new(found.endpoints, found.is_pooled);
        server.start_at(found.endpoint);
        Ok(Self::over(Arc::new(server), settings, &address))
    }

    fn over(server: Arc<Server>, settings: &Settings, address: &Address) -> Self {
        let wait = address.connect_timeout.unwrap_or(settings.acquire_timeout);
        Self {
            pool: TunedPool::new(&server, settings.connections_max, wait, COMMON_SETTINGS),
            claims: TunedPool::new(&server, 2, wait, CLAIM_SETTINGS),
            relaxed: TunedPool::new(&server, 4, wait, COMMON_SETTINGS),
            server,
        }
    }

    /// Whether the server is behind a pooler in transaction mode.
    pub fn is_pooled(&self) -> bool {
        self.server.is_pooled()
    }

    /// Checks that the database answers and that its schema is the one that this program was built with, or a newer one with which
    /// this program still works.
    pub async fn check_ready(&self) -> Result<()> {
        let needed = migrations::version();
        let found = match sqlx::query_as::<_, (Option<i32>, bool)>(READY).fetch_one(&self.pool).await {
            Ok((_, true)) => return Err(self.server.refuse_read_only().into()),
            Ok((version, false)) => version,
            // 42P01: the table of migrations does not exist.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => None,
            Err(error) => return Err(error.into()),
        };
        let Some(version) = found.filter(|version| *version >= needed) else { return Err(Error::Schema { found, needed }) };
        let is_fitting: bool = sqlx::query_scalar(TEXT).bind(&*OWN_TEXT).fetch_one(&self.pool).await?;
        match is_fitting {
            true => Ok(()),
            false if version > needed => Err(Error::Newer { found: version, known: needed }),
            false => Err(Error::Procedures),
        }
    }

    /// Sends hints to every API process. A lost hint costs only latency.
    pub async fn notify(&self, payloads: &[String]) -> Result<()> {
        sqlx::query(NOTIFY).bind(payloads).execute(&self.relaxed).await?;
        Ok(())
    }

    /// Runs `asman.maintain()`, which has transactions of its own.
    pub async fn maintain(&self) -> Result<()> {
        sqlx::raw_sql(MAINTAIN).execute(self.pool.pool()).await?;
        Ok(())
    }

    /// Opens a separate connection that listens for hints. `listen_url` is a direct connection if `DATABASE_URL` is a pooler. The
    /// caller must check whether notifications arrive: poolers accept LISTEN silently.
    pub async fn listen(listen_url: &str) -> Result<PgListener> {
        let found = pooler::endpoints(&Address::read(listen_url)?).await?;
        let options = found.endpoints[found.endpoint].options.clone();
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None).connect_with(options).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // A lost connection is reported, so that the hub can read everything again, instead of being reopened silently.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }

    /// How long it took to get a connection of the ordinary pool.
    pub async fn wait_for_connection(&self) -> Result<Duration> {
        let start = std::time::Instant::now();
        drop(self.pool.pool().acquire().await?);
        Ok(start.elapsed())
    }

    /// Connections of the ordinary pool: (open, idle).
    pub fn pool_size(&self) -> (u32, usize) {
        (self.pool.pool().size(), self.pool.pool().num_idle())
    }

    /// Closes every connection after its running statement.
    pub async fn close(&self) {
        self.pool.pool().close().await;
        self.claims.pool().close().await;
        self.relaxed.pool().close().await;
    }
}
