//! The service: its caller, its settings, and the state that all requests share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::account::Ledger;
use super::id::RequestIds;
use crate::capability::http::Scheme;
use crate::cpu::Scheduler;
use crate::sandbox::Sandbox;
use crate::snapshot::Snapshot;
use crate::tenant::Slots;

/// The authority that the caller asked for, as the protocol gate read it.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Host name and port as given, in lower case.
    pub authority: Arc<str>,
    /// The host name alone.
    pub host: Arc<str>,
}

/// The sender of requests and its protocol. They are the same for all requests of a connection, unless a trusted
/// proxy says otherwise.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The caller's address, if it has one.
    pub client: Option<IpAddr>,
    /// The scheme that the caller spoke.
    pub scheme: Scheme,
    /// The name that the caller asked for when TLS began, in lower case.
    pub server_name: Option<Arc<str>>,
}

/// The settings of this room, which the operator decides.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The longest time that one piece of a request's body may take to come.
    pub body_patience: Duration,
    /// The least rate of a streamed request body, on average over the time that the host waits for the client.
    pub rate_bytes_per_second: u64,
}

impl Settings {
    /// The longest wait for the client over the whole of a body: ten times that for one piece, so that a client who
    /// drips a byte just before each deadline is cut as well.
    pub(super) fn whole_body_patience(&self) -> Duration {
        self.body_patience.saturating_mul(10)
    }
}

/// The host's capacity for calls, common to all tenants.
pub struct Capacity {
    /// The scheduler of the CPU.
    pub cpu: Scheduler,
    /// The pool's slots, for calls.
    pub slots: Slots,
    /// The slots for filters' calls on an answer that is a stream, while the stream holds one of `slots`. They are
    /// divided among tenants: there are fewer of them than the calls that a tenant's quota may allow.
    pub slots_beside_streams: Slots,
}

/// The service of requests. Each request runs on the snapshot that is live when it is routed.
pub struct Requests {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) capacity: Capacity,
    pub(super) ledger: Arc<Ledger>,
    pub(super) ids: RequestIds,
    pub(super) settings: Settings,
}

impl Requests {
    /// A service that routes each request by the state of `snapshot` at that moment.
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        sandbox: Arc<Sandbox>,
        capacity: Capacity,
        ledger: Ledger,
        settings: Settings,
    ) -> Self {
        Self { snapshot, sandbox, capacity, ledger: Arc::new(ledger), ids: RequestIds::new(), settings }
    }
}
