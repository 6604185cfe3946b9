//! What comes before HTTP on a connection: who is asking, and over what.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::connection::{Connection, LAST_CALL, Protocol, told_to_stop};
use super::places::Places;
use super::socket::{Orders, Socket};
use super::tls::{HandshakeError, Inside, Tls};
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
    pub(super) tls: Arc<Tls>,
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
        if self.spoken.tls {
            // Boxed: a connection without TLS is not to have the size of one with it.
            return Box::pin(self.serve_tls(stream, orders)).await;
        }
        let caller = Caller { client: self.peer, scheme: Scheme::Http, server_name: None };
        self.connection(caller).run(stream, orders, Protocol::AsItBegins).await
    }

    async fn serve_tls(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        orders: Arc<Orders>,
    ) -> Closed {
        // Boxed, and gone with its handshake.
        let handshake = Box::pin(self.tls.accept(stream, self.settings.handshake));
        let inside = tokio::select! {
            inside = handshake => inside,
            () = told_to_stop(&mut self.stage, LAST_CALL.min(self.settings.grace)) => return Closed::Drained,
        };
        match inside {
            Ok(Inside { stream, protocol, server_name }) => {
                let caller = Caller { client: self.peer, scheme: Scheme::Https, server_name };
                self.connection(caller).run(stream, orders, protocol).await
            }
            Err(error) => {
                self.tell(&error);
                Closed::Handshake
            }
        }
    }

    /// Anybody can have any number of handshakes fail.
    fn tell(&self, error: &HandshakeError) {
        let line = self.ledger.log.debug("a TLS handshake failed");
        line.field("client", self.peer).display("error", error).send();
    }

    fn connection(self, caller: Caller) -> Connection {
        Connection { requests: self.requests, settings: self.settings, stage: self.stage, caller }
    }
}
