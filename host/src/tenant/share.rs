//! A tenant's share of the host: its account of the CPU, and its slots.
//!
//! A share outlives revisions. The order of tenants when slots are short is `slots.rs`'s, and when the CPU is short,
//! `cpu/`'s.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::cpu::CpuAccount;

/// A tenant's share. Clones are the same share.
#[derive(Debug, Clone)]
pub struct Share(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cpu: CpuAccount,
    slots: AtomicUsize,
    last_served: AtomicU64,
}

impl Share {
    /// A share of this weight. `cpu` is CPU time a second; none is no quota.
    pub fn new(weight: NonZeroU32, cpu: Option<Duration>) -> Self {
        let cpu = CpuAccount::new(weight, cpu);
        Self(Arc::new(Inner { cpu, slots: AtomicUsize::new(0), last_served: AtomicU64::new(0) }))
    }

    /// The tenant's account of the CPU, which has the tenant's weight.
    pub fn cpu(&self) -> &CpuAccount {
        &self.0.cpu
    }

    /// The number of the tenant's calls that have a slot of the host.
    pub fn slots(&self) -> usize {
        self.0.slots.load(Ordering::Relaxed)
    }

    pub(super) fn slot_taken(&self) {
        self.0.slots.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn slot_left(&self) {
        self.0.slots.fetch_sub(1, Ordering::Relaxed);
    }

    /// The serial number of the last slot that was given to a waiting call of the tenant.
    pub(super) fn last_served(&self) -> u64 {
        self.0.last_served.load(Ordering::Relaxed)
    }

    pub(super) fn serve(&self, number: u64) {
        self.0.last_served.store(number, Ordering::Relaxed);
    }

    /// A number that no other share has while this one lives.
    pub(super) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}
