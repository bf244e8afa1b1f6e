//! A pool whose statements run with the settings that their plans need, with or without a pooler in front of the server.
//!
//! On a direct connection the settings are made once, when it opens. A pooler in transaction mode may give each transaction another
//! connection, and settings that remain on it would affect other clients. So with a pooler each statement runs in a transaction
//! that makes the settings only for itself, and is prepared without a name. This costs three more round trips to the pooler for
//! each statement.
//!
//! Settings about durability never remain on a connection: statements that do not wait for the disk set this themselves.
//!
//! A read-only server counts as demoted: all its connections are dropped, also for reads, until a new connection may write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use sqlx::pool::{PoolConnection, PoolConnectionMetadata};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Connection, Either, Error, Execute, Executor, PgConnection, PgPool, Postgres, Row, SqlStr};

use crate::READ_ONLY;
use crate::address::Endpoint;

/// The state of the server that all pools of one process share.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its possible endpoints, in the order in which they are tried.
    endpoints: Vec<Endpoint>,
    /// Number of the present endpoint. It grows by one for the next endpoint, and wraps around at the end.
    turn: AtomicUsize,
    /// Whether a pooler may give each transaction another connection.
    is_pooled: AtomicBool,
    /// Whether it refused a write: then no connection is used until one may write again.
    is_suspect: AtomicBool,
    /// Connections opened before this many milliseconds after `start` are dropped.
    fence: std::sync::atomic::AtomicU64,
    start: Instant,
}

impl Server {
    pub(crate) fn new(endpoints: Vec<Endpoint>, is_pooled: bool) -> Self {
        Self {
            endpoints,
            turn: AtomicUsize::new(0),
            is_pooled: AtomicBool::new(is_pooled),
            is_suspect: AtomicBool::new(false),
            fence: std::sync::atomic::AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    pub(crate) fn is_pooled(&self) -> bool {
        self.is_pooled.load(Ordering::Relaxed)
    }

    /// The present endpoint.
    pub(crate) fn endpoint(&self) -> PgConnectOptions {
        self.endpoints[self.turn.load(Ordering::Relaxed) % self.endpoints.len()].options.clone()
    }

    /// Begins with an endpoint that was found to answer.
    pub(crate) fn start_at(&self, endpoint: usize) {
        self.turn.store(endpoint, Ordering::Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_before_the_fence(&self, age: Duration) -> bool {
        let opened = self.millis().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        opened < self.fence.load(Ordering::Relaxed)
    }

    /// Makes sure that no connection that is open now is used again.
    fn raise_fence(&self) {
        self.fence.store(self.millis() + 1, Ordering::Relaxed);
    }

    fn suspect(&self) {
        if !self.is_suspect.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the database does not accept writes: it is read-only, like a demoted server; waiting for a server that accepts writes"
            );
        }
        self.raise_fence();
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// The error for a caller, who then tries again.
    pub(crate) fn refuse_read_only(&self) -> Error {
        self.suspect();
        Error::Configuration("the server does not accept writes".into())
    }

    fn trust(&self) {
        if self.is_suspect.swap(false, Ordering::Relaxed) {
            tracing::info!("the database accepts writes again");
        }
    }

    /// Called when a prepared statement is missing or exists already: a pooler has used another connection.
    fn note_pooler(&self) {
        if !self.is_pooled.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the database is behind a pooler in transaction mode, which was not detected before; from now on each statement gets its own transaction"
            );
            self.raise_fence();
        }
    }
}

/// One pool with its settings. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TunedPool {
    pool: PgPool,
    server: Arc<Server>,
    /// The statements that open a transaction with settings for this transaction only.
    begin: Arc<str>,
}

/// One part of a statement's result: a row, or the end of a step.
type Step = Either<PgQueryResult, PgRow>;

impl TunedPool {
    /// `settings` are statements `set name = value`, separated by semicolons.
    pub(crate) fn new(server: &Arc<Server>, max: u32, wait: Duration, settings: &'static str) -> Self {
        let (opened, kept) = (Arc::clone(server), Arc::clone(server));
        let pool = PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(wait)
            .idle_timeout(Duration::from_mins(5))
            .after_connect(move |connection, _| set_up(Arc::clone(&opened), connection, settings).boxed())
            .before_acquire(move |_, metadata: PoolConnectionMetadata| {
                std::future::ready(Ok(!kept.is_before_the_fence(metadata.age))).boxed()
            })
            .connect_lazy_with(server.endpoint());
        let begin = format!("begin; {}", settings.replace("set ", "set local ")).into();
        Self { pool, server: Arc::clone(server), begin }
    }

    /// The pool itself, for statements that manage their own transactions.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        let acquired = self.pool.acquire().await;
        if let Err(error) = &acquired
            && self.server.endpoints.len() > 1
            && is_away(error)
        {
            self.server.turn.fetch_add(1, Ordering::Relaxed);
            self.pool.set_connect_options(self.server.endpoint());
        }
        let mut connection = acquired?;
        if self.server.is_suspect.load(Ordering::Relaxed) {
            self.pool.set_connect_options(self.server.endpoint());
            if !may_write(&mut connection).await? {
                connection.close_on_drop();
                return Err(self.server.refuse_read_only());
            }
            self.server.trust();
        }
        Ok(connection)
    }

    async fn run<'q, E: Execute<'q, Postgres> + 'q>(&self, query: E) -> Result<Vec<Step>, Error> {
        let mut connection = self.acquire().await?;
        let outcome = if self.server.is_pooled() {
            self.run_in_transaction(&mut connection, query).await
        } else {
            connection.fetch_many(query).try_collect().await
        };
        if let Err(Error::Database(refused)) = &outcome {
            self.judge(refused.code().as_deref().unwrap_or_default(), &mut connection);
        }
        outcome
    }

    async fn run_in_transaction<'q, E>(&self, connection: &mut PgConnection, query: E) -> Result<Vec<Step>, Error>
    where
        E: Execute<'q, Postgres> + 'q,
    {
        // The text contains only our own constants.
        let mut transaction = connection.begin_with(AssertSqlSafe(Arc::clone(&self.begin))).await?;
        let steps = (&mut *transaction).fetch_many(Unnamed(query)).try_collect().await?;
        transaction.commit().await?;
        Ok(steps)
    }

    /// Closes the connection if it must not be used again after this refusal.
    fn judge(&self, code: &str, connection: &mut PoolConnection<Postgres>) {
        // 0A000: a plan from before a migration. 26000, 42P05: a prepared statement that does not exist, or exists already.
        match code {
            READ_ONLY => self.server.suspect(),
            "26000" | "42P05" => self.server.note_pooler(),
            "0A000" => {}
            _ if code.starts_with("57P") || code.starts_with("08") => {}
            _ => return,
        }
        connection.close_on_drop();
    }
}

/// Makes the settings of a direct connection.
async fn set_up(server: Arc<Server>, connection: &mut PgConnection, settings: &'static str) -> Result<(), Error> {
    if !server.is_pooled() {
        sqlx::raw_sql(settings).execute(connection).await?;
    }
    Ok(())
}

/// Whether no connection could be opened. The dialer reports this with one of these codes.
fn is_away(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::PoolTimedOut => true,
        Error::Database(refused) => matches!(refused.code().as_deref(), Some("08001" | "57P03")),
        _ => false,
    }
}

async fn may_write(connection: &mut PgConnection) -> Result<bool, Error> {
    let row = sqlx::raw_sql("show transaction_read_only").fetch_one(connection).await?;
    Ok(row.try_get::<String, _>(0)? == "off")
}

/// A statement that is prepared without a name, because the next transaction may be on another connection.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<<Postgres as sqlx::Database>::Arguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

impl<'c> Executor<'c> for &'c TunedPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = self.run(query);
        stream::once(rows).map_ok(|steps| stream::iter(steps.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.run(query).map(|steps| Ok(steps?.into_iter().find_map(Either::right))).boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        (&self.pool).prepare_with(sql, parameters)
    }
}
