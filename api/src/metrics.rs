//! The process's metrics. Names follow Prometheus conventions; no label ever names a queue. `docs/operations.md` shows the table.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Buckets of every duration, in seconds: from a claim by an idle worker to a long poll.
const SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

const COUNTERS: [(&str, &str); 21] = [
    ("asman_jobs_submitted_total", "Submissions accepted."),
    ("asman_jobs_claimed_total", "Jobs given to workers."),
    ("asman_jobs_finished_total", "Jobs that their workers finished."),
    ("asman_leases_lost_total", "Jobs taken back from workers that stopped answering."),
    ("asman_claims_lost_on_the_way_total", "Claims undone because their answer did not reach the worker."),
    ("asman_stale_writes_total", "Writes of workers refused because they had lost the claim."),
    ("asman_listen_gaps_total", "Times that the listening connection was lost or could not be opened."),
    ("asman_notifications_sent_total", "Notifications sent to the other processes."),
    ("asman_notifications_failed_total", "Notifications that could not be sent; polling replaces them."),
    ("asman_notifications_received_total", "Notifications from other processes."),
    ("asman_feed_failures_total", "Changes that were not sent to sockets; the next snapshot shows them."),
    ("asman_socket_lags_total", "Sockets that fell behind and got a snapshot instead."),
    ("asman_socket_messages_ignored_total", "Socket messages that were not understood."),
    ("asman_socket_messages_refused_total", "Socket messages that broke a rule."),
    ("asman_webhook_tries_total", "Attempts to deliver a webhook, by outcome: delivered, failed, forbidden, given_up."),
    ("asman_http_requests_total", "Requests answered, by method, route and status."),
    ("asman_maintenance_failures_total", "Runs of maintenance that failed."),
    ("asman_sweep_failures_total", "Sweeps of silent workers that failed."),
    ("asman_claim_statements_failed_total", "Claim statements that failed."),
    ("asman_requests_without_right_total", "Requests refused because their token is missing or wrong."),
    ("asman_limited_total", "Refused requests, messages and sockets, with the limit as a label."),
];

const GAUGES: [(&str, &str); 13] = [
    ("asman_client_sockets", "Open client sockets."),
    ("asman_watched_queues", "Queues that a socket, an event stream or a long poll watches."),
    ("asman_database_connections", "Connections of the main pool."),
    ("asman_database_connections_idle", "Free connections of the main pool."),
    ("asman_batch_waiting", "Items that wait for the next statement, by batch: submits, finishes."),
    ("asman_claims_waiting", "Claims of workers that wait for a job."),
    ("asman_notifications_pending", "Changed queues that other processes do not know about yet."),
    ("asman_webhooks_due", "Webhooks that are due, in the database: the same for every process."),
    ("asman_webhooks_retried", "Webhooks that failed and wait for their next attempt, in the database."),
    ("asman_webhooks_oldest_due_seconds", "Time since the oldest due webhook became due."),
    ("asman_webhooks_in_flight", "Attempts to deliver a webhook in progress."),
    (
        "asman_oldest_transaction_seconds",
        "Age of the oldest writing transaction of the cluster: events after its start are not settled.",
    ),
    (
        "asman_oldest_transaction_pid",
        "Database process of the oldest writing transaction; 0 if there is none, and for a prepared one.",
    ),
];

const HISTOGRAMS: [(&str, &str); 5] = [
    ("asman_claim_statement_seconds", "Time of one claim statement."),
    ("asman_notify_lag_seconds", "Time from a notification of this process to its own echo."),
    ("asman_database_wait_seconds", "Time that a probe waited for a free connection of the main pool."),
    ("asman_webhook_try_seconds", "Time of one attempt to deliver a webhook."),
    ("asman_http_request_seconds", "Time to the head of the answer, by method and route. Long polls wait by design."),
];

/// Installs the recorder once for the process, even if several servers run in it.
pub(crate) fn install() -> Option<&'static PrometheusHandle> {
    let make = || {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
        let handle = builder.ok()?.install_recorder().ok();
        describe();
        handle
    };
    RECORDER.get_or_init(make).as_ref()
}

fn describe() {
    for (name, help) in COUNTERS {
        metrics::describe_counter!(name, help);
    }
    for (name, help) in GAUGES {
        metrics::describe_gauge!(name, help);
    }
    for (name, help) in HISTOGRAMS {
        metrics::describe_histogram!(name, help);
    }
}

/// What Prometheus reads.
pub(crate) fn render() -> String {
    let Some(handle) = RECORDER.get().and_then(Option::as_ref) else { return String::new() };
    handle.run_upkeep();
    handle.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_table_names_every_metric_with_its_help() {
        let table = include_str!("../../docs/operations.md");
        for (name, help) in COUNTERS.iter().chain(&GAUGES).chain(&HISTOGRAMS) {
            assert!(table.contains(&format!("| `{name}` |")), "{name}");
            assert!(table.lines().any(|line| line.contains(&format!("`{name}`")) && line.contains(help)), "{name}: {help}");
        }
    }
}
