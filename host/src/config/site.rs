//! A site as the host runs it: every name, address, path and limit resolved and checked.
//!
//! Owns the types that the other rooms see. Components are named by their paths here; that
//! they exist and what they import is seen when they are deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::diagnostic::Diagnostic;
use super::source::{Source, Span};
use crate::capability::Grants;
use crate::capability::http::Origin;
use crate::confine::Confinement;
use crate::limits::{Ceilings, IntakeLimits, Limits, Reuse};
use crate::listen::ForwardedFields;
use crate::snapshot::{HostPattern, RoutePattern};
use crate::tenant::{NameError, PluginName, Quota, TenantName};

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
    pub listen: Vec<ListenSite>,
    /// Certificates for those of them that speak TLS.
    pub tls: Vec<TlsSite>,
    /// The proxies in front.
    pub proxy: ProxySettings,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub probes: Option<SocketAddr>,
    /// The folder of the embedded store, absolute.
    pub state: PathBuf,
    /// Calls in flight of all tenants together: at least one.
    pub concurrency: usize,
    /// Open connections of clients: at least one.
    pub connections: usize,
    /// Open connections of one client's address: at least one.
    pub connections_per_client: usize,
    /// How long clients may take.
    pub timeouts: Timeouts,
    /// What no plugin's limits may exceed. `memory` is always there.
    pub limits: Ceilings,
    /// How granted origins are reached.
    pub outbound: OutboundSettings,
    /// What the process gives up of the system.
    pub confinement: Confinement,
    /// What one component may cost before it runs.
    pub intake: IntakeLimits,
}

/// Where callers connect, and what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSite {
    /// Where.
    pub address: ListenAddress,
    /// Over TLS.
    pub tls: bool,
    /// Each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Who may connect to it, if it is a Unix socket that is made here.
    pub mode: SocketMode,
    /// The group of that socket, by name or number; the system's choice if left out.
    pub group: Option<String>,
}

impl ListenSite {
    /// Plain HTTP, for the host's own user where it is a Unix socket.
    pub fn plain(address: ListenAddress) -> Self {
        Self { address, tls: false, proxy_protocol: false, mode: SocketMode::OWNER, group: None }
    }
}

/// The permissions of a Unix socket: the nine bits of chmod(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(pub u32);

impl SocketMode {
    /// The owner alone may connect.
    pub const OWNER: Self = Self(0o600);
    /// The owner and the group may.
    pub const GROUP: Self = Self(0o660);
}

/// A certificate and its key. Equal whatever its spans are.
#[derive(Debug, Clone)]
pub struct TlsSite {
    /// The PEM file of the certificate and those above it, absolute; it need not exist.
    pub certificate: PathBuf,
    /// Where it is named.
    pub certificate_span: Span,
    /// The PEM file of its key, absolute; it need not exist.
    pub key: PathBuf,
    /// Where it is named.
    pub key_span: Span,
}

/// The proxies in front of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// Their networks.
    pub trusted: Vec<IpNet>,
    /// Whether whoever connects to a Unix socket is one.
    pub trusted_unix: bool,
    /// The fields that they set.
    pub fields: ForwardedFields,
    /// Which hosts they may ask for on one connection of TLS.
    pub server_name: ServerName,
}

/// Which hosts a trusted proxy may ask for on one connection of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerName {
    /// Those of the tenant whose name it gave as the TLS began.
    #[default]
    Tenant,
    /// Any, whatever name it gave.
    Any,
}

impl ServerName {
    /// Each by its name in the site file.
    pub const NAMED: [(&str, Self); 2] = [("tenant", Self::Tenant), ("any", Self::Any)];
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
    /// What comes before HTTP: the PROXY protocol's header and the TLS handshake, each.
    pub handshake: Duration,
    /// A whole request head, and the first byte of a connection.
    pub head: Duration,
    /// Between two pieces of a request's body.
    pub body: Duration,
    /// A client that takes nothing of its answer.
    pub write: Duration,
    /// Between the end of an answer and the next request's first byte.
    pub idle: Duration,
    /// A whole connection: then it ends with the requests that it is in.
    pub age: Duration,
    /// What is in flight at shutdown; may be zero.
    pub grace: Duration,
    /// Before that, not ready and still serving; may be zero.
    pub linger: Duration,
    /// The least of a body that a client must send, or take, each second on average; zero is no bound.
    pub rate_bytes_per_second: u64,
}

/// How granted origins are reached. Equal whatever its spans are.
#[derive(Debug, Clone, Default)]
pub struct OutboundSettings {
    /// The networks inside that they may be in.
    pub allow: Vec<IpNet>,
    /// The PEM file of further certificate authorities, absolute; it need not exist.
    pub certificates: Option<PathBuf>,
    /// Where that file is named.
    pub certificates_span: Span,
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
    /// Its secrets.
    pub secrets: BTreeMap<SecretName, SecretSite>,
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
    /// The origins to which it may send requests.
    pub http: BTreeSet<Origin>,
    /// What is added to those requests; no two of one origin and header.
    pub credentials: Vec<CredentialSite>,
    /// What it reads through `wasi:config/store`.
    pub config: BTreeMap<String, String>,
    /// What it reads there as well: keys, none of them in `config`, and the secrets whose values they have. All
    /// secrets that are named here or in `credentials` are the tenant's.
    pub config_secrets: BTreeMap<String, SecretName>,
    /// Its limits, none above a ceiling.
    pub limits: Limits,
    /// How long its instances serve; none if each serves one call.
    pub reuse: Option<Reuse>,
    /// Where the plugin is named.
    pub span: Span,
}

/// A header field with a secret that the host sets on requests to an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSite {
    /// One of the plugin's origins.
    pub origin: Origin,
    /// The field's name; none that the host or HTTP itself sets.
    pub header: http::HeaderName,
    /// The secret whose value is the field's.
    pub secret: SecretName,
}

/// A secret inside its tenant: named as plugins are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(Arc<str>);

/// One secret. Equal whatever its span is.
#[derive(Debug, Clone)]
pub struct SecretSite {
    /// Where its value is.
    pub source: SecretSource,
    /// Where that is written.
    pub span: Span,
}

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In this file, absolute; it need not exist.
    File(PathBuf),
    /// In this variable of the environment; it need not be there.
    Variable(String),
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
        let Self {
            component,
            component_span: _,
            grants,
            http,
            credentials,
            config,
            config_secrets,
            limits,
            reuse,
            span: _,
        } = self;
        (component, grants, http, limits) == (&other.component, &other.grants, &other.http, &other.limits)
            && *reuse == other.reuse
            && (credentials, config, config_secrets)
                == (&other.credentials, &other.config, &other.config_secrets)
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

impl PartialEq for TlsSite {
    fn eq(&self, other: &Self) -> bool {
        let Self { certificate, certificate_span: _, key, key_span: _ } = self;
        (certificate, key) == (&other.certificate, &other.key)
    }
}

impl Eq for TlsSite {}

impl PartialEq for OutboundSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self { allow, certificates, certificates_span: _ } = self;
        (allow, certificates) == (&other.allow, &other.certificates)
    }
}

impl Eq for OutboundSettings {}

impl PartialEq for SecretSite {
    fn eq(&self, other: &Self) -> bool {
        let Self { source, span: _ } = self;
        *source == other.source
    }
}

impl Eq for SecretSite {}

impl SecretName {
    /// Reads a name: 1 to 63 of `a-z`, `0-9` and `-`, with a letter or digit at both ends.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        PluginName::parse(text).map(|name| Self(name.as_str().into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
