//! Where in a site file things stand with which something may be wrong that is found later.
//!
//! The side table of a site: what is run has no spans, so that it is equal wherever it is written.

use std::collections::BTreeMap;

use super::source::Span;
use crate::document::Place;
use crate::tenant::{PluginName, SecretName, TenantName};

/// The spans of a site.
#[derive(Debug, Default)]
pub struct Spans {
    /// Of the pairs in `[[host.tls]]`, in their order.
    pub tls: Vec<PairSpans>,
    /// Of the path `certificates` in `[host.outbound]`.
    pub certificates: Span,
    pub(super) tenants: BTreeMap<TenantName, TenantSpans>,
}

/// The spans of a certificate and its key.
#[derive(Debug)]
pub struct PairSpans {
    /// Of the certificate's path.
    pub certificate: Span,
    /// Of the key's path.
    pub key: Span,
}

/// The spans of one tenant.
#[derive(Debug, Default)]
pub(super) struct TenantSpans {
    pub(super) plugins: BTreeMap<PluginName, PluginSpans>,
    /// Of the sources of secrets.
    pub(super) secrets: BTreeMap<SecretName, Span>,
    /// In the order of the document's routes.
    pub(super) routes: Vec<RouteSpans>,
}

/// The spans of a plugin.
#[derive(Debug)]
pub(super) struct PluginSpans {
    pub(super) name: Span,
    pub(super) component: Span,
}

/// The spans of a route.
#[derive(Debug)]
pub(super) struct RouteSpans {
    pub(super) path: Span,
    pub(super) filters: Vec<Span>,
    pub(super) plugin: Span,
}

impl Spans {
    /// The span of a place in a tenant's document; an empty one at the start of the text if the file does not have it.
    pub fn of(&self, tenant: &TenantName, place: &Place) -> Span {
        let tenant = self.tenants.get(tenant);
        tenant.and_then(|tenant| tenant.of(place)).cloned().unwrap_or_default()
    }
}

impl TenantSpans {
    fn of(&self, place: &Place) -> Option<&Span> {
        match place {
            Place::Document => None,
            Place::Plugin(name) => Some(&self.plugins.get(name)?.name),
            Place::Component(name) => Some(&self.plugins.get(name)?.component),
            Place::Filter { route, filter } => self.routes.get(*route)?.filters.get(*filter),
            Place::RoutePlugin(route) => Some(&self.routes.get(*route)?.plugin),
            Place::Secret(name) => self.secrets.get(name),
        }
    }
}
