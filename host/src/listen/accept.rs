//! Accepting: from a listener to connections, as many as there are slots for.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::arrival::{Arrival, Reception};
use super::bounds::PAUSE_AFTER_FAILED_ACCEPT;
use super::socket::{Listener, Stream};
use crate::observe::Closed;

/// The interval at which the log reports that accepting fails, for as long as it fails.
const TELL_EACH: Duration = Duration::from_secs(10);

/// The bounds of accepting once the host stops: accepting ends when no connection has come for `QUIET`, and after
/// `LAST_MOMENT` in any case.
const QUIET: Duration = Duration::from_millis(10);
const LAST_MOMENT: Duration = Duration::from_millis(250);

/// The loop that accepts the connections of one listener.
pub(super) struct Acceptor {
    pub(super) reception: Arc<Reception>,
    pub(super) connections: TaskTracker,
}

impl Acceptor {
    /// Accepts until the host stops.
    pub(super) async fn run(self, listener: Listener) {
        let mut shutdown = self.reception.shutdown.clone();
        tokio::select! {
            () = self.accept_all(&listener) => {}
            () = shutdown.begun() => {}
        }
        if listener.is_ours() {
            let _ = timeout(LAST_MOMENT, self.accept_the_rest(&listener)).await;
        }
    }

    /// Accepts the connections that are still in the listener's queue. When the listener is closed, the system resets
    /// them, although their clients were told that they are connected.
    async fn accept_the_rest(&self, listener: &Listener) {
        while let Ok(slot) = timeout(QUIET, self.reception.slots.any()).await
            && let Ok(Ok((stream, peer))) = timeout(QUIET, listener.accept()).await
        {
            self.take(stream, peer, listener, slot);
        }
    }

    async fn accept_all(&self, listener: &Listener) {
        let mut told_at: Option<Instant> = None;
        loop {
            // At the limit, no more connections are accepted: they wait in the system's own queue.
            let slot = self.reception.slots.any().await;
            match listener.accept().await {
                Ok((stream, peer)) => self.take(stream, peer, listener, slot),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    if told_at.is_none_or(|told_at| told_at.elapsed() >= TELL_EACH) {
                        told_at = Some(Instant::now());
                        self.reception
                            .ledger
                            .log
                            .error("cannot accept connections; trying again")
                            .display("address", listener.address())
                            .field("error", format_args!("{error}"))
                            .send();
                    }
                    tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
                }
            }
        }
    }

    fn take(&self, stream: Stream, peer: Option<IpAddr>, listener: &Listener, slot: OwnedSemaphorePermit) {
        let Reception { settings, slots, ledger, .. } = &*self.reception;
        // A trusted proxy has many clients behind it: its connections are counted when it has named the client.
        let counted = peer.filter(|_| !settings.trusted.has(peer));
        let client_slot = counted.map(|client| slots.of(client));
        if matches!(client_slot, Some(None)) {
            ledger.metrics.connection_closed(Closed::TooMany);
            return;
        }
        let metrics = ledger.metrics.clone();
        let open = metrics.connection_guard();
        let mut shutdown = self.reception.shutdown.clone();
        let arrival = Arrival { reception: self.reception.clone(), preamble: listener.preamble(), peer };
        self.connections.spawn(async move {
            let serve = async move {
                match stream {
                    Stream::Tcp(stream) => arrival.serve(stream).await,
                    Stream::Unix(stream) => arrival.serve(stream).await,
                }
            };
            let closed = tokio::select! {
                closed = serve => closed,
                () = shutdown.grace_is_over() => Closed::Cut,
            };
            metrics.connection_closed(closed);
            drop((open, client_slot, slot));
        });
    }
}

/// True if only one client's connection failed, and not accepting as such.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected
    )
}
