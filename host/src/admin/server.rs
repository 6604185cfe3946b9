//! The server of the admin API: accepts on its addresses until it is stopped, as many connections as it has places for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::{Api, Shared, Stopping, Uploads};
use super::connection::Reception;
use super::gate::{Gate, Peer};
use super::logins::Logins;
use super::routes;
use super::settings::AdminSettings;
use super::tokens::Tokens;
use crate::deploy::{ControlPlane, now};
use crate::listen::{Address, Certificates, Listener, Stream, bounds};
use crate::observe::Log;
use crate::request::RequestIds;

/// The server of the admin API. Dropped, it ends at once.
pub struct AdminServer {
    stop: watch::Sender<bool>,
    cut: CancellationToken,
    connections: TaskTracker,
    grace: Duration,
}

impl AdminServer {
    /// The most connections over TCP. One more waits in the queue of the system.
    pub const MAX_CONNECTIONS: usize = 256;

    /// The most connections at Unix sockets.
    pub const MAX_CONNECTIONS_AT_SOCKETS: usize = 64;

    /// Starts to accept connections.
    pub fn start(
        listeners: Vec<Listener>,
        plane: Arc<ControlPlane>,
        certificates: Certificates,
        settings: AdminSettings,
        log: Log,
    ) -> Self {
        let (stop, stopping) = Stopping::new();
        let tokens = Tokens::new(plane.clone());
        let api = Api::new(Shared {
            plane,
            tokens: tokens.clone(),
            uploads: Uploads::default(),
            started: now(),
            patience: settings.body,
            openapi: routes::document().into(),
            stopping: stopping.clone(),
        });
        let grace = settings.grace;
        let cut = CancellationToken::new();
        let connections = TaskTracker::new();
        let reception = Arc::new(Reception {
            router: routes::router().split_for_parts().0.with_state(api),
            gate: Gate { tokens, certificates, logins: Logins::default() },
            ids: RequestIds::new(),
            settings,
            log,
            stopping,
            cut: cut.clone(),
        });
        let places = Arc::new(Semaphore::new(Self::MAX_CONNECTIONS));
        // Whoever takes all places over TCP does not keep the operator from the socket.
        let places_at_sockets = Arc::new(Semaphore::new(Self::MAX_CONNECTIONS_AT_SOCKETS));
        for listener in listeners {
            let places = match listener.address() {
                Address::Tcp(_) => &places,
                Address::Unix(_) => &places_at_sockets,
            };
            let accept = accept_all(listener, reception.clone(), places.clone(), connections.clone());
            let stopping = reception.stopping.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = accept => {}
                    () = stopping.begun() => {}
                }
            });
        }
        Self { stop, cut, connections, grace }
    }

    /// Accepts nothing more, ends streams of events, and waits for calls in flight within the grace time.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        self.connections.close();
        if tokio::time::timeout(self.grace, self.connections.wait()).await.is_err() {
            self.cut.cancel();
            self.connections.wait().await;
        }
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.cut.cancel();
    }
}

async fn accept_all(
    listener: Listener,
    reception: Arc<Reception>,
    places: Arc<Semaphore>,
    connections: TaskTracker,
) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                let line = reception.log.warn("cannot accept a connection to the admin API; trying again");
                line.display("address", listener.address()).display("error", error).send();
                tokio::time::sleep(bounds::PAUSE_AFTER_FAILED_ACCEPT).await;
                continue;
            }
        };
        let (reception, speaks_tls) = (reception.clone(), listener.preamble().tls);
        connections.spawn(async move {
            match (stream, peer) {
                (Stream::Unix(stream), _) => reception.serve(stream, Peer::Socket, speaks_tls).await,
                (Stream::Tcp(stream), Some(peer)) => {
                    reception.serve(stream, Peer::Address(peer), speaks_tls).await;
                }
                // TCP always has an address.
                (Stream::Tcp(_), None) => {}
            }
            drop(place);
        });
    }
}
