//! The settings of this room: the operator's bounds on connections.

use std::sync::Arc;
use std::time::Duration;

use super::http::TrustedProxies;

/// The operator's settings of connections.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections open at once.
    pub connections: usize,
    /// The most connections of one client among them.
    pub connections_per_client: usize,
    /// The longest time for the PROXY protocol's header, and for the handshake of TLS.
    pub handshake: Duration,
    /// The longest time for a request's head, and for the first byte of a connection.
    pub head: Duration,
    /// The longest time in which a client takes nothing of its response.
    pub write: Duration,
    /// The longest time that a connection is without a request.
    pub idle: Duration,
    /// The longest time that a connection takes requests.
    pub age: Duration,
    /// The least rate at which a client takes its responses, on average, while it is waited for.
    pub rate_bytes_per_second: u64,
    /// The longest time that shutdown waits for requests in flight.
    pub grace: Duration,
    /// The proxies that are trusted to name their clients.
    pub trusted: Arc<TrustedProxies>,
}
