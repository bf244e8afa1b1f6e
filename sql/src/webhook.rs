//! Deliveries to submitters: take those that are due, and store the results of tries.

use std::time::Duration;

use uuid::Uuid;

use crate::queued::column;
use crate::{Db, Result};

const CLAIM: &str = include_str!("../queries/webhook/claim.sql");
const RESOLVE: &str = include_str!("../queries/webhook/resolve.sql");
const BACKLOG: &str = include_str!("../queries/webhook/backlog.sql");

/// One delivery to be tried now. It has no `Debug`, because it contains the queue's name and URLs with secrets.
#[derive(Clone, sqlx::FromRow)]
pub struct DueWebhook {
    /// Its id on the wire, the same at every try.
    pub id: Uuid,
    /// Which job.
    pub job_id: String,
    /// The queue's name.
    pub queue: String,
    /// The namespace of the submission.
    pub namespace: String,
    /// `queued` or `finished`.
    pub kind: String,
    /// The callback's URL.
    pub url: String,
    /// The URL's host.
    pub host: String,
    /// JSON that the submitter gets back.
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

/// Free capacity for tries in this process.
#[derive(Clone, Copy, Debug)]
pub struct WebhookRoom<'a> {
    /// Tries in progress, by host.
    pub busy: &'a [(String, i32)],
    /// Most tries to one host, including those in progress.
    pub host_max: i32,
    /// Most tries to all hosts, in addition to those in progress.
    pub max: i32,
    /// Hosts up to this one had their turn.
    pub after: &'a str,
}

/// The result of one try.
#[derive(Clone, Debug)]
pub struct WebhookTry {
    /// Which delivery.
    pub id: Uuid,
    /// Which try.
    pub n_attempts: i32,
    /// Why it failed.
    pub error: Option<String>,
    /// The pause that the receiver asked for, instead of the usual one.
    pub pause: Option<Duration>,
    /// Whether the receiver refused further tries.
    pub is_refused: bool,
}

/// A delivery that is over.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct SettledWebhook {
    /// Which.
    pub id: Uuid,
    /// Whether it was given up.
    pub is_given_up: bool,
}

/// What waits in the outbox.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct WebhookBacklog {
    /// Deliveries that are due.
    pub n_due: i64,
    /// Deliveries that failed and wait for their next try.
    pub n_retried: i64,
    /// How long the oldest due one has been due.
    pub oldest_seconds: f64,
}

impl Db {
    /// Takes deliveries that are due. No other process takes them for `lease`.
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

    /// Stores the results of tries; the pause after a failed one doubles from `first` to `most`. Returns the deliveries that are
    /// over.
    pub async fn settle_webhooks(&self, tries: &[WebhookTry], first: Duration, most: Duration) -> Result<Vec<SettledWebhook>> {
        let rows = sqlx::query_as(RESOLVE)
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
