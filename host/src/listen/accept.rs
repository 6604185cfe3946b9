//! Accepting: from a bound address to connections, as many as there are places for.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::address::{Bound, Stream};
use super::arrival::Arrival;
use super::places::Places;
use super::tls::Tls;
use super::{Settings, Stage};
use crate::observe::Closed;
use crate::request::{Ledger, Requests};

/// How long accepting rests after it failed for want of descriptors or memory.
pub(super) const REST_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// How often it is told that accepting fails, for as long as it does.
const TELL_EACH: Duration = Duration::from_secs(10);

/// Once the host stops, nothing more is accepted when nobody has come for so long, or after so long in any case.
const QUIET: Duration = Duration::from_millis(10);
const LAST_MOMENT: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Accepting {
    pub(super) requests: Arc<Requests>,
    pub(super) settings: Arc<Settings>,
    pub(super) ledger: Ledger,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) connections: TaskTracker,
    pub(super) places: Places,
    pub(super) tls: Arc<Tls>,
}

impl Accepting {
    /// Accepts until the host stops.
    pub(super) async fn run(self, bound: Bound) {
        let mut stage = self.stage.clone();
        tokio::select! {
            () = self.accept_all(&bound) => {}
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => {}
        }
        if bound.is_ours() {
            let _ = timeout(LAST_MOMENT, self.accept_the_rest(&bound)).await;
        }
    }

    /// What is in the queue when the listener is closed is reset by the system, though its clients were told that they are
    /// connected.
    async fn accept_the_rest(&self, bound: &Bound) {
        while let Ok(place) = timeout(QUIET, self.places.any()).await
            && let Ok(Ok((stream, peer))) = timeout(QUIET, bound.accept()).await
        {
            self.take(stream, peer, bound, place);
        }
    }

    async fn accept_all(&self, bound: &Bound) {
        let mut told_at: Option<Instant> = None;
        loop {
            // At the limit nothing more is accepted: newcomers wait in the system's own queue.
            let place = self.places.any().await;
            match bound.accept().await {
                Ok((stream, peer)) => self.take(stream, peer, bound, place),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    if told_at.is_none_or(|told_at| told_at.elapsed() >= TELL_EACH) {
                        told_at = Some(Instant::now());
                        self.ledger
                            .log
                            .error("cannot accept connections; trying again")
                            .display("address", bound.address())
                            .field("error", format_args!("{error}"))
                            .send();
                    }
                    tokio::time::sleep(REST_AFTER_FAILURE).await;
                }
            }
        }
    }

    fn take(&self, stream: Stream, peer: Option<IpAddr>, bound: &Bound, place: OwnedSemaphorePermit) {
        // Behind a proxy are many clients, and whose connection this is is known when the proxy has said so.
        let counted = peer.filter(|_| !self.settings.trusted.has(peer));
        let of_client = counted.map(|client| self.places.of(client));
        if matches!(of_client, Some(None)) {
            self.ledger.metrics.connection_closed(Closed::TooMany);
            return;
        }
        let arrival = Arrival {
            requests: self.requests.clone(),
            settings: self.settings.clone(),
            ledger: self.ledger.clone(),
            stage: self.stage.clone(),
            places: self.places.clone(),
            tls: self.tls.clone(),
            spoken: bound.spoken(),
            peer,
        };
        let metrics = self.ledger.metrics.clone();
        let open = metrics.connection_guard();
        let mut stage = self.stage.clone();
        self.connections.spawn(async move {
            let serve = async move {
                match stream {
                    Stream::Tcp(stream) => arrival.serve(stream).await,
                    Stream::Unix(stream) => arrival.serve(stream).await,
                }
            };
            let closed = tokio::select! {
                closed = serve => closed,
                _ = stage.wait_for(|stage| *stage == Stage::Ending) => Closed::Cut,
            };
            metrics.connection_closed(closed);
            drop((open, of_client, place));
        });
    }
}

/// Whether one client's connection failed, and not accepting as such.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected
    )
}
