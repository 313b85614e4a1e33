use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

use super::{metric, process};

/// Seconds, by powers of about 3: tells a tenth of a millisecond from one, and a second from a minute.
const SECONDS: &[f64] = &[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// Samples that histograms hold until they are sorted into buckets; without upkeep they would pile up between
/// two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Somebody else records this process's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metrics are recorded elsewhere already")]
pub struct Taken;

impl Metrics {
    /// Starts recording. Handles that were asked for before record nothing. A second call gives the same.
    ///
    /// # Errors
    /// [`Taken`] if another recorder than this one is in place.
    pub fn install() -> Result<Self, Taken> {
        /// Held while the recorder is put in place, so that a second caller waits for the handle.
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _installing = INSTALLING.lock();
        if let Some(handle) = INSTALLED.get() {
            return Ok(Self(handle.clone()));
        }
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| Taken)?;
        metric::describe();
        metrics::gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self(INSTALLED.get_or_init(|| handle).clone()))
    }

    /// All metrics as `text/plain; version=0.0.4`.
    ///
    /// See <https://prometheus.io/docs/instrumenting/exposition_formats/>.
    pub fn render(&self) -> String {
        process::sample();
        self.0.render()
    }

    /// Keeps the histograms' memory bounded while nobody scrapes. Never returns; cancel safe.
    pub async fn keep(&self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

fn builder() -> PrometheusBuilder {
    [metric::RELAY_VISIBILITY_WAIT_SECONDS, metric::SNAPSHOT_SECONDS].into_iter().fold(
        PrometheusBuilder::new(),
        |builder, name| {
            builder
                .set_buckets_for_metric(Matcher::Full(name.to_owned()), SECONDS)
                .expect("the list of buckets is not empty")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_with_their_descriptions_and_labels() {
        let metrics = Metrics::install().expect("first in this process, or the same again");
        metrics::counter!(metric::HUB_RESYNCS, metric::REASON => "cursor_expired").increment(2);
        metrics::histogram!(metric::SNAPSHOT_SECONDS).record(0.02);
        let text = Metrics::install().expect("a second call gives the same").render();
        for line in [
            "# TYPE tidegate_hub_resyncs_total counter",
            "tidegate_hub_resyncs_total{reason=\"cursor_expired\"} 2",
            "# HELP tidegate_hub_resyncs_total Subscriptions that were told to start over, by `reason`.",
            "tidegate_snapshot_seconds_bucket{le=\"0.03\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        if cfg!(target_os = "linux") {
            assert!(text.contains("\ntidegate_process_resident_bytes "), "{text}");
            assert!(text.contains("\ntidegate_process_open_files "), "{text}");
        }
        drop(metrics);
    }
}
