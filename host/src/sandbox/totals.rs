//! The totals of one call: of what the host makes for it, such as header fields and random bytes, and of its tables.
//!
//! Owns the counters, and the error by which a host function ends a call that is beyond one of them. Whatever a call
//! does with what it got, it was the host's work: what it gives back is not given to it again.

use std::sync::Arc;

use crate::limits::{Limit, Limits, PerLimit};

/// A call is beyond one of its limits: on its way through the guest, as a trap.
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

    /// Counts what the host is to give the call; or refuses it, and then the call is to end.
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

/// The tables of one instance, counted together. A growth beyond the limit is refused as WebAssembly has it, by −1.
#[derive(Debug)]
pub(super) struct TableAccount {
    limit_elements: usize,
    used_elements: usize,
    refused: bool,
}

impl TableAccount {
    pub(super) fn new(limit_elements: usize) -> Self {
        Self { limit_elements, used_elements: 0, refused: false }
    }

    /// Whether a table may grow so, and counts it.
    pub(super) fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        // As with memories: what the table's own maximum forbids will not be had, and is not to be counted.
        if maximum.is_some_and(|most| desired > most) {
            return false;
        }
        let wanted = self.used_elements.saturating_add(desired.saturating_sub(current));
        let allowed = wanted <= self.limit_elements;
        if allowed {
            self.used_elements = wanted;
        } else {
            self.refused = true;
        }
        allowed
    }

    /// Whether a table was refused growth: the likely cause of a trap that follows.
    pub(super) fn refused(&self) -> bool {
        self.refused
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

    #[test]
    fn all_tables_of_an_instance_share_one_limit() {
        let mut account = TableAccount::new(100);
        assert!(account.grow(0, 60, None));
        assert!(!account.grow(0, 50, Some(40)), "its own maximum forbids it");
        assert!(!account.refused());
        assert!(!account.grow(0, 50, None));
        assert!(account.refused());
        assert!(account.grow(60, 100, None));
    }
}
