//! A site as the host runs it: every name, address, path and limit resolved and checked.
//!
//! Owns the types that the other rooms see. Components are named by their paths here; that
//! they exist and what they import is seen when they are deployed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::source::{Source, Span};
use crate::capability::Grants;
use crate::snapshot::{HostPattern, RoutePattern};
use crate::tenant::{Ceilings, Limits, PluginName, Quota, TenantName};

/// All that a site file says.
#[derive(Debug, Clone)]
pub struct Site {
    /// The text that spans point into.
    pub source: Arc<Source>,
    /// `[host]`.
    pub host: HostSettings,
    /// `[tenants]`.
    pub tenants: BTreeMap<TenantName, TenantSite>,
    /// What is likely not meant, and yet can be run.
    pub warnings: Vec<Diagnostic>,
}

/// The host itself. Fixed at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// Where callers connect: at least one.
    pub listen: Vec<ListenAddress>,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub probes: Option<SocketAddr>,
    /// The folder of the embedded store, absolute.
    pub state: PathBuf,
    /// Calls in flight of all tenants together: at least one.
    pub concurrency: usize,
    /// Open connections of clients: at least one.
    pub connections: usize,
    /// How long clients may take.
    pub timeouts: Timeouts,
    /// What no plugin's limits may exceed. `memory` is always there.
    pub limits: Ceilings,
}

/// An address that callers connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address and port; port 0 is any free one.
    Tcp(SocketAddr),
    /// The path of a Unix socket, absolute.
    Unix(PathBuf),
}

/// How long clients may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// A whole request head, and an idle kept-alive connection to begin one.
    pub head: Duration,
    /// Between two pieces of a request's body.
    pub body: Duration,
    /// A client that takes nothing of its answer.
    pub write: Duration,
    /// What is in flight at shutdown; may be zero.
    pub grace: Duration,
}

/// One tenant. Equal if it would run the same way, wherever in the file it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSite {
    /// Its hosts: at least one, and no other tenant has the same.
    pub hosts: Vec<HostPattern>,
    /// What it may use as a whole.
    pub quota: Quota,
    /// Its plugins.
    pub plugins: BTreeMap<PluginName, PluginSite>,
    /// Its routes, in the order of the file. No two of them claim the same request, and all plugins that they name
    /// exist.
    pub routes: Vec<RouteSite>,
}

/// One plugin. Equal whatever its spans are.
#[derive(Debug, Clone)]
pub struct PluginSite {
    /// The file of its component, absolute; it need not exist.
    pub component: PathBuf,
    /// Where the component is named.
    pub component_span: Span,
    /// What it may use.
    pub grants: Grants,
    /// What it reads through `wasi:config/store`.
    pub config: BTreeMap<String, String>,
    /// Its limits, none above a ceiling.
    pub limits: Limits,
    /// Where the plugin is named.
    pub span: Span,
}

/// One route. Equal whatever its spans are.
#[derive(Debug, Clone)]
pub struct RouteSite {
    /// The paths.
    pub pattern: RoutePattern,
    /// The hosts; empty is all of the tenant's.
    pub hosts: Vec<HostPattern>,
    /// The methods, at least one; `None` is every method.
    pub methods: Option<Vec<http::Method>>,
    /// The headers that a request must have; no name is there twice.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// The plugins before the plugin, in order.
    pub filters: Vec<PluginName>,
    /// Where each of them is named.
    pub filter_spans: Vec<Span>,
    /// The plugin that answers.
    pub plugin: PluginName,
    /// Where it is named.
    pub plugin_span: Span,
    /// Where the route's path is written.
    pub span: Span,
}

impl PartialEq for PluginSite {
    fn eq(&self, other: &Self) -> bool {
        let Self { component, component_span: _, grants, config, limits, span: _ } = self;
        (component, grants, config, limits) == (&other.component, &other.grants, &other.config, &other.limits)
    }
}

impl Eq for PluginSite {}

impl PartialEq for RouteSite {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            pattern,
            hosts,
            methods,
            headers,
            filters,
            filter_spans: _,
            plugin,
            plugin_span: _,
            span: _,
        } = self;
        (pattern, hosts, methods) == (&other.pattern, &other.hosts, &other.methods)
            && (headers, filters, plugin) == (&other.headers, &other.filters, &other.plugin)
    }
}

impl Eq for RouteSite {}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
