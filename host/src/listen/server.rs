//! The server: listens on all addresses until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::accept::Acceptor;
use super::arrival::Reception;
use super::settings::Settings;
use super::shutdown::{Shutdown, ShutdownStage};
use super::socket::{ConnectionSlots, Listener};
use super::tls::Tls;
use crate::request::{Ledger, Requests};

/// A server on all of its addresses.
pub struct Server {
    stage: watch::Sender<ShutdownStage>,
    connections: TaskTracker,
    tls: Arc<Tls>,
    grace: Duration,
}

impl Server {
    /// Starts to accept connections.
    pub fn start(
        listeners: Vec<Listener>,
        tls: Tls,
        requests: Arc<Requests>,
        settings: Settings,
        ledger: &Ledger,
    ) -> Self {
        let tls = Arc::new(tls);
        let (stage, shutdown) = Shutdown::new();
        let connections = TaskTracker::new();
        let grace = settings.grace;
        let reception = Arc::new(Reception {
            requests,
            tls: tls.clone(),
            // Each listener takes one slot for its next connection, even if none comes.
            slots: ConnectionSlots::new(
                settings.connections.saturating_add(listeners.len()).saturating_sub(1),
                settings.connections_per_client,
            ),
            settings: Arc::new(settings),
            ledger: ledger.clone(),
            shutdown,
        });
        for listener in listeners {
            let acceptor = Acceptor { reception: reception.clone(), connections: connections.clone() };
            connections.spawn(acceptor.run(listener));
        }
        Self { stage, connections, tls, grace }
    }

    /// Looks at the certificates' files now, and not only at the next interval.
    pub fn look_at_certificates(&self) {
        self.tls.look();
    }

    /// Accepts nothing more, waits for requests in flight, and cuts connections whose requests are not done within
    /// the grace time. Returns the number of cut connections.
    pub async fn stop(&self) -> usize {
        self.stage.send_replace(ShutdownStage::Draining);
        self.connections.close();
        if tokio::time::timeout(self.grace, self.connections.wait()).await.is_ok() {
            return 0;
        }
        let left = self.connections.len();
        self.stage.send_replace(ShutdownStage::Ending);
        self.connections.wait().await;
        left
    }
}
