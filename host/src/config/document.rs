//! The site file as it is written: one type a table, one field a key.
//!
//! Owns the words that explain each key: the JSON Schema of the site file is made of these types, so a doc comment here
//! is what an editor shows. `read` fills them; whether names and limits fit together is for `resolve`.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde_json::json;

use super::limits::{CeilingsDocument, LimitsDocument};
use super::site::{FORWARDED_FIELDS, ListenAddress, ServerName, SocketMode};
use super::source::Span;
use super::units::{ByteRate, ByteSize, CpuRate, TimeSpan};
use super::value::Spanned;
use crate::capability::files::MountName;
use crate::capability::http::Origin;
use crate::confine::Confinement;
use crate::listen::ForwardedFields;
use crate::snapshot::{Coding, HostPattern, RoutePattern};
use crate::tenant::{PluginName, SecretName, TenantName};

/// A site of Jackfield: what one host serves, for whom, and within which bounds.
///
/// Sizes are strings with a binary unit (`"64MiB"`), durations (`"50ms"`) and rates (`"240B/s"`) likewise. A key that is not
/// described here is an error. Paths are relative to the folder of this file.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Site", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SiteDocument {
    /// The host itself: where it listens, what it keeps, how much it takes on. Fixed at start; a change is reported
    /// as "needs a restart".
    pub(super) host: Option<HostDocument>,
    /// The owners whose plugins this host runs, by name. Tenants are isolated from one another: none can see, slow or
    /// stop another.
    #[schemars(default)]
    pub(super) tenants: Named<TenantName, TenantDocument>,
}

/// The host itself.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Host", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct HostDocument {
    /// Where callers connect: `"IP:PORT"` (`"0.0.0.0:80"`, `"[::]:8080"`), or `"unix:PATH"` for a Unix socket; or a
    /// table of one of these as `address`, and what is spoken there. Port 0 takes any free port, which the log then
    /// names. An IPv6 address takes callers over IPv6 alone: for both, name both. A socket of the same address that was
    /// handed over at start (`LISTEN_FDS`) is used instead of a new one, as it is.
    #[schemars(length(min = 1), extend("default" = ["127.0.0.1:8080"]))]
    pub(super) listen: Option<Spanned<Vec<Spanned<ListenDocument>>>>,
    /// Certificates and their keys. Who connects is shown the one for the name asked for, else the first.
    #[schemars(length(min = 1, max = 10_000))]
    pub(super) tls: Option<Spanned<Vec<TlsDocument>>>,
    /// The proxies in front of this host.
    pub(super) proxy: Option<ProxyDocument>,
    /// Where `/livez`, `/readyz` and `/metrics` are answered, without a token: `"IP:PORT"`. Left out: nowhere.
    #[schemars(with = "Option<String>", extend("examples" = ["127.0.0.1:8081"]))]
    pub(super) probes: Option<Spanned<SocketAddr>>,
    /// Where the admin API is answered: `"unix:PATH"`, a socket for the host's own user alone, or `"IP:PORT"`, for who has
    /// a token; or a table of one of these as `address`, and whether TLS is spoken there. Left out: nowhere.
    #[schemars(length(min = 1), extend("examples" = [["unix:admin.sock"]]))]
    pub(super) admin: Option<Spanned<Vec<Spanned<AdminDocument>>>>,
    /// The folder of the embedded store, which is made if it is not there.
    #[schemars(extend("default" = ".jackfield"))]
    pub(super) state: Option<Spanned<String>>,
    /// Calls in flight of all tenants together: the number of sandbox slots, whose address space is reserved at start.
    #[schemars(range(min = 1, max = 20_000), extend("default" = 1000))]
    pub(super) concurrency: Option<Spanned<usize>>,
    /// Open connections of clients, idle ones included. A client beyond them waits in the system's own queue. Where the
    /// process may not have as many descriptors, they are fewer, and the log says so at start.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 10_000))]
    pub(super) connections: Option<Spanned<usize>>,
    /// Open connections of one client's address (of IPv6 its /64); one more is closed at once. Trusted proxies are not
    /// counted. Left out, 1000, and at most half of `connections`.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1000))]
    pub(super) connections_per_client: Option<Spanned<usize>>,
    /// How long clients may take.
    pub(super) timeouts: Option<TimeoutsDocument>,
    /// Ceilings: what the limits of no plugin may exceed. Each left out is unbounded, but for `memory`, which sizes
    /// the sandbox slots and is `"1GiB"`.
    pub(super) limits: Option<CeilingsDocument>,
    /// How the origins are reached that plugins are granted.
    pub(super) outbound: Option<OutboundDocument>,
    /// Whether the process gives up what a host never needs of the system (writing outside its state, other programs,
    /// most of root's rights, system calls): `"best-effort"` as far as the system can, `"required"` all of it or the
    /// host does not start, `"off"` nothing.
    #[schemars(
        with = "Option<String>",
        extend("enum" = Confinement::NAMED.map(|(name, _)| name), "default" = "best-effort")
    )]
    pub(super) confinement: Option<Spanned<Confinement>>,
    /// What one component may cost before it runs: it is compiled in a process of its own.
    pub(super) intake: Option<IntakeDocument>,
}

/// Where callers connect, and what is spoken there.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Listen", untagged)]
pub(super) enum ListenDocument {
    /// Plain HTTP.
    Address(ListenAddress),
    /// What the table says.
    Table(ListenTableDocument),
}

impl ListenDocument {
    /// Where; none if that was wrong.
    pub(super) fn address(&self) -> Option<&ListenAddress> {
        match self {
            Self::Address(address) => Some(address),
            Self::Table(table) => table.address.as_ref().map(|address| &address.value),
        }
    }
}

/// Where callers connect, and what is spoken there.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "ListenTable", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ListenTableDocument {
    /// `"IP:PORT"` or `"unix:PATH"`.
    #[schemars(required)]
    pub(super) address: Option<Spanned<ListenAddress>>,
    /// HTTPS, with the certificates of `tls`.
    #[schemars(extend("default" = false))]
    pub(super) tls: Option<Spanned<bool>>,
    /// Each connection begins with a header of the PROXY protocol, version 2, from a proxy in `proxy.trusted`, which
    /// says whose connection it is. One without is closed.
    #[schemars(extend("default" = false))]
    pub(super) proxy_protocol: Option<Spanned<bool>>,
    /// Who may connect to the Unix socket that is made here, as chmod(1) has it in octal: whoever may write to it. Left
    /// out, `"0600"`, the host's own user, and with a `group` `"0660"`.
    #[schemars(with = "Option<String>", extend("pattern" = "^0?[0-7]{3}$", "examples" = ["0660"]))]
    pub(super) mode: Option<Spanned<SocketMode>>,
    /// The group that it is given to: a name of `/etc/group`, or a number. The host's user has to be in it. Left out, the
    /// system chooses, as it does for files.
    #[schemars(extend("examples" = ["www-data"]))]
    pub(super) group: Option<Spanned<String>>,
}

/// Where the admin API is answered, and whether TLS is spoken there.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Admin", untagged)]
pub(super) enum AdminDocument {
    /// Plain HTTP.
    Address(ListenAddress),
    /// What the table says.
    Table(AdminTableDocument),
}

impl AdminDocument {
    /// Where; none if that was wrong.
    pub(super) fn address(&self) -> Option<&ListenAddress> {
        match self {
            Self::Address(address) => Some(address),
            Self::Table(table) => table.address.as_ref().map(|address| &address.value),
        }
    }

    /// The key `tls`, if it is there.
    pub(super) fn tls(&self) -> Option<&Spanned<bool>> {
        match self {
            Self::Address(_) => None,
            Self::Table(table) => table.tls.as_ref(),
        }
    }
}

/// Where the admin API is answered, and whether TLS is spoken there.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "AdminTable", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct AdminTableDocument {
    /// `"IP:PORT"` or `"unix:PATH"`.
    #[schemars(required)]
    pub(super) address: Option<Spanned<ListenAddress>>,
    /// HTTPS, with the certificates of `host.tls`.
    #[schemars(extend("default" = false))]
    pub(super) tls: Option<Spanned<bool>>,
}

/// A certificate and its key. Both files are looked at every few seconds, and read anew when they have changed.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Tls", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TlsDocument {
    /// A PEM file: the certificate, and those between it and an authority. It is for the names that it states.
    #[schemars(required)]
    pub(super) certificate: Option<Spanned<String>>,
    /// A PEM file of its private key.
    #[schemars(required)]
    pub(super) key: Option<Spanned<String>>,
}

/// The proxies in front of this host.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Proxy", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ProxyDocument {
    /// Their networks: `"10.0.0.0/8"`, or one address; `"unix"` is whoever connects to a Unix socket. What they say of a
    /// request's client and scheme is believed, and nobody else's.
    #[schemars(
        with = "Option<Vec<String>>",
        length(max = 1000),
        extend("default" = [], "items" = json!({
            "type": "string",
            "pattern": "^(unix|[0-9a-fA-F:.]+(/[0-9]{1,3})?)$",
            "examples": ["10.0.0.0/8", "fd00::/8", "192.168.7.1", "unix"],
        }))
    )]
    pub(super) trusted: Option<Vec<Spanned<TrustedDocument>>>,
    /// How they say it: `"x-forwarded"` is `X-Forwarded-For` and `X-Forwarded-Proto`, `"forwarded"` is `Forwarded`. The
    /// other is not believed, for a proxy that does not set it lets a client's through.
    #[schemars(
        with = "Option<String>",
        extend("enum" = FORWARDED_FIELDS.map(|(name, _)| name), "default" = "x-forwarded")
    )]
    pub(super) fields: Option<Spanned<ForwardedFields>>,
    /// Which hosts a trusted proxy may ask for on a connection of TLS, beside those of the tenant whose name it gave as the
    /// TLS began (SNI): `"tenant"`, no others, as is so for everybody else, who are answered 421; or `"any"`, for a proxy
    /// that gives one fixed name, or has one connection for many.
    #[schemars(
        with = "Option<String>",
        extend("enum" = ServerName::NAMED.map(|(name, _)| name), "default" = "tenant")
    )]
    pub(super) server_name: Option<Spanned<ServerName>>,
}

/// One of the proxies, or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrustedDocument {
    /// Those in a network.
    Network(IpNet),
    /// Those that connect to a Unix socket.
    Unix,
}

/// How long clients may take.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Timeouts", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TimeoutsDocument {
    /// For what comes before HTTP: the PROXY protocol's header and the TLS handshake, each.
    #[schemars(extend("default" = "10s"))]
    pub(super) handshake: Option<Spanned<TimeSpan>>,
    /// For a whole request head, from its first byte; and for the first byte of a new connection.
    #[schemars(extend("default" = "10s"))]
    pub(super) head: Option<Spanned<TimeSpan>>,
    /// Between two pieces of a request's body.
    #[schemars(extend("default" = "30s"))]
    pub(super) body: Option<Spanned<TimeSpan>>,
    /// For a client that takes nothing of its answer.
    #[schemars(extend("default" = "30s"))]
    pub(super) write: Option<Spanned<TimeSpan>>,
    /// Between the end of an answer and the first byte of the next request.
    #[schemars(extend("default" = "1min"))]
    pub(super) idle: Option<Spanned<TimeSpan>>,
    /// For a whole connection: then it ends with the requests that it is in.
    #[schemars(extend("default" = "1h"))]
    pub(super) age: Option<Spanned<TimeSpan>>,
    /// For what is in flight when the host is told to stop.
    #[schemars(extend("default" = "30s"))]
    pub(super) grace: Option<Spanned<TimeSpan>>,
    /// Before that: how long a host that is told to stop is not ready and yet serves as before, so that whoever sends it
    /// callers learns of it first. Left out, `"5s"` if there are `probes` to learn it from, else none.
    pub(super) linger: Option<Spanned<TimeSpan>>,
    /// The least that a client must send of a request's body, or take of an answer, on average. `"0B/s"` lets it be as
    /// slow as the other timeouts let it.
    #[schemars(extend("default" = "240B/s"))]
    pub(super) rate: Option<Spanned<ByteRate>>,
}

/// How the origins are reached that plugins are granted.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Outbound", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct OutboundDocument {
    /// The networks inside that granted origins may be in: `"10.1.0.0/16"`, or one address. What is in none of them
    /// and not public (loopback, private, link-local and other special addresses) is not connected to.
    #[schemars(
        with = "Option<Vec<String>>",
        length(max = 1000),
        extend("default" = [], "items" = json!({
            "type": "string",
            "pattern": "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
            "examples": ["10.1.0.0/16", "fd00:1::/48", "192.168.7.1"],
        }))
    )]
    pub(super) allow: Option<Vec<Spanned<IpNet>>>,
    /// A PEM file of certificate authorities that are trusted for granted origins, beside the public ones.
    pub(super) certificates: Option<Spanned<String>>,
}

/// What one component may cost before it runs.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Intake", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct IntakeDocument {
    /// Size of its file.
    #[schemars(extend("default" = "64MiB"))]
    pub(super) artifact: Option<Spanned<ByteSize>>,
    /// CPU time of compiling it, of all cores together; `"1s"` at least, and whole seconds, rounded up.
    #[schemars(extend("default" = "2min"))]
    pub(super) compile_time: Option<Spanned<TimeSpan>>,
    /// Address space of the process that compiles it; `"512MiB"` at least.
    #[schemars(extend("default" = "2GiB"))]
    pub(super) compile_memory: Option<Spanned<ByteSize>>,
}

/// An owner: hostnames, a quota, plugins and routes.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Tenant", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TenantDocument {
    /// The hosts that are this tenant's: `"shop.example.com"`, `"*.shop.example.com"` for one or more labels before
    /// it, or `"*"` for any host. The best pattern (exact, then the longest wildcard, then `*`) picks the tenant of a
    /// request; no two tenants have the same one.
    #[schemars(required, length(min = 1, max = 1000))]
    pub(super) hosts: Option<Spanned<Vec<Spanned<HostPattern>>>>,
    /// What the tenant as a whole may use. The operator's; a change holds at once.
    pub(super) quota: Option<QuotaDocument>,
    /// The tenant's plugins, by name.
    #[schemars(default)]
    pub(super) plugins: Named<PluginName, PluginDocument>,
    /// The tenant's secrets, by name: what its plugins may be given without its standing in this file.
    #[schemars(default)]
    pub(super) secrets: Named<SecretName, SecretDocument>,
    /// Which requests go to which plugin. Their order never matters: the most specific pattern wins.
    #[schemars(default, length(max = 10_000))]
    pub(super) routes: Vec<RouteDocument>,
}

/// What a tenant as a whole may use.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Quota", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct QuotaDocument {
    /// Requests in flight, each until the last byte of its answer is written.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 256))]
    pub(super) concurrency: Option<Spanned<usize>>,
    /// Requests that wait for one of those to end. One more is answered 503.
    #[schemars(range(max = 1_000_000), extend("default" = 1024))]
    pub(super) queue: Option<Spanned<usize>>,
    /// How long each of them may wait before it is answered 503.
    #[schemars(extend("default" = "1s"))]
    pub(super) queue_wait: Option<Spanned<TimeSpan>>,
    /// CPU time a second that the tenant's calls may use. One second's worth is saved up, and a call may overdraw it:
    /// until that is paid back, requests are answered 503, and streams wait. Left out, as much as there is.
    pub(super) cpu: Option<Spanned<CpuRate>>,
    /// The tenant's share, beside the others', of the CPU and of the sandbox slots when they are short.
    #[schemars(range(min = 1, max = 1000), extend("default" = 1))]
    pub(super) weight: Option<Spanned<u32>>,
    /// What the tenant's plugins may keep in the key-value store.
    pub(super) storage: Option<StorageDocument>,
    /// The grants that the tenant may give its plugins. The table left out allows all but `http`; in a table, what is
    /// left out is not allowed.
    pub(super) grants: Option<Spanned<GrantsDocument>>,
    /// Ceilings: what the limits of no plugin of this tenant may exceed. Each left out is the host's own.
    pub(super) limits: Option<CeilingsDocument>,
}

/// What may be kept in the key-value store; both hold at once.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Storage", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct StorageDocument {
    /// Size of all keys and values together.
    #[schemars(extend("default" = "64MiB"))]
    pub(super) bytes: Option<Spanned<ByteSize>>,
    /// Number of keys.
    #[schemars(range(max = 1_000_000_000_000_u64), extend("default" = 100_000))]
    pub(super) keys: Option<Spanned<u64>>,
}

/// Capabilities, none of them given unless named. Configuration, logging, clocks and random numbers need none.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Grants", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct GrantsDocument {
    /// A key-value namespace of the plugin's own: `wasi:keyvalue`, `open("default")`.
    #[schemars(extend("default" = false))]
    pub(super) keyvalue: Option<Spanned<bool>>,
    /// The key-value namespace that the tenant's plugins share: `wasi:keyvalue`, `open("shared")`.
    #[schemars(extend("default" = false))]
    pub(super) keyvalue_shared: Option<Spanned<bool>>,
    /// Rate limits that hold across instances: `jackfield:plugin/limiter`.
    #[schemars(extend("default" = false))]
    pub(super) limiter: Option<Spanned<bool>>,
    /// The origins to which requests may be sent: `wasi:http/outgoing-handler`. Scheme, host and, where it is not the
    /// scheme's own, port.
    #[schemars(length(max = 1000), extend("default" = []))]
    pub(super) http: Option<Spanned<Vec<Spanned<Origin>>>>,
}

/// A component with its configuration, limits and grants.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Plugin", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PluginDocument {
    /// The component's file, relative to the folder of this file. Absolute paths, `..` and links are followed. The
    /// file is watched: when it changes, requests that begin from then on run the new one.
    #[schemars(required, extend("examples" = ["plugins/bookstore.wasm"]))]
    pub(super) component: Option<Spanned<String>>,
    /// The capabilities that the plugin may use. A component that imports one that is not granted is refused.
    pub(super) grants: Option<GrantsDocument>,
    /// What the host adds to the plugin's requests to granted origins.
    #[schemars(default, length(max = 32))]
    pub(super) outbound: Vec<CredentialDocument>,
    /// What the plugin reads through `wasi:config/store`: strings, or secrets of the tenant as `{ secret = "NAME" }`;
    /// 64KiB of keys and values in all.
    #[schemars(default, with = "std::collections::BTreeMap<String, ConfigDocument>")]
    pub(super) config: Vec<(Spanned<String>, ConfigDocument)>,
    /// The folders that the plugin may read, by the name under which it finds each (`wasi:filesystem/preopens`): an
    /// absolute path, `"/"` for the usual one folder. Each folder is a path relative to the folder of this file.
    #[schemars(
        default,
        with = "std::collections::BTreeMap<String, String>",
        extend("maxProperties" = 16, "examples" = [{ "/": "public" }])
    )]
    pub(super) mounts: Vec<(Spanned<MountName>, Spanned<String>)>,
    /// The ceilings of each call, and of the plugin's calls together.
    pub(super) limits: Option<LimitsDocument>,
    /// Whether each call gets an instance of its own, in which nothing is left of any other call (`"fresh"`), or one
    /// that may have served others of this plugin before, one after the other (`"reused"`): what the plugin keeps in
    /// its memory is then there for later callers.
    #[schemars(with = "Option<InstancesDocument>", extend("default" = "fresh"))]
    pub(super) instances: Option<Spanned<InstancesDocument>>,
    /// How long an instance serves, with `instances = "reused"`. It is dropped sooner if a call of it fails, is cut or
    /// leaves anything behind, or if its memory grows much.
    pub(super) reuse: Option<Spanned<ReuseDocument>>,
    #[schemars(skip)]
    pub(super) place: Span,
    /// Whether all of `grants` could be read.
    #[schemars(skip)]
    pub(super) has_sound_grants: bool,
}

/// Whether instances serve one call or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "Instances", rename_all = "kebab-case")]
pub(super) enum InstancesDocument {
    /// A new one for each call.
    Fresh,
    /// One for several calls, one after the other.
    Reused,
}

/// How long an instance serves that is reused.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Reuse", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ReuseDocument {
    /// Calls that it serves.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("default" = 1000))]
    pub(super) calls: Option<Spanned<u32>>,
    /// How old it becomes.
    #[schemars(extend("default" = "10min"))]
    pub(super) age: Option<Spanned<TimeSpan>>,
    /// How long it waits for its next call.
    #[schemars(extend("default" = "10s"))]
    pub(super) idle: Option<Spanned<TimeSpan>>,
}

/// A header field that the host sets on each of the plugin's requests to an origin, in place of the plugin's own: the
/// plugin can use the secret and never sees it.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Credential", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct CredentialDocument {
    /// The origin, one of those that the plugin is granted.
    #[schemars(required)]
    pub(super) origin: Option<Spanned<Origin>>,
    /// The name of the header field.
    #[schemars(required, with = "String", extend("examples" = ["authorization"]))]
    pub(super) header: Option<Spanned<HeaderName>>,
    /// The secret whose value is the field's whole value.
    #[schemars(required, with = "SecretName")]
    pub(super) secret: Option<Spanned<String>>,
}

/// A value of a plugin's configuration.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "ConfigValue", untagged)]
pub(super) enum ConfigDocument {
    /// The value itself.
    Text(Spanned<String>),
    /// The value of a secret.
    Secret(SecretReference),
}

/// A secret of the tenant in the place of a value.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct SecretReference {
    /// The name of the secret, one of the tenant's.
    #[schemars(with = "SecretName")]
    pub(super) secret: Spanned<String>,
}

/// Where a secret's value is: in a file, or in a variable of the environment that the host was started with.
#[derive(Debug, Default, JsonSchema)]
#[schemars(
    rename = "Secret",
    rename_all = "kebab-case",
    deny_unknown_fields,
    extend("oneOf" = json!([{ "required": ["file"] }, { "required": ["env"] }]))
)]
pub(super) struct SecretDocument {
    /// The file whose content is the value, but for one line break at its end; at most 64KiB. It is watched: when it
    /// changes, requests that begin from then on have the value that it has.
    #[schemars(extend("examples" = ["secrets/api-token"]))]
    pub(super) file: Option<Spanned<String>>,
    /// The variable that has the value, as it was at start.
    #[schemars(extend("examples" = ["API_TOKEN"]))]
    pub(super) env: Option<Spanned<String>>,
}

/// Which requests go where: all that is given must fit.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Route", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RouteDocument {
    /// The paths: `/api/books/{id}`. `{name}` stands for one whole segment, `{*name}` at the end for the rest, one
    /// character at least. Of the patterns that fit a request the most specific wins.
    #[schemars(required)]
    pub(super) path: Option<Spanned<RoutePattern>>,
    /// The hosts, each of them a part of the tenant's. Left out: all of the tenant's.
    #[schemars(length(min = 1, max = 1000))]
    pub(super) hosts: Option<Spanned<Vec<Spanned<HostPattern>>>>,
    /// The methods, in capitals. Left out: every method, `OPTIONS` too. `GET` takes `HEAD` with it.
    #[schemars(
        with = "Option<Vec<String>>",
        length(min = 1, max = 32),
        extend("uniqueItems" = true, "items" = json!({
            "type": "string",
            "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
            "examples": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        }))
    )]
    pub(super) methods: Option<Spanned<Vec<Spanned<Method>>>>,
    /// Headers that a request must have, each once and with exactly this value. Left out: any.
    #[schemars(default, with = "std::collections::BTreeMap<String, String>", extend("maxProperties" = 32))]
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Plugins that run before the plugin, in this order, and see its answer in reverse order.
    #[schemars(default, with = "Vec<PluginName>", length(max = 32))]
    pub(super) filters: Vec<Spanned<String>>,
    /// The plugin that answers.
    #[schemars(required, with = "PluginName")]
    pub(super) plugin: Option<Spanned<String>>,
    /// The codings that answers are compressed in for clients that accept them; among those that a client likes alike,
    /// the first. Left out: no compression. Not for answers that have a secret beside what a caller sent.
    #[schemars(
        with = "Option<Vec<String>>",
        length(min = 1),
        extend("uniqueItems" = true, "items" = json!({ "enum": Coding::ALL.map(Coding::as_str) }))
    )]
    pub(super) compression: Option<Vec<Spanned<Coding>>>,
    /// Whether all that is written here could be read.
    #[schemars(skip)]
    pub(super) sound: bool,
}

/// A table whose keys are names.
#[derive(Debug)]
pub(super) struct Named<N, T>(pub(super) Vec<Entry<N, T>>);

/// One of its entries.
#[derive(Debug)]
pub(super) struct Entry<N, T> {
    /// The name as written.
    pub(super) key: Spanned<String>,
    /// The name, if it is one.
    pub(super) name: Option<N>,
    pub(super) value: T,
}

impl<N, T> Default for Named<N, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
