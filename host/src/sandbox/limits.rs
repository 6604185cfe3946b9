//! The limits of one call, and the totals of what it may use up: bytes of header fields that it has the host build, and
//! random bytes.
//!
//! Owns the error by which a host function ends a call that is beyond one of them. Whatever a call does with what it got,
//! it was the host's work: what it gives back is not given to it again. Memories and tables are `memory.rs`'s.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::Outcome;

/// The limits of one call.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// CPU time by the thread's clock.
    pub cpu: Duration,
    /// When the call must have ended.
    pub deadline: Instant,
    /// Bytes of linear memory.
    pub memory_bytes: u64,
    /// Bytes of the answer's body, if it is buffered.
    pub response_body_bytes: u64,
    /// How long the answer's body may take after its head, if it is a stream.
    pub stream: Duration,
    /// Requests to other servers.
    pub outbound: u32,
    /// Bytes of their bodies, in both directions together.
    pub outbound_bytes: u64,
    /// Handles and host resources held at once.
    pub handles: usize,
    /// Elements of its tables.
    pub table_elements: usize,
    /// Bytes of header fields that the host builds for it.
    pub fields_bytes: u64,
    /// Random bytes.
    pub random_bytes: u64,
    /// Lines it may print or log.
    pub log_lines: u32,
    /// Bytes it may print or log.
    pub log_bytes: u64,
}

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

/// The error of a call that is beyond one of its limits. It goes through the guest as a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it asked for {wanted} bytes in all, and its limit `{limit}` allows {most}")]
pub(super) struct Beyond {
    pub(super) limit: CallLimit,
    pub(super) most: u64,
    pub(super) wanted: u64,
}

/// The totals that one call has used up.
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
    pub(super) fn new(limits: &CallLimits) -> Self {
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
}
