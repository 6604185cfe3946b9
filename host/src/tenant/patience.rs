//! The time that a request may still wait in queues: in each as long as that queue allows, and in all of them together no
//! longer than the longest of these. So a request that has waited for its tenant's place does not wait as long again for
//! its plugin's.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// The time that a request has waited in queues, and that it may.
#[derive(Debug, Default)]
pub struct Patience {
    /// The time that the most patient of the queues allows that it came to.
    longest: Duration,
    waited: Duration,
}

/// The reason why a request was not let in in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// It waited as long as it may.
    Waited {
        /// In this queue.
        wait: Duration,
        /// In others.
        before: Duration,
    },
    /// Its own deadline came first.
    Deadline,
}

impl Patience {
    /// Waits for its turn in a queue that allows `most`, but never past `deadline`.
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
            // What each queue allows, and what was waited there; what is left for the last.
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
