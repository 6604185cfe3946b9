//! The outbound budget of one call: the requests and bytes that it may send and receive over HTTP. Owns the two
//! counters, and is shared by all requests of the call. `outbound` and `body` decide when something is taken from it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::error::OutboundError;

/// The requests and bytes that one call has left.
#[derive(Debug)]
pub struct OutboundBudget {
    requests: u32,
    bytes: u64,
    requests_left: AtomicU32,
    bytes_left: AtomicU64,
}

impl OutboundBudget {
    /// A budget of `requests`, and of `bytes` of bodies both ways.
    pub fn new(requests: u32, bytes: u64) -> Self {
        Self { requests, bytes, requests_left: AtomicU32::new(requests), bytes_left: AtomicU64::new(bytes) }
    }

    /// Takes one request from the budget, whatever comes of the request.
    pub(super) fn take_request(&self) -> Result<(), OutboundError> {
        self.requests_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .map(drop)
            .map_err(|_| OutboundError::TooManyRequests { limit: self.requests })
    }

    /// Takes a piece of a body from the budget. A piece that is too large takes the rest, so that no smaller one
    /// passes later.
    pub(super) fn take_bytes(&self, bytes: usize) -> Result<(), OutboundError> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let before = self
            .bytes_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
        match before {
            Ok(left) if left >= bytes => Ok(()),
            _ => Err(OutboundError::TooManyBytes { limit: self.bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_gives_what_it_has_and_no_more() {
        let budget = OutboundBudget::new(2, 10);
        assert!(budget.take_request().is_ok() && budget.take_request().is_ok());
        assert!(matches!(budget.take_request(), Err(OutboundError::TooManyRequests { limit: 2 })));
        assert!(budget.take_bytes(4).is_ok() && budget.take_bytes(6).is_ok() && budget.take_bytes(0).is_ok());
        assert!(matches!(budget.take_bytes(1), Err(OutboundError::TooManyBytes { limit: 10 })));
    }

    #[test]
    fn nothing_passes_after_what_was_too_much() {
        let budget = OutboundBudget::new(0, 10);
        assert!(budget.take_bytes(11).is_err());
        assert!(budget.take_bytes(1).is_err());
    }
}
