//! The time that a request may still wait in queues: in each queue as long as that queue allows, and in all of them
//! together no longer than the longest of these waits. So a request that has waited for its tenant's place does not
//! wait as long again for its plugin's.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// The time that a request has waited in queues, and the time that it may.
#[derive(Debug, Default)]
pub struct Patience {
    /// The longest wait that any of the request's queues so far allows.
    longest: Duration,
    waited: Duration,
}

/// The reason why a request gave up its wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// The request waited as long as it may.
    Waited {
        /// The time that was allowed in this queue.
        wait: Duration,
        /// The time that was spent in other queues.
        before: Duration,
    },
    /// The request's own deadline came first.
    Deadline,
}

impl Patience {
    /// Waits for a turn in a queue that allows `most`, but never past `deadline`.
    pub(super) async fn wait_for<T>(
        &mut self,
        turn: oneshot::Receiver<T>,
        most: Duration,
        deadline: Instant,
    ) -> Result<T, GaveUp> {
        let (wait, before) = (self.left(most), self.waited);
        let began = Instant::now();
        let give_up = began.checked_add(wait).map_or(deadline, |end| end.min(deadline));
        let came = tokio::time::timeout_at(give_up, turn).await;
        self.waited = self.waited.saturating_add(began.elapsed());
        match came {
            Ok(Ok(admitted)) => Ok(admitted),
            _ if give_up == deadline => Err(GaveUp::Deadline),
            _ => Err(GaveUp::Waited { wait, before }),
        }
    }

    fn left(&mut self, most: Duration) -> Duration {
        self.longest = self.longest.max(most);
        most.min(self.longest.saturating_sub(self.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_share_the_patience_of_the_longest_of_them() {
        let ms = Duration::from_millis;
        for (waits, left) in [
            // Each queue's allowed wait and the time waited there; then the time left for the last queue.
            (&[(1000, 0), (1000, 0)][..], 1000),
            (&[(1000, 900), (1000, 0)], 100),
            (&[(1000, 900), (500, 0)], 100),
            (&[(1000, 300), (500, 0)], 500),
            (&[(1000, 1000), (500, 0)], 0),
            (&[(60_000, 5_000), (1000, 0)], 1000),
            (&[(1000, 900), (60_000, 0)], 59_100),
            (&[(1000, 400), (1000, 400), (1000, 0)], 200),
        ] {
            let mut patience = Patience::default();
            let mut last = Duration::ZERO;
            for (most, waited) in waits {
                last = patience.left(ms(*most));
                patience.waited += ms(*waited);
            }
            assert_eq!(last, ms(left), "{waits:?}");
        }
    }
}
