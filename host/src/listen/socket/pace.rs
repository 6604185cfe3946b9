//! The pace of a client: the rate at which it takes its responses while it is waited for.

use std::time::Duration;

/// The total time of waiting for a client after which its rate is checked.
const PERIOD: Duration = Duration::from_secs(10);

/// The pace of a client, and the least allowed rate.
pub(in crate::listen) struct Pace {
    due_bytes: u64,
    /// The time for which the client was waited for in this period.
    waited: Duration,
    /// The bytes that the client had taken before this period.
    from_bytes: u64,
}

impl Pace {
    /// The pace of a client that has taken `taken_bytes` so far.
    pub(in crate::listen) fn new(rate_bytes_per_second: u64, taken_bytes: u64) -> Self {
        let due_bytes = rate_bytes_per_second.saturating_mul(PERIOD.as_secs());
        Self { due_bytes, waited: Duration::ZERO, from_bytes: taken_bytes }
    }

    /// Adds a time for which the client was waited for, and the bytes that it has taken by now. Returns true if a
    /// period is over in which the client took too little.
    pub(in crate::listen) fn is_too_slow(&mut self, waited: Duration, taken_bytes: u64) -> bool {
        self.waited = self.waited.saturating_add(waited);
        if self.waited < PERIOD {
            return false;
        }
        self.waited = Duration::ZERO;
        let from_bytes = std::mem::replace(&mut self.from_bytes, taken_bytes);
        taken_bytes.saturating_sub(from_bytes) < self.due_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_takes_too_little_for_a_period_is_too_slow() {
        let (mut pace, mut taken) = (Pace::new(100, 0), 0);
        for (taken_bytes, waited_s, expected) in
            [(10, 9, false), (980, 2, true), (500, 5, false), (500, 5, false), (999, 10, true), (0, 3, false)]
        {
            taken += taken_bytes;
            let is_too_slow = pace.is_too_slow(Duration::from_secs(waited_s), taken);
            assert_eq!(is_too_slow, expected, "{taken_bytes} bytes, {waited_s} s");
        }
    }
}
