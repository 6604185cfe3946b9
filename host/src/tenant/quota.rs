//! The quota of a tenant: what each part is called, and what it is when unset.
//!
//! A quota is a ceiling on one tenant, as a limit is one on a call or a plugin. Names here are the names in the site
//! file, in metrics and in problem types.

use std::num::NonZeroU32;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What no plugin's limits may exceed: of the host, or of one tenant. Unset is unbounded, but for
/// `memory` of the host, which sizes the pool's slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ceilings {
    /// Ceiling of `cpu`.
    pub cpu: Option<Duration>,
    /// Ceiling of `wall`.
    pub wall: Option<Duration>,
    /// Ceiling of `stream`.
    pub stream: Option<Duration>,
    /// Ceiling of `memory`.
    pub memory: Option<u64>,
    /// Ceiling of `request-body`.
    pub request_body: Option<u64>,
    /// Ceiling of `response-body`, buffered or streamed.
    pub response_body: Option<u64>,
    /// Ceiling of `outbound`.
    pub outbound: Option<u32>,
    /// Ceiling of `outbound-bytes`.
    pub outbound_bytes: Option<u64>,
    /// Ceiling of `handles`.
    pub handles: Option<usize>,
    /// Ceiling of `tables`.
    pub tables: Option<usize>,
    /// Ceiling of `fields`.
    pub fields: Option<u64>,
    /// Ceiling of `random`.
    pub random: Option<u64>,
    /// Ceiling of `concurrency`.
    pub concurrency: Option<usize>,
    /// Ceiling of `queue`.
    pub queue: Option<usize>,
    /// Ceiling of `queue-wait`.
    pub queue_wait: Option<Duration>,
    /// Ceiling of `log-lines`.
    pub log_lines: Option<u32>,
    /// Ceiling of `log-bytes`.
    pub log_bytes: Option<u64>,
}

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
