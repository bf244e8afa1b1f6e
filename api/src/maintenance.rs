//! Periodic work, done by the first process that gets to it: ending the claims of silent workers, ending jobs whose namespace has
//! a newer job, and expiry.
//!
//! Every process tries; an advisory lock in the database lets one of them work and the others skip. `pg_cron` may do the
//! expiry too, but not the ending of claims.

use std::sync::Arc;
use std::time::Duration;

use protocol::limits;
use tokio::time::Instant;

use crate::app::App;
use crate::hint::Kinds;

/// How often `asman.maintain()` and the clean-up of files run.
const MAINTAIN: Duration = Duration::from_mins(5);
/// How often the process's internal queues are measured.
const MEASURE: Duration = Duration::from_secs(10);
/// A transaction that is open for this long is named in the log.
const OLD_TRANSACTION: Duration = Duration::from_secs(30);
/// How often this process looks for superseded holds without a hint.
const SUPERSEDE: Duration = Duration::from_secs(1);
/// Files of `/f` are kept as long as results are.
const KEEP_BLOBS: Duration = Duration::from_hours(28 * 24);

/// Sweeps until dropped, six times a lease, so that a lost worker is noticed soon after its lease has ended.
///
/// While this process or the database was down, heartbeats could not arrive. So the first sweep runs only after the database has
/// been reachable for a whole lease: live workers have sent a heartbeat by then.
pub(crate) async fn sweep(app: Arc<App>) {
    let lease = app.config.lease.0;
    let mut tick = tokio::time::interval((lease / 6).max(Duration::from_millis(100)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut reached_since = Instant::now();
    loop {
        tick.tick().await;
        if reached_since.elapsed() < lease {
            if app.db.check_ready().await.is_err() {
                reached_since = Instant::now();
            }
            continue;
        }
        match app.db.sweep(lease, limits::LOST_WORKERS_MAX).await {
            Ok(swept) => {
                for row in &swept {
                    app.hint(row.qid, Kinds::STATES | Kinds::CLAIMABLE | Kinds::WORKERS);
                }
                if !swept.is_empty() {
                    metrics::counter!("asman_leases_lost_total").increment(swept.len() as u64);
                    tracing::info!(n_jobs = swept.len(), "ended the claims of workers that stopped answering");
                }
            }
            Err(error) => {
                reached_since = Instant::now();
                metrics::counter!("asman_sweep_failures_total").increment(1);
                tracing::debug!(%error, "the sweep failed; it is tried again soon");
            }
        }
    }
}

/// Ends superseded holds until dropped. A hold that is due at once ends without delay, because the process that accepted the
/// newer job wakes this task. Any process ends a hold with a grace period, at most [`SUPERSEDE`] after it is due.
pub(crate) async fn supersede(app: Arc<App>) {
    let mut tick = tokio::time::interval(SUPERSEDE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.superseded.notified() => {}
            _ = tick.tick() => {}
        }
        loop {
            match app.db.supersede().await {
                Ok(Some(row)) if row.is_change() => app.hint(row.qid, Kinds::STATES),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "superseded holds were not ended; it is tried again soon");
                    break;
                }
            }
        }
    }
}

/// Runs the maintenance until dropped.
pub(crate) async fn maintain(app: Arc<App>) {
    let mut tick = tokio::time::interval(MAINTAIN);
    loop {
        tick.tick().await;
        if let Err(error) = app.db.maintain().await {
            metrics::counter!("asman_maintenance_failures_total").increment(1);
            tracing::warn!(%error, "maintenance failed; it is tried again in five minutes");
        }
        if let Err(error) = app.db.tidy_idle_classes().await {
            tracing::warn!(%error, "classes of waiting jobs were not tidied up; it is tried again in five minutes");
        }
        if let Err(error) = app.blobs.expire(KEEP_BLOBS).await {
            tracing::warn!(%error, "expired files were not all removed");
        }
    }
}

/// Measures what waits inside this process, until dropped.
pub(crate) async fn measure(app: Arc<App>) {
    let mut tick = tokio::time::interval(MEASURE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut oldest = Oldest::default();
    loop {
        tick.tick().await;
        app.measure();
        if let Ok(holder) = app.db.oldest_writer().await {
            oldest.note(holder);
        }
        if let Ok(waited) = app.db.wait_for_connection().await {
            metrics::histogram!("asman_database_wait_seconds").record(waited.as_secs_f64());
        }
    }
}

/// The oldest writing transaction, as long as it stays the same.
#[derive(Debug, Default)]
struct Oldest {
    seen: Option<(i32, Instant)>,
    is_said: bool,
}

impl Oldest {
    /// Measures it, and names it once in the log when it is old, so that an operator can see why events are delayed.
    fn note(&mut self, holder: Option<sql::OldestWriter>) {
        let pid = holder.map_or(0, |holder| holder.pid);
        let since = match (holder, self.seen) {
            (Some(_), Some((seen, since))) if seen == pid => Some(since),
            (Some(_), _) => Some(Instant::now()),
            (None, _) => None,
        };
        if self.seen.map(|(seen, _)| seen) != since.map(|_| pid) {
            self.is_said = false;
        }
        self.seen = since.map(|since| (pid, since));
        let seen_for = since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        let age = holder.and_then(|holder| holder.age_seconds).unwrap_or(seen_for).max(0.0);
        metrics::gauge!("asman_oldest_transaction_seconds").set(age);
        metrics::gauge!("asman_oldest_transaction_pid").set(f64::from(pid));
        if age >= OLD_TRANSACTION.as_secs_f64() && !self.is_said {
            self.is_said = true;
            let age_seconds = age.round();
            tracing::warn!(
                pid,
                age_seconds,
                "a transaction stays open and delays events; find its owner in pg_stat_activity and end it"
            );
        }
    }
}
