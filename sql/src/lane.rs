//! A pool whose statements run with the settings that their plans need, whatever stands between us and the server.
//!
//! On a connection of our own the settings are made once, when it opens. A pooler in transaction mode gives each transaction
//! another connection, and whatever is left on one meets a stranger there: then each statement runs in a transaction that makes the
//! settings for itself alone and is prepared without a name. That costs three more turns to the pooler a statement.
//!
//! Nothing that decides about durability is ever left on a connection: statements that do not wait for the disk say so themselves.
//!
//! A server that turns out to be read-only is one that was demoted: its connections are dropped, reads too, until a new one may
//! write.

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
use crate::address::Place;

/// What all pools of one process know of their server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it may be, in the order in which places are tried.
    places: Vec<Place>,
    /// Connections at the first place, then at the next, and so on.
    turn: AtomicUsize,
    /// A pooler gives each transaction another connection.
    is_pooled: AtomicBool,
    /// It refused a write: nothing is trusted before a connection may write again.
    is_suspect: AtomicBool,
    /// Connections opened before this many milliseconds after `start` are dropped.
    fence: std::sync::atomic::AtomicU64,
    start: Instant,
}

impl Server {
    pub(crate) fn new(places: Vec<Place>, is_pooled: bool) -> Self {
        Self {
            places,
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

    /// Where to connect now.
    pub(crate) fn place(&self) -> PgConnectOptions {
        self.places[self.turn.load(Ordering::Relaxed) % self.places.len()].options.clone()
    }

    /// Begins with a place that was found to answer.
    pub(crate) fn start_at(&self, place: usize) {
        self.turn.store(place, Ordering::Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_before_the_fence(&self, age: Duration) -> bool {
        let opened = self.millis().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        opened < self.fence.load(Ordering::Relaxed)
    }

    /// No connection that is open now is used again.
    fn raise_fence(&self) {
        self.fence.store(self.millis() + 1, Ordering::Relaxed);
    }

    fn suspect(&self) {
        if !self.is_suspect.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the database takes no writes: it is read-only, as a server that was demoted is; waiting for one that may write"
            );
        }
        self.raise_fence();
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// What a caller is told, who then tries again.
    pub(crate) fn refuse_read_only(&self) -> Error {
        self.suspect();
        Error::Configuration("the server takes no writes".into())
    }

    fn trust(&self) {
        if self.is_suspect.swap(false, Ordering::Relaxed) {
            tracing::info!("the database takes writes again");
        }
    }

    /// A statement that was prepared here is not there: another connection got it.
    fn note_pooler(&self) {
        if !self.is_pooled.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the database is behind a pooler in transaction mode, which was not seen before; each statement has a transaction now"
            );
            self.raise_fence();
        }
    }
}

/// One pool with its settings. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pool: PgPool,
    server: Arc<Server>,
    /// Opens a transaction with the settings in force for it alone.
    begin: Arc<str>,
}

/// What the steps of a statement give.
type Step = Either<PgQueryResult, PgRow>;

impl Lane {
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
            .connect_lazy_with(server.place());
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
            && self.server.places.len() > 1
            && is_away(error)
        {
            self.server.turn.fetch_add(1, Ordering::Relaxed);
            self.pool.set_connect_options(self.server.place());
        }
        let mut connection = acquired?;
        if self.server.is_suspect.load(Ordering::Relaxed) {
            self.pool.set_connect_options(self.server.place());
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
        // It holds the names and values of our own constants.
        let mut transaction = connection.begin_with(AssertSqlSafe(Arc::clone(&self.begin))).await?;
        let steps = (&mut *transaction).fetch_many(Unnamed(query)).try_collect().await?;
        transaction.commit().await?;
        Ok(steps)
    }

    /// Whether a connection may be used again after this refusal.
    fn judge(&self, code: &str, connection: &mut PoolConnection<Postgres>) {
        // 0A000: a plan that was made before a migration. 26000, 42P05: a prepared statement that is not there, or is already.
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

/// Settings of a connection that is ours alone.
async fn set_up(server: Arc<Server>, connection: &mut PgConnection, settings: &'static str) -> Result<(), Error> {
    if !server.is_pooled() {
        sqlx::raw_sql(settings).execute(connection).await?;
    }
    Ok(())
}

/// Whether no connection was to be had there. The code is the dialer's.
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

/// A statement that is prepared without a name: the next transaction is on another connection.
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

impl<'c> Executor<'c> for &'c Lane {
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
