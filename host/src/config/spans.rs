//! The places in a site file of things whose faults are found after reading.
//!
//! The spans are a table beside the site: the settings that are run contain no spans, so two of them are equal
//! wherever they are written.

use std::collections::BTreeMap;

use super::source::Span;
use crate::capability::files::MountName;
use crate::document::Place;
use crate::tenant::{PluginName, SecretName, TenantName};

/// The spans of a site.
#[derive(Debug, Default)]
pub struct Spans {
    /// The spans of the pairs in `[[host.tls]]`, in their order.
    pub tls: Vec<PairSpans>,
    /// The span of the path `certificates` in `[host.outbound]`.
    pub certificates: Span,
    pub(super) tenants: BTreeMap<TenantName, TenantSpans>,
}

/// The spans of a certificate and its key.
#[derive(Debug)]
pub struct PairSpans {
    /// The span of the certificate's path.
    pub certificate: Span,
    /// The span of the key's path.
    pub key: Span,
}

/// The spans of one tenant.
#[derive(Debug, Default)]
pub(super) struct TenantSpans {
    pub(super) plugins: BTreeMap<PluginName, PluginSpans>,
    /// The spans of the sources of secrets.
    pub(super) secrets: BTreeMap<SecretName, Span>,
    /// The spans of the routes, in the order of the document.
    pub(super) routes: Vec<RouteSpans>,
}

/// The spans of a plugin.
#[derive(Debug)]
pub(super) struct PluginSpans {
    pub(super) name: Span,
    pub(super) component: Span,
    pub(super) mounts: BTreeMap<MountName, Span>,
}

/// The spans of a route.
#[derive(Debug)]
pub(super) struct RouteSpans {
    pub(super) path: Span,
    pub(super) filters: Vec<Span>,
    pub(super) plugin: Span,
}

impl Spans {
    /// The span of a place in a tenant's document; if the file does not have the place, an empty span at the start of
    /// the text.
    pub fn of(&self, tenant: &TenantName, place: &Place) -> Span {
        let tenant = self.tenants.get(tenant);
        tenant.and_then(|tenant| tenant.of(place)).cloned().unwrap_or_default()
    }
}

impl TenantSpans {
    pub(super) fn of(&self, place: &Place) -> Option<&Span> {
        match place {
            Place::Document => None,
            Place::Plugin(name) => Some(&self.plugins.get(name)?.name),
            Place::Component(name) => Some(&self.plugins.get(name)?.component),
            Place::Mount(name, mount) => self.plugins.get(name)?.mounts.get(mount),
            Place::Filter { route, filter } => self.routes.get(*route)?.filters.get(*filter),
            Place::Route(route) => Some(&self.routes.get(*route)?.path),
            Place::RoutePlugin(route) => Some(&self.routes.get(*route)?.plugin),
            Place::Secret(name) => self.secrets.get(name),
        }
    }
}
