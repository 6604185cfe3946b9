//! What comes before HTTP on a connection: who is asking, and over what.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::connection::{Connection, Protocol};
use super::places::Places;
use super::socket::{Orders, Socket};
use super::{Settings, Spoken, Stage};
use crate::observe::Closed;
use crate::request::{Caller, Ledger, Requests, Scheme};

/// A connection that was accepted.
pub(super) struct Arrival {
    pub(super) requests: Arc<Requests>,
    pub(super) settings: Arc<Settings>,
    pub(super) ledger: Ledger,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) places: Places,
    pub(super) spoken: Spoken,
    /// Who is at its other end, if that has an address.
    pub(super) peer: Option<IpAddr>,
}

impl Arrival {
    /// Serves it to its end.
    pub(super) async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
    ) -> Closed {
        let orders = Arc::new(Orders::default());
        let stream = Socket::new(stream, orders.clone());
        let caller = Caller { client: self.peer, scheme: Scheme::Http, server_name: None };
        let connection =
            Connection { requests: self.requests, settings: self.settings, stage: self.stage, caller };
        connection.run(stream, orders, Protocol::AsItBegins).await
    }
}
