//! The limits of a plugin and the quota of a tenant: what each is called, and what it is when unset.
//!
//! A limit is a ceiling on one call or one plugin; a quota is a ceiling on one tenant. Names here are
//! the names in the site file, in metrics and in problem types.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Bounds;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The most that `tables` may be: what a slot of the sandbox has room for.
pub const MAX_TABLE_ELEMENTS: usize = 100_000;

/// The limits of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `cpu`: CPU time of one call by the thread's clock, host calls included.
    pub cpu: Duration,
    /// `wall`: from admission to the response's head, waiting in queues included, waiting for the
    /// client's bytes not.
    pub wall: Duration,
    /// `stream`: the life of a streamed body after the response's head.
    pub stream: Duration,
    /// `memory`: bytes of linear memory of one instance, all its memories together.
    pub memory: u64,
    /// `request-body`: bytes of a request's body.
    pub request_body: u64,
    /// `response-body`: bytes of a buffered answer's body.
    pub response_body: u64,
    /// `response-body`: bytes of a streamed answer's body; none unless it, or a ceiling of it, was set.
    pub streamed_response_body: Option<u64>,
    /// `outbound`: outbound requests of one call.
    pub outbound: u32,
    /// `outbound-bytes`: bytes of the bodies of one call's outbound requests, both ways.
    pub outbound_bytes: u64,
    /// `handles`: handles and host resources that one call holds at once.
    pub handles: usize,
    /// `tables`: elements of the tables of one instance, all its tables together.
    pub tables: usize,
    /// `fields`: bytes of header fields that one call has the host build, all of them together, whether it keeps
    /// them or not.
    pub fields: u64,
    /// `random`: random bytes that one call is given, all of them together.
    pub random: u64,
    /// `concurrency`: calls of the plugin in flight.
    pub concurrency: usize,
    /// `queue`: calls waiting for one of those to end.
    pub queue: usize,
    /// `queue-wait`: how long each may wait.
    pub queue_wait: Duration,
    /// `log-lines`: lines that one call may print or log.
    pub log_lines: u32,
    /// `log-bytes`: bytes that one call may print or log.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(50),
            wall: Duration::from_secs(30),
            stream: Duration::from_secs(5 * 60),
            memory: 128 * MIB,
            request_body: MIB,
            response_body: 16 * MIB,
            streamed_response_body: None,
            outbound: 16,
            outbound_bytes: 256 * MIB,
            handles: 4096,
            tables: MAX_TABLE_ELEMENTS,
            // A request's largest head and an answer's largest one, each copied whole, take 146 KiB.
            fields: 256 * KIB,
            random: 64 * KIB,
            concurrency: 64,
            queue: 256,
            queue_wait: Duration::from_secs(1),
            log_lines: 64,
            log_bytes: 64 * KIB,
        }
    }
}

/// `reuse`: how long an instance of a plugin serves that has `instances = "reused"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// `calls`: so many calls, one after the other.
    pub calls: u32,
    /// `age`: from its start.
    pub age: Duration,
    /// `idle`: between two calls.
    pub idle: Duration,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { calls: 1000, age: Duration::from_secs(10 * 60), idle: Duration::from_secs(10) }
    }
}

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

impl Limits {
    /// The bounds of the plugin's gate.
    pub fn bounds(&self) -> Bounds {
        Bounds { concurrency: self.concurrency, queue: self.queue, wait: self.queue_wait }
    }
}

impl Quota {
    /// The bounds of the tenant's gate.
    pub fn bounds(&self) -> Bounds {
        Bounds { concurrency: self.concurrency, queue: self.queue, wait: self.queue_wait }
    }
}
