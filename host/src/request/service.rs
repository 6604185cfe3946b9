//! The service: who asks, what the operator decides, and what all requests share.

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

/// The sender of requests, and what it speaks: true of all requests of a connection, and of what a trusted proxy says.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its address, if it has one.
    pub client: Option<IpAddr>,
    /// What it spoke.
    pub scheme: Scheme,
    /// The name that it asked for when TLS began, in lower case.
    pub server_name: Option<Arc<str>>,
}

/// The settings of this room, which the operator decides.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long one piece of a request's body may take to come.
    pub body_patience: Duration,
    /// What a client must send of a body that is taken as it comes, on average, while it is waited for.
    pub rate_bytes_per_second: u64,
}

impl Settings {
    /// The time that a client may be waited for over the whole of a body: ten times that of one piece, so that one who
    /// drips a byte just before each deadline is cut as well.
    pub(super) fn whole_body_patience(&self) -> Duration {
        self.body_patience.saturating_mul(10)
    }
}

/// The host's share of what calls need, common to all tenants.
pub struct Capacity {
    /// The CPU.
    pub cpu: Scheduler,
    /// The pool's slots, for calls.
    pub slots: Slots,
    /// Those for calls of filters on an answer that is a stream, which holds one of the others meanwhile. They are
    /// divided: there are fewer than a tenant's quota may allow it calls.
    pub slots_beside_streams: Slots,
}

/// The service of requests, on whatever snapshot is live when each is routed.
pub struct Requests {
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) capacity: Capacity,
    pub(super) ledger: Ledger,
    pub(super) ids: RequestIds,
    pub(super) settings: Settings,
}

impl Requests {
    /// Serves from `snapshot`, in whatever state it is when a request comes.
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        sandbox: Arc<Sandbox>,
        capacity: Capacity,
        ledger: Ledger,
        settings: Settings,
    ) -> Self {
        Self { snapshot, sandbox, capacity, ledger, ids: RequestIds::new(), settings }
    }
}
