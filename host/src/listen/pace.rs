//! How fast a client takes what it is sent, while it is the client that is waited for.

use std::time::Duration;

/// How long a client was waited for, all together, when its rate is looked at.
const PERIOD: Duration = Duration::from_secs(10);

/// What a client has taken in this period of waiting.
pub(super) struct Pace {
    due_bytes: u64,
    waited: Duration,
    taken_bytes: u64,
}

impl Pace {
    pub(super) fn new(rate_bytes_per_second: u64) -> Self {
        let due_bytes = rate_bytes_per_second.saturating_mul(PERIOD.as_secs());
        Self { due_bytes, waited: Duration::ZERO, taken_bytes: 0 }
    }

    pub(super) fn took(&mut self, bytes: usize) {
        self.taken_bytes = self.taken_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// It was waited for so long: whether a period is over in which it took too little.
    pub(super) fn is_too_slow(&mut self, waited: Duration) -> bool {
        self.waited = self.waited.saturating_add(waited);
        if self.waited < PERIOD {
            return false;
        }
        self.waited = Duration::ZERO;
        std::mem::take(&mut self.taken_bytes) < self.due_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_takes_too_little_for_a_period_is_too_slow() {
        let mut pace = Pace::new(100);
        for (taken_bytes, waited_s, expected) in
            [(10, 9, false), (980, 2, true), (500, 5, false), (500, 5, false), (999, 10, true), (0, 3, false)]
        {
            pace.took(taken_bytes);
            let is_too_slow = pace.is_too_slow(Duration::from_secs(waited_s));
            assert_eq!(is_too_slow, expected, "{taken_bytes} bytes, {waited_s} s");
        }
    }
}
