//! What one call may use up: bytes of header fields that it has the host build, random bytes, elements of tables.
//!
//! Owns their counters, and the error by which a host function ends a call that is beyond one of them. Whatever a call
//! does with what it got, it was the host's work: what it gives back is not given to it again.

use std::fmt;

use super::call::Limits;
use crate::observe::Outcome;

/// A limit of one call that ends it in a trap: no interface that it is met in has an error for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallLimit {
    /// `handles`.
    Handles,
    /// `tables`.
    Tables,
    /// `fields`.
    Fields,
    /// `random`.
    Random,
}

impl CallLimit {
    /// Its name in the site file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handles => "handles",
            Self::Tables => "tables",
            Self::Fields => "fields",
            Self::Random => "random",
        }
    }

    /// How a call ends that is beyond it, for metrics.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Handles => Outcome::Handles,
            Self::Tables => Outcome::Tables,
            Self::Fields => Outcome::Fields,
            Self::Random => Outcome::Random,
        }
    }
}

impl fmt::Display for CallLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call is beyond one of its limits: on its way through the guest, as a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it asked for {wanted} bytes in all, and its limit `{limit}` allows {most}")]
pub(super) struct Beyond {
    pub(super) limit: CallLimit,
    pub(super) most: u64,
    pub(super) wanted: u64,
}

/// What one call has used up.
#[derive(Debug)]
pub(super) struct Totals {
    fields: Total,
    random: Total,
}

#[derive(Debug)]
struct Total {
    limit: CallLimit,
    most: u64,
    used: u64,
}

impl Totals {
    pub(super) fn new(limits: &Limits) -> Self {
        let total = |limit, most| Total { limit, most, used: 0 };
        Self {
            fields: total(CallLimit::Fields, limits.fields_bytes),
            random: total(CallLimit::Random, limits.random_bytes),
        }
    }

    /// The host is to build header fields of so many bytes.
    pub(super) fn build_fields(&mut self, bytes: u64) -> Result<(), Beyond> {
        self.fields.spend(bytes)
    }

    /// The host is to give so many random bytes.
    pub(super) fn give_random(&mut self, bytes: u64) -> Result<(), Beyond> {
        self.random.spend(bytes)
    }
}

impl Total {
    fn spend(&mut self, amount: u64) -> Result<(), Beyond> {
        let Self { limit, most, .. } = *self;
        let wanted = self.used.saturating_add(amount);
        if wanted > most {
            return Err(Beyond { limit, most, wanted });
        }
        self.used = wanted;
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
        let mut total = Total { limit: CallLimit::Fields, most: 100, used: 0 };
        assert_eq!(total.spend(60), Ok(()));
        let beyond = total.spend(41).unwrap_err();
        assert_eq!(beyond, Beyond { limit: CallLimit::Fields, most: 100, wanted: 101 });
        assert_eq!(beyond.to_string(), "it asked for 101 bytes in all, and its limit `fields` allows 100");
        assert_eq!(total.spend(40), Ok(()));
        assert_eq!(total.spend(1).unwrap_err().wanted, 101);
        assert_eq!(total.spend(u64::MAX).unwrap_err().wanted, u64::MAX);
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
