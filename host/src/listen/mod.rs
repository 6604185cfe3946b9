//! Sockets: from an address to requests, and the life of a connection in between.
//!
//! Addresses are bound before anything else is ready and served last, so a taken port is told before the
//! first compile and a failed start leaves nothing half open.
//!
//! | file | owns |
//! |---|---|
//! | `address`, `bind`, `inherited` | what is bound or was handed over, and taking connections from it |
//! | `accept`, `places` | how many connections are taken, in all and of one client |
//! | `arrival`, `proxy_protocol` | what comes before HTTP |
//! | `tls` | the TLS below HTTP, and its certificates |
//! | `connection`, `life` | HTTP on one connection, and its deadlines |
//! | `http1`, `scan` | HTTP/1 read strictly, before hyper reads it |
//! | `forwarded` | who is asking, as trusted proxies tell |
//! | `frames` | what an HTTP/2 client may send beside requests |
//! | `gate` | what hyper lets through, and HTTP does not |
//! | `socket`, `stall`, `linger`, `prefixed`, `layer` | the layers between hyper and the system |
//! | `pace` | how fast a client takes its answers |
//! | `unread` | what becomes of a body that nobody reads to its end |
//! | `probes` | `/livez`, `/readyz`, `/metrics` |

mod accept;
mod address;
mod arrival;
mod bind;
mod connection;
mod forwarded;
mod frames;
mod gate;
mod http1;
mod inherited;
mod layer;
mod life;
mod linger;
mod pace;
mod places;
mod prefixed;
mod probes;
mod proxy_protocol;
mod scan;
mod socket;
mod stall;
mod tls;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::request::{Ledger, Requests};
use accept::Accepting;
use places::Places;

pub use address::{Address, Bound, Spoken};
pub use bind::{BindError, Permissions, group_id};
pub use forwarded::{ForwardedFields, Trusted};
pub use inherited::{Inherited, InheritedError};
pub use probes::{Probes, Readiness};
pub use tls::{Pair, PairError, PairFiles, Part, Tls, TlsError};

/// What is the same for every connection.
pub mod bounds {
    pub use super::connection::{MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
    pub use super::frames::{CONTROL_FRAMES_PER_SECOND, MAX_CONTROL_FRAMES};
    pub use super::gate::MAX_TARGET_BYTES;
    pub use super::unread::MAX_DRAINED_BYTES;
}

/// What the operator decides of this room.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections open at once.
    pub connections: usize,
    /// Of them, those of one client.
    pub connections_per_client: usize,
    /// How long each thing may take that comes before HTTP.
    pub handshake: Duration,
    /// How long a request's head may take, and the first byte of a connection.
    pub head: Duration,
    /// How long a client may take nothing of its answer.
    pub write: Duration,
    /// How long a connection may be without a request.
    pub idle: Duration,
    /// How long a connection may go on taking requests.
    pub age: Duration,
    /// What a client must take of its answers, on average, while it is waited for.
    pub rate_bytes_per_second: u64,
    /// How long shutdown waits for what is in flight.
    pub grace: Duration,
    /// The proxies whose word on clients is taken.
    pub trusted: Arc<Trusted>,
}

/// How far a shutdown has come. Connections watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// No new connection; each ends with the request it is in.
    Draining,
    /// Whatever is left is cut.
    Ending,
}

/// Serves on all addresses until told to stop.
pub struct Server {
    stage: watch::Sender<Stage>,
    connections: TaskTracker,
    tls: Arc<Tls>,
    grace: Duration,
}

impl Server {
    /// Begins to accept.
    pub fn start(
        bound: Vec<Bound>,
        tls: Tls,
        requests: Arc<Requests>,
        settings: Settings,
        ledger: &Ledger,
    ) -> Self {
        let tls = Arc::new(tls);
        let (stage, watched) = watch::channel(Stage::Serving);
        let connections = TaskTracker::new();
        let accepting = Accepting {
            requests,
            tls: tls.clone(),
            // Each listener has one for whoever comes next, also if that is nobody.
            places: Places::new(
                settings.connections.saturating_add(bound.len()).saturating_sub(1),
                settings.connections_per_client,
            ),
            settings: Arc::new(settings),
            ledger: ledger.clone(),
            stage: watched,
            connections: connections.clone(),
        };
        let grace = accepting.settings.grace;
        for bound in bound {
            connections.spawn(accepting.clone().run(bound));
        }
        Self { stage, connections, tls, grace }
    }

    /// Looks at the certificates' files now, and not only at the next interval.
    pub fn look_at_certificates(&self) {
        self.tls.look();
    }

    /// Accepts nothing more, waits for what is in flight, and cuts what is not done within the grace time.
    /// How many connections were cut.
    pub async fn stop(&self) -> usize {
        self.stage.send_replace(Stage::Draining);
        self.connections.close();
        if tokio::time::timeout(self.grace, self.connections.wait()).await.is_ok() {
            return 0;
        }
        let left = self.connections.len();
        self.stage.send_replace(Stage::Ending);
        self.connections.wait().await;
        left
    }
}
