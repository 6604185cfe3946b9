//! What comes before HTTP on a connection: who is asking, and over what.

use std::fmt::Display;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use super::connection::{Connection, LAST_CALL, Protocol, told_to_stop};
use super::places::Places;
use super::proxy_protocol::{self, Origin};
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
        mut stream: impl AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
    ) -> Closed {
        let client = match self.client(&mut stream).await {
            Ok(client) => client,
            Err(closed) => return closed,
        };
        let _place = match client.passed_on() {
            Some(address) => match self.places.of(address) {
                Some(place) => Some(place),
                None => return Closed::TooMany,
            },
            None => None,
        };
        let orders = Arc::new(Orders::default());
        let stream = Socket::new(stream, orders.clone());
        if self.spoken.tls {
            // Boxed: a connection without TLS is not to have the size of one with it.
            return Box::pin(self.serve_tls(stream, orders, client)).await;
        }
        self.connection(client, Scheme::Http, None).run(stream, orders, Protocol::AsItBegins).await
    }

    async fn serve_tls(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        orders: Arc<Orders>,
        client: Client,
    ) -> Closed {
        // Boxed, and gone with its handshake.
        let handshake = Box::pin(self.tls.accept(stream, self.settings.handshake));
        let inside = tokio::select! {
            inside = handshake => inside,
            () = told_to_stop(&mut self.stage, LAST_CALL) => return Closed::Drained,
        };
        match inside {
            Ok(Inside { stream, protocol, server_name }) => {
                self.connection(client, Scheme::Https, server_name).run(stream, orders, protocol).await
            }
            Err(error) => {
                self.tell(client.address(), &error);
                Closed::Handshake
            }
        }
    }

    /// Anybody can have any number of handshakes fail.
    fn tell(&self, client: Option<IpAddr>, error: &HandshakeError) {
        let line = self.ledger.log.debug("a TLS handshake failed");
        line.field("client", client).display("error", error).send();
    }

    fn connection(self, client: Client, scheme: Scheme, server_name: Option<Arc<str>>) -> Connection {
        let is_trusted = match client {
            Client::Peer(peer) => self.settings.trusted.has(peer),
            // Who has no address is not who connects to a Unix socket here.
            Client::PassedOn(client) => client.is_some() && self.settings.trusted.has(client),
        };
        // What a trusted proxy named is that proxy's setting, and no caller's wish.
        let server_name = server_name.filter(|_| !(is_trusted && self.settings.trusted.any_server_name));
        let caller = Caller { client: client.address(), scheme, server_name };
        let Self { requests, settings, stage, .. } = self;
        Connection { requests, settings, stage, caller, is_trusted }
    }

    /// Whose connection it is.
    async fn client(&self, stream: &mut (impl AsyncRead + Unpin)) -> Result<Client, Closed> {
        if !self.spoken.proxy_protocol {
            return Ok(Client::Peer(self.peer));
        }
        let refused = |why: &dyn Display| {
            self.ledger
                .log
                .debug("a connection was closed that says not whose it is as it should")
                .field("peer", self.peer)
                .field("error", format_args!("{why}"))
                .send();
            Closed::Handshake
        };
        if !self.settings.trusted.has(self.peer) {
            return Err(refused(&"who connects is not in `[host.proxy] trusted`"));
        }
        let header = timeout(self.settings.handshake, proxy_protocol::read(stream));
        match header.await.map_err(|_| refused(&"its header did not come in time"))? {
            Ok(Origin::Proxy) => Ok(Client::Peer(self.peer)),
            Ok(Origin::Client(client)) => Ok(Client::PassedOn(client)),
            Err(why) => Err(refused(&why)),
        }
    }
}

/// Whose connection it is.
#[derive(Clone, Copy)]
enum Client {
    /// Of who connected.
    Peer(Option<IpAddr>),
    /// Of who is behind a proxy that says so.
    PassedOn(Option<IpAddr>),
}

impl Client {
    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Peer(address) | Self::PassedOn(address) => address,
        }
    }

    /// Who has not been counted yet: the proxy was not, since it is trusted.
    fn passed_on(self) -> Option<IpAddr> {
        match self {
            Self::Peer(_) => None,
            Self::PassedOn(address) => address,
        }
    }
}
