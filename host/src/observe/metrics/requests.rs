//! The counters of the requests of one plugin, of one tenant, or of no tenant.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::MetricEncoder;
use prometheus_client::metrics::counter::Counter;

use super::super::Blame;
use super::histogram::{Histogram, REQUEST_BOUNDS};
use super::series::encode_counter;

/// A count for no blame, then one for each blame.
type ByBlame = [AtomicU64; Blame::ALL.len() + 1];

/// Counters of the ten statuses with the same first two digits.
type Decade = [ByBlame; 10];

const FIRST_STATUS: u16 = 100;

/// Requests by status and blame, their durations and their bytes.
#[derive(Debug)]
pub(super) struct Requests {
    /// The statuses 100 to 599, in groups of ten that are made when first seen: all at once they would be 24 kB for
    /// each plugin, and hardly any plugin answers with more than a dozen statuses.
    decades: [OnceLock<Box<Decade>>; 50],
    /// The requests with any other status.
    other: ByBlame,
    duration: Histogram,
    response_bytes: Counter,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            decades: [const { OnceLock::new() }; 50],
            other: ByBlame::default(),
            duration: Histogram::new(REQUEST_BOUNDS),
            response_bytes: Counter::default(),
        }
    }
}

impl Requests {
    pub(super) fn count(&self, status: u16, blame: Option<Blame>, duration: Duration, response_bytes: u64) {
        if let Some(counter) = self.by_status(status).get(column(blame)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.duration.observe(duration);
        self.response_bytes.inc_by(response_bytes);
    }

    fn by_status(&self, status: u16) -> &ByBlame {
        let place = status.checked_sub(FIRST_STATUS);
        let decade = place.and_then(|place| self.decades.get(usize::from(place / 10)));
        decade
            .and_then(|decade| decade.get_or_init(Box::default).get(usize::from(status % 10)))
            .unwrap_or(&self.other)
    }

    /// Writes `requests_total` for one owner.
    pub(super) fn encode_counts(
        &self,
        encoder: &mut MetricEncoder<'_>,
        tenant: &str,
        plugin: &str,
    ) -> fmt::Result {
        for (first, decade) in (FIRST_STATUS..).step_by(10).zip(&self.decades) {
            let Some(decade) = decade.get() else { continue };
            for (status, by_blame) in (first..).zip(decade.iter()) {
                encode_status(encoder, tenant, plugin, &status.to_string(), by_blame)?;
            }
        }
        encode_status(encoder, tenant, plugin, "other", &self.other)
    }

    /// Writes `request_duration_seconds` for one owner.
    pub(super) fn encode_duration(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.duration.encode(encoder)
    }

    /// The value of `response_bytes_total` for one owner.
    pub(super) fn response_bytes(&self) -> u64 {
        self.response_bytes.get()
    }
}

fn encode_status(
    encoder: &mut MetricEncoder<'_>,
    tenant: &str,
    plugin: &str,
    status: &str,
    by_blame: &ByBlame,
) -> fmt::Result {
    let blames = [None].into_iter().chain(Blame::ALL.map(Some));
    for (blame, counter) in blames.zip(by_blame) {
        let count = counter.load(Ordering::Relaxed);
        if count > 0 {
            let blame = blame.map_or("none", Blame::as_str);
            let labels = [("tenant", tenant), ("plugin", plugin), ("status", status), ("blame", blame)];
            encode_counter(encoder, &labels, count)?;
        }
    }
    Ok(())
}

fn column(blame: Option<Blame>) -> usize {
    match blame {
        None => 0,
        Some(Blame::Client) => 1,
        Some(Blame::Plugin) => 2,
        Some(Blame::Quota) => 3,
        Some(Blame::Host) => 4,
        Some(Blame::Upstream) => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_blame_has_the_column_that_it_is_read_from() {
        for (place, blame) in [None].into_iter().chain(Blame::ALL.map(Some)).enumerate() {
            assert_eq!(column(blame), place);
        }
    }
}
