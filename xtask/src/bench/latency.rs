//! How long answers took: percentiles of all of them, not of a sample.

use std::time::Duration;

/// One number an answer, in nanoseconds. What took longer than [`u32::MAX`] of them, 4.3 s, counts as that.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    nanoseconds: Vec<u32>,
}

impl Latencies {
    pub(super) fn add(&mut self, took: Duration) {
        self.nanoseconds.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
    }

    pub(super) fn count(&self) -> usize {
        self.nanoseconds.len()
    }

    /// The time in ms that `percent` of the answers took at most, by the nearest rank. NaN if there are none.
    pub(super) fn percentile_ms(&mut self, percent: u32) -> f64 {
        let count = self.nanoseconds.len();
        let rank = (count * percent as usize).div_ceil(100).clamp(1, count.max(1));
        if count == 0 {
            return f64::NAN;
        }
        let (_, &mut nanoseconds, _) = self.nanoseconds.select_nth_unstable(rank - 1);
        f64::from(nanoseconds) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latencies;

    fn of_ms(all: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        all.into_iter().for_each(|ms| latencies.add(Duration::from_millis(ms)));
        latencies
    }

    #[test]
    fn a_percentile_is_an_answer_that_was_measured() {
        for (mut latencies, p50, p99) in [
            (of_ms([7]), 7.0, 7.0),
            (of_ms([3, 1]), 1.0, 3.0),
            (of_ms((1..=100).rev()), 50.0, 99.0),
            (of_ms(1..=101), 51.0, 100.0),
            (of_ms((1..=200).chain([4000])), 101.0, 199.0),
        ] {
            assert_eq!((latencies.percentile_ms(50), latencies.percentile_ms(99)), (p50, p99));
        }
    }

    #[test]
    fn none_has_no_percentile_and_a_long_one_counts_as_the_longest() {
        assert!(of_ms([]).percentile_ms(50).is_nan());
        assert!(of_ms([60_000]).percentile_ms(50) > 4000.0);
    }
}
