//! A site as the host runs it: every name, address, path and limit resolved and checked.
//!
//! Owns the types that the other rooms see; a tenant's plugins and routes are a document. Components are named by their
//! paths here; that they exist and what they import is seen when they are deployed.

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

/// All that a site file says.
#[derive(Debug, Clone)]
pub struct Site {
    /// The text that spans point into.
    pub source: Arc<Source>,
    /// `[host]`.
    pub host: HostSettings,
    /// `[tenants]`.
    pub tenants: BTreeMap<TenantName, TenantSettings>,
    /// Where in the text things stand.
    pub spans: Arc<Spans>,
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

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSite {
    /// The PEM file of the certificate and those above it, absolute; it need not exist.
    pub certificate: PathBuf,
    /// The PEM file of its key, absolute; it need not exist.
    pub key: PathBuf,
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

/// The fields of proxies, each by its name in the site file.
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

/// How granted origins are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundSettings {
    /// The networks inside that they may be in.
    pub allow: Vec<IpNet>,
    /// The PEM file of further certificate authorities, absolute; it need not exist.
    pub certificates: Option<PathBuf>,
}

/// One tenant. Equal if it would run the same way, wherever in the file it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// Its hosts: at least one, and no other tenant has the same.
    pub hosts: Vec<HostPattern>,
    /// The ceilings on it as a whole.
    pub quota: Quota,
    /// Its secrets.
    pub secrets: BTreeMap<SecretName, SecretSource>,
    /// Its plugins and routes. No two routes claim the same request; all plugins and secrets that are named exist, and
    /// no limit is above a ceiling.
    pub document: TenantDocument,
}

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In this file, absolute; it need not exist.
    File(PathBuf),
    /// In this variable of the environment; it need not be there.
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
