//! A site as the host runs it: every name, address, path and limit is resolved and checked.
//!
//! Owns the types that the other rooms see; a tenant's plugins and routes are a document. Components are named by
//! their paths here; deployment finds out whether they exist, and what they import.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::diagnostic::Diagnostic;
use super::source::Source;
use super::spans::Spans;
use crate::confine::Confinement;
use crate::document::TenantDocument;
use crate::limits::{Ceilings, IntakeLimits};
use crate::listen::ForwardedFields;
use crate::snapshot::HostPattern;
use crate::tenant::{Quota, SecretName, TenantName};

/// The content of a site file.
#[derive(Debug, Clone)]
pub struct Site {
    /// The text that spans point into.
    pub source: Arc<Source>,
    /// `[host]`.
    pub host: HostSettings,
    /// `[tenants]`.
    pub tenants: BTreeMap<TenantName, TenantSettings>,
    /// The places of things in the text.
    pub spans: Arc<Spans>,
    /// Findings that can be run, but are probably not intended.
    pub warnings: Vec<Diagnostic>,
}

/// The host itself. Fixed at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// The addresses that callers connect to: at least one.
    pub listen: Vec<ListenSite>,
    /// The certificates of the TLS addresses.
    pub tls: Vec<TlsSite>,
    /// The proxies in front.
    pub proxy: ProxySettings,
    /// The address of `/livez`, `/readyz` and `/metrics`.
    pub probes: Option<SocketAddr>,
    /// The addresses of the admin API; none if there is none.
    pub admin: Vec<ListenSite>,
    /// The absolute folder of the embedded store.
    pub state: PathBuf,
    /// The most calls in flight of all tenants together: at least one.
    pub concurrency: usize,
    /// The most open connections of clients: at least one.
    pub connections: usize,
    /// The most open connections of one client's address: at least one.
    pub connections_per_client: usize,
    /// The longest times that clients may take.
    pub timeouts: Timeouts,
    /// The ceilings of all plugins' limits. `memory` is always there.
    pub limits: Ceilings,
    /// The settings of outbound HTTP to granted origins.
    pub outbound: OutboundSettings,
    /// The confinement of the process.
    pub confinement: Confinement,
    /// The bounds on compiling one component.
    pub intake: IntakeLimits,
}

/// An address that callers connect to, and the protocols there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSite {
    /// The address.
    pub address: ListenAddress,
    /// Over TLS.
    pub tls: bool,
    /// True if each connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The mode of the socket, if it is a Unix socket that the host makes.
    pub mode: SocketMode,
    /// The group of the socket, by name or number; the system's choice if left out.
    pub group: Option<String>,
}

impl ListenSite {
    /// Plain HTTP; a Unix socket is for the host's own user.
    pub fn plain(address: ListenAddress) -> Self {
        Self { address, tls: false, proxy_protocol: false, mode: SocketMode::OWNER, group: None }
    }
}

/// The permissions of a Unix socket: the nine bits of chmod(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(pub u32);

impl SocketMode {
    /// Only the owner may connect.
    pub const OWNER: Self = Self(0o600);
    /// The owner and the group may.
    pub const GROUP: Self = Self(0o660);
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSite {
    /// The PEM file of the certificate and its chain, absolute; it need not exist.
    pub certificate: PathBuf,
    /// The PEM file of the certificate's key, absolute; it need not exist.
    pub key: PathBuf,
}

/// The proxies in front of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// The proxies' networks.
    pub trusted: Vec<IpNet>,
    /// True if every peer on a Unix socket is a trusted proxy.
    pub trusted_unix: bool,
    /// The fields that the proxies set.
    pub fields: ForwardedFields,
    /// The hosts that the proxies may ask for on one TLS connection.
    pub server_name: ServerName,
}

/// The hosts that a trusted proxy may ask for on one TLS connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerName {
    /// The hosts of the tenant whose server name the proxy gave in the TLS handshake.
    #[default]
    Tenant,
    /// All hosts, whatever server name the proxy gave.
    Any,
}

impl ServerName {
    /// All values, each by its name in the site file.
    pub const NAMED: [(&str, Self); 2] = [("tenant", Self::Tenant), ("any", Self::Any)];
}

/// The kinds of proxies' fields, each by its name in the site file.
pub(super) const FORWARDED_FIELDS: [(&str, ForwardedFields); 2] =
    [("x-forwarded", ForwardedFields::XForwarded), ("forwarded", ForwardedFields::Forwarded)];

/// An address that callers connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address and port; port 0 is any free one.
    Tcp(SocketAddr),
    /// The path of a Unix socket, absolute.
    Unix(PathBuf),
}

/// The longest times that clients may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// The PROXY protocol's header, and the TLS handshake: the time of each.
    pub handshake: Duration,
    /// The time of a whole request head, and of the first byte of a connection.
    pub head: Duration,
    /// The time between two pieces of a request's body.
    pub body: Duration,
    /// The time in which a client takes nothing of its answer.
    pub write: Duration,
    /// The time between the end of an answer and the next request's first byte.
    pub idle: Duration,
    /// The age of a connection: then it ends, after the requests that are under way on it.
    pub age: Duration,
    /// The time of requests in flight at shutdown; may be zero.
    pub grace: Duration,
    /// The time before that in which the host is unready and still serves; may be zero.
    pub linger: Duration,
    /// The least bytes of a body that a client must send, or take, each second on average; zero is no bound.
    pub rate_bytes_per_second: u64,
}

/// The settings of outbound HTTP to granted origins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundSettings {
    /// The private networks that granted origins may be in.
    pub allow: Vec<IpNet>,
    /// The PEM file of further certificate authorities, absolute; it need not exist.
    pub certificates: Option<PathBuf>,
}

/// One tenant. Two are equal if they run the same way, wherever in the file they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// The tenant's hosts: at least one, and no other tenant has the same host.
    pub hosts: Vec<HostPattern>,
    /// The ceilings on the tenant as a whole.
    pub quota: Quota,
    /// The tenant's secrets.
    pub secrets: BTreeMap<SecretName, SecretSource>,
    /// The tenant's plugins and routes. No two routes claim the same request; all plugins and secrets that are named
    /// exist, and no limit is above a ceiling.
    pub document: TenantDocument,
}

/// The place of a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The value is in this file, absolute; it need not exist.
    File(PathBuf),
    /// The value is in this variable of the environment; it need not be there.
    Variable(String),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
