//! The state that all calls share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::FromRef;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::body::Patience;
use super::problem::Problem;
use super::tokens::Tokens;
use crate::deploy::ControlPlane;
use crate::tenant::TenantName;

/// The uploads of one tenant that are taken at once; more wait. An upload is held in memory while it is compiled.
const UPLOADS_AT_ONCE: usize = 2;

/// The state of the API; clones share it.
#[derive(Clone)]
pub(super) struct Api(Arc<Shared>);

/// What the calls share.
pub(super) struct Shared {
    pub(super) plane: Arc<ControlPlane>,
    pub(super) tokens: Tokens,
    pub(super) uploads: Uploads,
    /// The time when the host started (RFC 3339).
    pub(super) started: String,
    /// The longest wait for the next piece of a body.
    pub(super) patience: Duration,
    /// The OpenAPI document.
    pub(super) openapi: Bytes,
    /// The end of the API.
    pub(super) stopping: Stopping,
}

/// The end of the API, as its connections and streams see it.
#[derive(Clone)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// The end, which the server sets to true, and a view of it.
    pub(super) fn new() -> (watch::Sender<bool>, Self) {
        let (stop, stopping) = watch::channel(false);
        (stop, Self(stopping))
    }

    /// Ready when the API stops.
    pub(super) async fn begun(&self) {
        // A sender that is gone has nothing more to serve for.
        let _ = self.0.clone().wait_for(|stopping| *stopping).await;
    }
}

impl Api {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<Api> for Patience {
    fn from_ref(api: &Api) -> Self {
        Self(api.patience)
    }
}

/// The uploads that are under way, by tenant.
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<TenantName, Weak<Semaphore>>>);

impl Uploads {
    /// A place for an upload of this tenant, which may take a while to get.
    pub(super) async fn place(&self, tenant: &TenantName) -> Result<OwnedSemaphorePermit, Problem> {
        let places = {
            let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match uploads.get(tenant).and_then(Weak::upgrade) {
                Some(places) => places,
                None => {
                    uploads.retain(|_, places| places.strong_count() > 0);
                    let places = Arc::new(Semaphore::new(UPLOADS_AT_ONCE));
                    uploads.insert(tenant.clone(), Arc::downgrade(&places));
                    places
                }
            }
        };
        // The semaphore is never closed.
        places.acquire_owned().await.map_err(|error| Problem::of_the_host(error.to_string()))
    }
}
