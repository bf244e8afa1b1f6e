//! Deliveries owed to submitters: take those that are due, and note how the tries went.

use std::time::Duration;

use uuid::Uuid;

use crate::queued::column;
use crate::{Db, Result};

const CLAIM: &str = include_str!("../queries/webhook/claim.sql");
const SETTLE: &str = include_str!("../queries/webhook/settle.sql");
const BACKLOG: &str = include_str!("../queries/webhook/backlog.sql");

/// One delivery to be tried now. It has no `Debug`: it holds the queue's name, and URLs have secrets of their own.
#[derive(Clone, sqlx::FromRow)]
pub struct DueWebhook {
    /// Its name on the wire, the same at every try.
    pub id: Uuid,
    /// Which job.
    pub job_id: String,
    /// The queue's name.
    pub queue: String,
    /// Who held the job.
    pub namespace: String,
    /// `queued` or `finished`.
    pub kind: String,
    /// Whom to tell.
    pub url: String,
    /// The URL's host.
    pub host: String,
    /// JSON that the submitter wants back.
    pub payload: Option<String>,
    /// How the job ended.
    pub reason: Option<String>,
    /// Exit code.
    pub status_code: Option<i64>,
    /// Which try this is, from 1.
    pub n_attempts: i32,
    /// Key of the signature.
    pub secret: Option<String>,
}

/// Room for tries in this process.
#[derive(Clone, Copy, Debug)]
pub struct WebhookRoom<'a> {
    /// Tries under way, by host.
    pub busy: &'a [(String, i32)],
    /// Most of one host, those under way included.
    pub host_max: i32,
    /// Most of all hosts, on top of those under way.
    pub max: i32,
    /// Hosts up to this one had their turn.
    pub after: &'a str,
}

/// How one try went.
#[derive(Clone, Debug)]
pub struct WebhookTry {
    /// Which delivery.
    pub id: Uuid,
    /// Which try.
    pub n_attempts: i32,
    /// Why it failed.
    pub error: Option<String>,
    /// How long the receiver asked to be left alone, in the place of the usual pause.
    pub pause: Option<Duration>,
    /// Whether the receiver wants no further try.
    pub is_refused: bool,
}

/// A delivery that is over.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct SettledWebhook {
    /// Which.
    pub id: Uuid,
    /// Whether it was never taken.
    pub is_given_up: bool,
}

/// What waits in the outbox.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct WebhookBacklog {
    /// Deliveries that should be tried now.
    pub n_due: i64,
    /// Deliveries that failed and wait for their next try.
    pub n_retried: i64,
    /// For how long the oldest due one has been due.
    pub oldest_seconds: f64,
}

impl Db {
    /// Takes deliveries that are due. Nobody else takes them for `lease`.
    pub async fn claim_webhooks(&self, room: WebhookRoom<'_>, lease: Duration) -> Result<Vec<DueWebhook>> {
        let rows = sqlx::query_as(CLAIM)
            .bind(column(room.busy, |(host, _)| host.as_str()))
            .bind(column(room.busy, |(_, n)| *n))
            .bind(room.host_max)
            .bind(room.max)
            .bind(room.after)
            .bind(lease.as_secs_f64())
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Notes how tries went; the pause after a failed one doubles from `first` to `most`. Gives the deliveries that are over.
    pub async fn settle_webhooks(&self, tries: &[WebhookTry], first: Duration, most: Duration) -> Result<Vec<SettledWebhook>> {
        let rows = sqlx::query_as(SETTLE)
            .bind(column(tries, |t| t.id))
            .bind(column(tries, |t| t.n_attempts))
            .bind(column(tries, |t| t.error.as_deref()))
            .bind(column(tries, |t| t.pause.map(|pause| pause.as_secs_f64())))
            .bind(column(tries, |t| t.is_refused))
            .bind(first.as_secs_f64())
            .bind(most.as_secs_f64())
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// What waits in the outbox.
    pub async fn webhook_backlog(&self) -> Result<WebhookBacklog> {
        Ok(sqlx::query_as(BACKLOG).fetch_one(&self.pool).await?)
    }
}
