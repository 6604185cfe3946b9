//! The totals of one call: the use of limits on things that the host makes for it, such as header fields and random
//! bytes. Memories and tables are `memory.rs`'s.
//!
//! Owns the counters, and the error by which a host function ends a call that is beyond one of them. The host's work
//! counts, whatever the call does with the result: an amount that the call gives back is not given to it again.

use std::sync::Arc;

use crate::limits::{Limit, Limits, PerLimit};

/// The error of a call that is beyond one of its limits. It passes through the guest as a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it asked for {wanted} bytes in all, and its limit `{limit}` allows {most}")]
pub(super) struct Beyond {
    pub(super) limit: Limit,
    pub(super) most: u64,
    pub(super) wanted: u64,
}

/// The use that one call has made of the limits that are sums over the call.
#[derive(Debug)]
pub(super) struct Totals {
    limits: Arc<Limits>,
    used: PerLimit<u64>,
}

impl Totals {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self { limits, used: PerLimit::default() }
    }

    /// Counts an amount that the host is to give the call. If that is too much, it is refused, and the call is to
    /// end.
    pub(super) fn spend(&mut self, limit: Limit, amount: u64) -> Result<(), Beyond> {
        let (used, most) = (self.used.get_mut(limit), self.limits.get(limit));
        let wanted = used.saturating_add(amount);
        if wanted > most {
            return Err(Beyond { limit, most, wanted });
        }
        *used = wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_is_counted_over_a_whole_call_and_refused_asking_costs_nothing() {
        let mut totals = Totals::new(Arc::new(Limits { fields: 100, ..Limits::default() }));
        let mut spend = |amount| totals.spend(Limit::Fields, amount);
        assert_eq!(spend(60), Ok(()));
        let beyond = spend(41).unwrap_err();
        assert_eq!(beyond, Beyond { limit: Limit::Fields, most: 100, wanted: 101 });
        assert_eq!(beyond.to_string(), "it asked for 101 bytes in all, and its limit `fields` allows 100");
        assert_eq!(spend(40), Ok(()));
        assert_eq!(spend(1).unwrap_err().wanted, 101);
        assert_eq!(spend(u64::MAX).unwrap_err().wanted, u64::MAX);
    }
}
