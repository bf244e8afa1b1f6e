//! The process's metrics. Names follow Prometheus conventions; no label ever names a queue.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Buckets of every duration, in seconds: from a claim by an idle worker to a slow statement.
const SECONDS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Installs the recorder once a process, however many servers it holds.
pub(crate) fn install() -> Option<&'static PrometheusHandle> {
    let make = || {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
        builder.ok()?.install_recorder().ok()
    };
    RECORDER.get_or_init(make).as_ref()
}

/// What Prometheus reads.
pub(crate) fn render() -> String {
    let Some(handle) = RECORDER.get().and_then(Option::as_ref) else { return String::new() };
    handle.run_upkeep();
    handle.render()
}
