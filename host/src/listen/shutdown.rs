//! Shutdown, as listeners and connections see it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// The stage of a server's shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShutdownStage {
    Serving,
    /// No new connection is accepted; each present one ends with its requests.
    Draining,
    /// All remaining connections are cut.
    Ending,
}

/// A view of the shutdown's stage.
#[derive(Clone)]
pub(super) struct Shutdown(watch::Receiver<ShutdownStage>);

impl Shutdown {
    /// The stage, which only the server sets, and a view of it.
    pub(super) fn new() -> (watch::Sender<ShutdownStage>, Self) {
        let (stage, watched) = watch::channel(ShutdownStage::Serving);
        (stage, Self(watched))
    }

    /// Ready when the host has begun to stop.
    pub(super) async fn begun(&mut self) {
        // A sender that is gone has nothing more to serve for.
        let _ = self.0.wait_for(|stage| *stage != ShutdownStage::Serving).await;
    }

    /// Ready when the host has begun to stop, and `patience` has passed since.
    pub(super) async fn begun_since(&mut self, patience: Duration) {
        self.begun().await;
        sleep(patience).await;
    }

    /// Ready when the grace time is over.
    pub(super) async fn grace_is_over(&mut self) {
        let _ = self.0.wait_for(|stage| *stage == ShutdownStage::Ending).await;
    }
}
