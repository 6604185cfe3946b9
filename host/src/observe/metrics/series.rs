//! Series: a gauge that counts guards, and counters and gauges in a scraper's form.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::metrics::gauge::Gauge;

/// A guard of a gauge: counts one until it is dropped.
#[derive(Debug)]
#[must_use = "it counts for as long as it is held"]
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(super) const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

pub(super) fn encode_counter(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter(&value, NO_EXEMPLAR)
}

pub(super) fn encode_gauge(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    gauge: &Gauge,
) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(&gauge.get())
}
