//! The settings of the admin API, which are times that clients may take.

use std::time::Duration;

/// The settings of the admin API.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// The longest time of a TLS handshake.
    pub handshake: Duration,
    /// The longest time of a request's head.
    pub head: Duration,
    /// The longest wait for the next piece of a body.
    pub body: Duration,
    /// The longest time of a connection without a request.
    pub idle: Duration,
    /// The longest time of requests in flight once the API stops.
    pub grace: Duration,
}
