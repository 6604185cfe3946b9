//! A request's place in its tenant's quota.
//!
//! The place is taken before the first filter runs, for a filter spends the tenant's CPU too. It is held until the
//! last byte of the answer is taken, so that a slow reader counts against its own tenant.

use tokio::time::Instant;

use super::error::AdmissionError;
use crate::observe::GaugeGuard;
use crate::snapshot::Revision;
use crate::tenant::{Patience, Permit};

/// A request's place among its tenant's requests. It is given back on drop.
pub(super) struct QuotaPlace {
    _permit: Permit,
    _in_flight: GaugeGuard,
}

impl QuotaPlace {
    /// Takes a place. Waits for it if need be, but never past `deadline`.
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
        // Checked after the wait: other requests may have used the tenant's CPU up meanwhile.
        if let Some(wait) = revision.share.cpu().overdrawn() {
            revision.metrics.cpu_rejected();
            return Err(AdmissionError::Cpu { wait });
        }
        Ok(Self { _permit: permit, _in_flight: revision.metrics.in_flight_guard() })
    }
}
