//! A site as the host runs it: every name, address, path and limit resolved and checked.
//!
//! Owns the types that the other rooms see, and the ways to get one. Components are named by their paths here; that
//! they exist and what they import is seen when they are deployed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::findings::Findings;
use super::source::{Source, Span};
use super::{read, resolve};
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

impl Site {
    /// Reads the site file at `path`: all that is wrong with it, or a site.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        Self::from_source(Source::read(path)?)
    }

    /// Takes `text` as that of a site file at `path`, which need not exist.
    pub fn parse(path: &Path, text: String) -> Result<Self, Diagnostics> {
        Self::from_source(Source::new(path, text))
    }

    /// The site of one component without a site file: it answers every path of every host, with every grant.
    ///
    /// The tenant is `default`; the plugin is named after the file, or `plugin` where that gives no name. State is
    /// kept beside the component.
    pub fn for_component(path: &Path) -> Self {
        let source = Source::new(path, String::new());
        let component = source.folder().join(path.file_name().unwrap_or(path.as_os_str()));
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let named = read::name_like(&stem).and_then(|name| PluginName::parse(&name).ok());
        let plugin = PluginSite {
            component,
            component_span: 0..0,
            grants: Grants { keyvalue: true, keyvalue_shared: true, limiter: true },
            config: BTreeMap::new(),
            limits: Limits::default(),
            span: 0..0,
        };
        let route = |pattern: RoutePattern, plugin: &PluginName| RouteSite {
            pattern,
            hosts: Vec::new(),
            methods: None,
            headers: Vec::new(),
            filters: Vec::new(),
            filter_spans: Vec::new(),
            plugin: plugin.clone(),
            plugin_span: 0..0,
            span: 0..0,
        };
        let patterns = ["/", "/{*rest}"].into_iter().filter_map(|path| RoutePattern::parse(path).ok());
        let plugin_name = named.or_else(|| PluginName::parse("plugin").ok());
        let tenant = plugin_name.map(|name| TenantSite {
            hosts: HostPattern::parse("*").into_iter().collect(),
            quota: Quota::default(),
            routes: patterns.map(|pattern| route(pattern, &name)).collect(),
            plugins: BTreeMap::from([(name, plugin)]),
        });
        let host = resolve::host_settings(&Default::default(), &mut Findings::new(source.clone()));
        let tenants = TenantName::parse("default").ok().zip(tenant).into_iter().collect();
        Self { source, host, tenants, warnings: Vec::new() }
    }

    fn from_source(source: Arc<Source>) -> Result<Self, Diagnostics> {
        let mut findings = Findings::new(source.clone());
        let document = read::document(&mut findings);
        // Of half a file it cannot be told what fits together.
        let resolved = (!findings.is_broken()).then(|| resolve::site(&document, &mut findings));
        match resolved {
            Some((host, tenants)) if findings.errors() == 0 => {
                let warnings = Diagnostics::from(findings.into_list()).into_iter().collect();
                Ok(Self { source, host, tenants, warnings })
            }
            _ => Err(findings.into_list().into()),
        }
    }
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
