//! Admission: a routed request and its place in the tenant's quota, by value.
//!
//! Links take an [`Admitted`] request and nothing else, so no guest runs for a request that has no place. The place
//! is given up while the host waits for a caller's bytes, and taken anew before any guest runs again. A request that
//! is refused then is answered past all filters, like a request that is refused at first.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use super::error::RequestError;
use super::negotiation::Negotiation;
use super::place::QuotaPlace;
use crate::sandbox::Context;
use crate::snapshot::{Plugin, Revision};
use crate::tenant::Patience;

/// A routed request: the part of it that its chain uses.
pub(super) struct RoutedRequest<'a> {
    pub(super) revision: &'a Arc<Revision>,
    pub(super) filters: &'a [Arc<Plugin>],
    pub(super) context: Arc<Context>,
    pub(super) patience: Patience,
    /// The end of the last link's `wall`.
    pub(super) deadline: Instant,
    /// None if the route offers no compression.
    pub(super) negotiation: Option<Negotiation>,
    pub(super) account: &'a mut Account,
}

/// A routed request that has its place in the tenant's quota.
pub(super) struct Admitted<'a> {
    request: RoutedRequest<'a>,
    place: Arc<QuotaPlace>,
}

/// A routed request whose body the host waits for. It holds nothing of the tenant's.
pub(super) struct Uploading<'a> {
    request: RoutedRequest<'a>,
    since: Instant,
}

/// A routed request that was not admitted, with the reason.
pub(super) struct NotAdmitted<'a> {
    pub(super) request: RoutedRequest<'a>,
    pub(super) error: RequestError,
}

impl<'a> RoutedRequest<'a> {
    /// Takes a place for the request. Waits for the place if need be, but never past the request's deadline.
    pub(super) async fn admit(mut self) -> Result<Admitted<'a>, NotAdmitted<'a>> {
        match QuotaPlace::take(self.revision, &mut self.patience, self.deadline).await {
            Ok(place) => Ok(Admitted { request: self, place: Arc::new(place) }),
            Err(error) => Err(NotAdmitted { request: self, error: error.into() }),
        }
    }
}

impl<'a> Admitted<'a> {
    /// Gives the place up while the body is waited for.
    pub(super) fn upload(self) -> Uploading<'a> {
        Uploading { request: self.request, since: Instant::now() }
    }

    pub(super) fn place(&self) -> &Arc<QuotaPlace> {
        &self.place
    }

    pub(super) fn into_place(self) -> Arc<QuotaPlace> {
        self.place
    }
}

impl<'a> Deref for Admitted<'a> {
    type Target = RoutedRequest<'a>;

    fn deref(&self) -> &RoutedRequest<'a> {
        &self.request
    }
}

impl DerefMut for Admitted<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.request
    }
}

impl<'a> Uploading<'a> {
    /// Takes a place anew. The time spent on waiting for the body does not count into `wall`.
    pub(super) async fn admit(self) -> Result<Admitted<'a>, NotAdmitted<'a>> {
        let Self { mut request, since } = self;
        request.deadline = request.deadline.checked_add(since.elapsed()).unwrap_or(request.deadline);
        request.admit().await
    }

    /// Ends the request: no guest runs for it any more.
    pub(super) fn refuse(self, error: RequestError) -> NotAdmitted<'a> {
        NotAdmitted { request: self.request, error }
    }
}

/// The end of a `wall` that begins now.
pub(super) fn deadline(wall: Duration) -> Instant {
    let now = Instant::now();
    // A wall beyond the clock's range is no wall; a century serves as well.
    now.checked_add(wall).unwrap_or_else(|| now.checked_add(CENTURY).unwrap_or(now))
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
