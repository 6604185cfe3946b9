//! The quota of a tenant: its parts, by name, and their defaults.
//!
//! A quota is a ceiling on one tenant, as a limit is one on a call or a plugin. Names here are the names in the site
//! file, in metrics and in problem types.

use std::num::NonZeroU32;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// The ceilings on one tenant as a whole. They belong to the operator and change in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// `concurrency`: requests of the tenant in flight, until their last body byte is written.
    pub concurrency: usize,
    /// `queue`: requests waiting for one of those to end.
    pub queue: usize,
    /// `queue-wait`: how long each may wait.
    pub queue_wait: Duration,
    /// `cpu`: CPU time a second; none is as much as there is.
    pub cpu: Option<Duration>,
    /// `weight`: its share of CPU and slots, beside others', when they are short.
    pub weight: NonZeroU32,
    /// `storage`: what the tenant may keep in the store.
    pub storage: Storage,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            concurrency: 256,
            queue: 1024,
            queue_wait: Duration::from_secs(1),
            cpu: None,
            weight: NonZeroU32::MIN,
            storage: Storage::default(),
        }
    }
}

/// The quota `storage`: both hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Bytes of keys and values together.
    pub bytes: u64,
    /// Number of keys.
    pub keys: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self { bytes: 64 * MIB, keys: 100_000 }
    }
}
