//! The arrival of a connection: its client and TLS, which come before HTTP.

use std::fmt::Display;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::bounds::LAST_CALL;
use super::http::Connection;
use super::settings::Settings;
use super::shutdown::Shutdown;
use super::socket::{ConnectionOwner, ConnectionSlots, Preamble, Wire, WireHandle, read_proxy_header};
use super::tls::{HandshakeError, Tls, TlsConnection};
use crate::observe::Closed;
use crate::request::{Caller, Ledger, Requests, Scheme};

/// The parts of the server that each new connection needs.
pub(super) struct Reception {
    pub(super) requests: Arc<Requests>,
    pub(super) settings: Arc<Settings>,
    pub(super) ledger: Ledger,
    pub(super) shutdown: Shutdown,
    pub(super) slots: ConnectionSlots,
    pub(super) tls: Arc<Tls>,
}

/// A connection that was accepted.
pub(super) struct Arrival {
    pub(super) reception: Arc<Reception>,
    pub(super) preamble: Preamble,
    /// The peer's address, if the peer has one.
    pub(super) peer: Option<IpAddr>,
}

impl Arrival {
    /// Serves the connection to its end.
    pub(super) async fn serve(
        self,
        mut stream: impl AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
    ) -> Closed {
        let client = match self.client(&mut stream).await {
            Ok(client) => client,
            Err(closed) => return closed,
        };
        let _slot = match client.uncounted() {
            Some(address) => match self.reception.slots.of(address) {
                Some(slot) => Some(slot),
                None => return Closed::TooMany,
            },
            None => None,
        };
        let Settings { write, rate_bytes_per_second, .. } = *self.reception.settings;
        let (wire, handle) = Wire::new(stream, write, rate_bytes_per_second);
        if self.preamble.tls {
            // Boxed: a connection without TLS is not to have the size of one with it.
            return Box::pin(self.serve_tls(wire, handle, client)).await;
        }
        self.connection(client, Scheme::Http, None).run(wire, handle, None).await
    }

    async fn serve_tls(
        self,
        wire: Wire<impl AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static>,
        handle: Arc<WireHandle>,
        client: ClientAddress,
    ) -> Closed {
        let Reception { tls, settings, shutdown, .. } = &*self.reception;
        let mut shutdown = shutdown.clone();
        // Boxed: the future is dropped with the end of the handshake.
        let handshake = Box::pin(tls.accept(wire, &handle, settings.handshake));
        let connection = tokio::select! {
            connection = handshake => connection,
            () = shutdown.begun_since(LAST_CALL) => return Closed::Drained,
        };
        match connection {
            Ok(TlsConnection { stream, protocol, server_name }) => {
                self.connection(client, Scheme::Https, server_name).run(stream, handle, Some(protocol)).await
            }
            Err(error) => {
                self.log_failed_handshake(client.address(), &error);
                Closed::Handshake
            }
        }
    }

    /// Logs at the debug level, because any client can make any number of handshakes fail.
    fn log_failed_handshake(&self, client: Option<IpAddr>, error: &HandshakeError) {
        let line = self.reception.ledger.log.debug("a TLS handshake failed");
        line.field("client", client).display("error", error).send();
    }

    fn connection(self, client: ClientAddress, scheme: Scheme, server_name: Option<Arc<str>>) -> Connection {
        let Reception { requests, settings, shutdown, .. } = &*self.reception;
        let trusted = &settings.trusted;
        let is_trusted = match client {
            ClientAddress::Direct(peer) => trusted.has(peer),
            // A PROXY header without an address does not count as the trusted Unix peer.
            ClientAddress::Forwarded(client) => client.is_some() && trusted.has(client),
        };
        // The server name that a trusted proxy asks for is the proxy's setting, and not a caller's wish.
        let server_name = server_name.filter(|_| !(is_trusted && trusted.any_server_name));
        Connection {
            caller: Caller { client: client.address(), scheme, server_name },
            is_trusted,
            requests: requests.clone(),
            settings: settings.clone(),
            shutdown: shutdown.clone(),
        }
    }

    /// The client of the connection.
    async fn client(&self, stream: &mut (impl AsyncRead + Unpin)) -> Result<ClientAddress, Closed> {
        if !self.preamble.proxy_protocol {
            return Ok(ClientAddress::Direct(self.peer));
        }
        let Reception { ledger, settings, .. } = &*self.reception;
        let refused = |why: &dyn Display| {
            ledger
                .log
                .debug("a connection was closed that says not whose it is as it should")
                .field("peer", self.peer)
                .field("error", format_args!("{why}"))
                .send();
            Closed::Handshake
        };
        if !settings.trusted.has(self.peer) {
            return Err(refused(&"who connects is not in `[host.proxy] trusted`"));
        }
        let header = timeout(settings.handshake, read_proxy_header(stream));
        match header.await.map_err(|_| refused(&"its header did not come in time"))? {
            Ok(ConnectionOwner::Proxy) => Ok(ClientAddress::Direct(self.peer)),
            Ok(ConnectionOwner::Client(client)) => Ok(ClientAddress::Forwarded(client)),
            Err(why) => Err(refused(&why)),
        }
    }
}

/// The address of a connection's client.
#[derive(Clone, Copy)]
enum ClientAddress {
    /// The peer's.
    Direct(Option<IpAddr>),
    /// A client behind the peer, which is a trusted proxy and has named the client.
    Forwarded(Option<IpAddr>),
}

impl ClientAddress {
    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Direct(address) | Self::Forwarded(address) => address,
        }
    }

    /// The client's address, if the client's connections have not been counted yet: those of a trusted proxy are not.
    fn uncounted(self) -> Option<IpAddr> {
        match self {
            Self::Direct(_) => None,
            Self::Forwarded(address) => address,
        }
    }
}
