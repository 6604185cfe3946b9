//! A request's place in its tenant's quota.
//!
//! Taken before the first filter runs, for a filter spends the tenant's CPU too, and held until the last
//! byte of the answer is taken, so that a slow reader counts against its own tenant.

use tokio::time::Instant;

use super::error::AdmissionError;
use crate::observe::Held;
use crate::snapshot::Revision;
use crate::tenant::{Patience, Permit};

/// A request's place among its tenant's; leaving is dropping it.
pub(super) struct Place {
    _permit: Permit,
    _in_flight: Held,
}

impl Place {
    /// Takes a place, waiting for it if need be, but never past `deadline`.
    pub(super) async fn take(
        revision: &Revision,
        patience: &mut Patience,
        deadline: Instant,
    ) -> Result<Self, AdmissionError> {
        let waiting = revision.metrics.waiting_guard();
        let permit = revision.gate.enter(patience, deadline).await.map_err(|refused| {
            revision.metrics.queue_rejected();
            AdmissionError::Tenant(refused)
        })?;
        drop(waiting);
        // After the wait: what ran meanwhile may have used it up.
        if let Some(wait) = revision.share.cpu().overdrawn() {
            revision.metrics.cpu_rejected();
            return Err(AdmissionError::Cpu { wait });
        }
        Ok(Self { _permit: permit, _in_flight: revision.metrics.in_flight_guard() })
    }
}
