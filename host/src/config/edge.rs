//! The HTTP edge in the site file: the addresses that callers connect to, the certificates, the proxies in front, and
//! the time that clients may take.
//!
//! Owns `listen`, `admin`, `tls`, `proxy`, `connections-per-client` and `timeouts` of `[host]`, from their text to their
//! settings.

use std::collections::HashMap;
use std::time::Duration;

use super::document::{
    AdminDocument, AdminTableDocument, HostDocument, ListenDocument, ListenTableDocument, ProxyDocument,
    TimeoutsDocument, TlsDocument, TrustedDocument,
};
use super::findings::Findings;
use super::forms::{
    certificates_path, forwarded_fields, group, key_path, listen_address, server_name, socket_mode,
    trusted as trusted_network,
};
use super::lists::networks;
use super::site::{ListenAddress, ListenSite, ProxySettings, SocketMode, Timeouts, TlsSite};
use super::source::Span;
use super::spans::PairSpans;
use super::units::{ByteRate, MAX_TIME, NO_TIME, SOME_TIME, TimeSpan};
use super::value::{Spanned, Table, Value, boolean, duration, filled_array, no_help, parsed, rate, table};

/// The longest path of a Unix socket that every system takes, in bytes (108 with the final NUL on Linux, 104 on macOS).
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// The most pairs of certificate and key.
const MAX_PAIRS: usize = 10_000;

/// The default time for which a host with a readiness probe goes on serving after it has become unready: two or three
/// probes of a load balancer, and the time for its decision to spread.
const LINGER_SECONDS: u64 = 5;

const ANY_RATE: std::ops::RangeInclusive<ByteRate> = ByteRate(0)..=ByteRate(u64::MAX);

/// The least rate at which a client must send or take, unless the file names one.
const CLIENT_RATE: ByteRate = ByteRate(240);

pub(super) fn listen(
    value: &Value<'_>,
    findings: &mut Findings,
) -> Option<Spanned<Vec<Spanned<ListenDocument>>>> {
    let read = filled_array(
        "an array of addresses",
        "name at least one address, or leave `listen` out for 127.0.0.1:8080",
        |value: &Value<'_>, findings: &mut Findings| {
            if value.is_table() {
                let read = table(|table: &mut Table<'_>, findings: &mut Findings| ListenTableDocument {
                    address: table.required(
                        "address",
                        "`address = \"[::]:443\"`",
                        findings,
                        parsed("an address", "[::]:443", listen_address, no_help),
                    ),
                    tls: table.optional("tls", findings, boolean),
                    proxy_protocol: table.optional("proxy-protocol", findings, boolean),
                    mode: table.optional("mode", findings, parsed("a mode", "0660", socket_mode, no_help)),
                    group: table.optional("group", findings, parsed("a group", "www-data", group, no_help)),
                });
                let table = read(value, findings)?;
                return Some(Spanned { value: ListenDocument::Table(table), span: value.span() });
            }
            let address = parsed("an address", "127.0.0.1:8080", listen_address, no_help)(value, findings)?;
            Some(Spanned { value: ListenDocument::Address(address.value), span: address.span })
        },
    );
    read(value, findings)
}

pub(super) fn admin(
    value: &Value<'_>,
    findings: &mut Findings,
) -> Option<Spanned<Vec<Spanned<AdminDocument>>>> {
    let read = filled_array(
        "an array of addresses",
        "name at least one address, or leave `admin` out for no admin API",
        |value: &Value<'_>, findings: &mut Findings| {
            if value.is_table() {
                let read = table(|table: &mut Table<'_>, findings: &mut Findings| AdminTableDocument {
                    address: table.required(
                        "address",
                        "`address = \"127.0.0.1:9090\"`",
                        findings,
                        parsed("an address", "127.0.0.1:9090", listen_address, no_help),
                    ),
                    tls: table.optional("tls", findings, boolean),
                });
                let table = read(value, findings)?;
                return Some(Spanned { value: AdminDocument::Table(table), span: value.span() });
            }
            let address = parsed("an address", "unix:admin.sock", listen_address, no_help)(value, findings)?;
            Some(Spanned { value: AdminDocument::Address(address.value), span: address.span })
        },
    );
    read(value, findings)
}

pub(super) fn tls(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<Vec<TlsDocument>>> {
    let read = filled_array(
        "an array of tables",
        "name a `certificate` and its `key`, or leave `tls` out",
        table(|table: &mut Table<'_>, findings: &mut Findings| TlsDocument {
            certificate: table.required(
                "certificate",
                "`certificate = \"shop.example.com.pem\"`",
                findings,
                parsed("a path", "shop.example.com.pem", certificates_path, no_help),
            ),
            key: table.required(
                "key",
                "`key = \"shop.example.com.key\"`",
                findings,
                parsed("a path", "shop.example.com.key", key_path, no_help),
            ),
        }),
    );
    let pairs = read(value, findings)?;
    if pairs.value.len() > MAX_PAIRS {
        let headline = format!("there are more than {MAX_PAIRS} pairs of certificate and key");
        findings.error(&pairs.span, headline, "", "one certificate can be for many names".to_owned());
        return None;
    }
    Some(pairs)
}

pub(super) fn proxy(value: &Value<'_>, findings: &mut Findings) -> Option<ProxyDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| ProxyDocument {
        trusted: table.optional(
            "trusted",
            findings,
            networks(parsed("a network", "10.0.0.0/8", trusted_network, no_help)),
        ),
        fields: table.optional(
            "fields",
            findings,
            parsed("a word", "x-forwarded", forwarded_fields, no_help),
        ),
        server_name: table.optional("server-name", findings, parsed("a word", "any", server_name, no_help)),
    });
    read(value, findings)
}

pub(super) fn timeouts(value: &Value<'_>, findings: &mut Findings) -> Option<TimeoutsDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| TimeoutsDocument {
        handshake: table.optional("handshake", findings, duration(SOME_TIME..=MAX_TIME)),
        head: table.optional("head", findings, duration(SOME_TIME..=MAX_TIME)),
        body: table.optional("body", findings, duration(SOME_TIME..=MAX_TIME)),
        write: table.optional("write", findings, duration(SOME_TIME..=MAX_TIME)),
        idle: table.optional("idle", findings, duration(SOME_TIME..=MAX_TIME)),
        age: table.optional("age", findings, duration(SOME_TIME..=MAX_TIME)),
        grace: table.optional("grace", findings, duration(NO_TIME..=MAX_TIME)),
        linger: table.optional("linger", findings, duration(NO_TIME..=MAX_TIME)),
        rate: table.optional("rate", findings, rate(ANY_RATE)),
    });
    read(value, findings)
}

/// Resolves `timeouts`.
pub(super) fn resolved_timeouts(host: &HostDocument) -> Timeouts {
    let none = TimeoutsDocument::default();
    let timeouts = host.timeouts.as_ref().unwrap_or(&none);
    let seconds = |given: &Option<Spanned<TimeSpan>>, default| {
        given.as_ref().map_or(Duration::from_secs(default), |given| given.value.0)
    };
    Timeouts {
        handshake: seconds(&timeouts.handshake, 10),
        head: seconds(&timeouts.head, 10),
        body: seconds(&timeouts.body, 30),
        write: seconds(&timeouts.write, 30),
        idle: seconds(&timeouts.idle, 60),
        age: seconds(&timeouts.age, 3600),
        grace: seconds(&timeouts.grace, 30),
        linger: seconds(&timeouts.linger, if host.probes.is_some() { LINGER_SECONDS } else { 0 }),
        rate_bytes_per_second: timeouts.rate.as_ref().map_or(CLIENT_RATE, |rate| rate.value).0,
    }
}

/// Resolves `listen`, and checks it against `tls` and `proxy`.
pub(super) fn listeners(host: &HostDocument, findings: &mut Findings) -> Vec<ListenSite> {
    let Some(listen) = &host.listen else {
        let address = ListenAddress::Tcp(([127, 0, 0, 1], 8080).into());
        unused_certificates_are_told(host, findings);
        return vec![ListenSite::plain(address)];
    };
    let listeners: Vec<_> =
        listen.value.iter().filter_map(|listener| listener_site(listener, host, findings)).collect();
    addresses_are_there_once(listen, ListenDocument::address, findings);
    unused_certificates_are_told(host, findings);
    listeners
}

/// Resolves `admin`, whose addresses callers must not connect to.
pub(super) fn admin_listeners(host: &HostDocument, findings: &mut Findings) -> Vec<ListenSite> {
    let Some(admin) = &host.admin else { return Vec::new() };
    addresses_are_there_once(admin, AdminDocument::address, findings);
    let mut listeners = Vec::new();
    for Spanned { value, span } in &admin.value {
        let Some(written) = value.address() else { continue };
        let callers = host.listen.iter().flat_map(|listen| &listen.value);
        let taken =
            callers.filter(|listener| listener.value.address() == Some(written)).map(|taken| &taken.span);
        let probes = host.probes.iter().filter(|probes| ListenAddress::Tcp(probes.value) == *written);
        let any_port = matches!(written, ListenAddress::Tcp(address) if address.port() == 0);
        if let Some(taken) = taken.chain(probes.map(|probes| &probes.span)).next().filter(|_| !any_port) {
            let headline = "the admin API is at an address that has another use";
            let help = "choose another one: the admin API is for the operator and for who has a token";
            let found = findings.source().diagnostic(span, headline, "", Some(help.into()));
            findings.push(found.with_secondary(taken, "used here"));
        }
        let address = resolved_address(written, span, findings);
        tls_has_a_certificate(value.tls(), host, findings);
        let tls = value.tls().is_some_and(|tls| tls.value);
        listeners.push(ListenSite { tls, ..ListenSite::plain(address) });
    }
    listeners
}

/// An address as it is bound: the path of a Unix socket is absolute, and short enough.
fn resolved_address(address: &ListenAddress, span: &Span, findings: &mut Findings) -> ListenAddress {
    let path = match address {
        ListenAddress::Tcp(address) => return ListenAddress::Tcp(*address),
        ListenAddress::Unix(path) => findings.source().folder().join(path),
    };
    if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
        let headline = format!("the path of this Unix socket has {} bytes", path.as_os_str().len());
        let help = format!("systems take at most {MAX_SOCKET_PATH_BYTES}: write a shorter absolute path");
        findings.error(span, headline, "", help);
    }
    ListenAddress::Unix(path)
}

fn tls_has_a_certificate(tls: Option<&Spanned<bool>>, host: &HostDocument, findings: &mut Findings) {
    if let Some(tls) = tls
        && tls.value
        && host.tls.is_none()
    {
        let help = "add `[[host.tls]]` with a `certificate` and its `key`";
        findings.error(&tls.span, "TLS needs a certificate, and there is none", "", help.to_owned());
    }
}

fn listener_site(
    Spanned { value, span }: &Spanned<ListenDocument>,
    host: &HostDocument,
    findings: &mut Findings,
) -> Option<ListenSite> {
    let address = resolved_address(value.address()?, span, findings);
    let is_set = |flag: Option<&Spanned<bool>>| flag.is_some_and(|flag| flag.value);
    let site = match value {
        ListenDocument::Address(_) => ListenSite::plain(address),
        ListenDocument::Table(table) => {
            only_a_socket_has_permissions(&address, table, findings);
            let default = if table.group.is_some() { SocketMode::GROUP } else { SocketMode::OWNER };
            ListenSite {
                address,
                tls: is_set(table.tls.as_ref()),
                proxy_protocol: is_set(table.proxy_protocol.as_ref()),
                mode: table.mode.as_ref().map_or(default, |mode| mode.value),
                group: table.group.as_ref().map(|group| group.value.clone()),
            }
        }
    };
    if let ListenDocument::Table(table) = value {
        tls_has_a_certificate(table.tls.as_ref(), host, findings);
    }
    let no_proxies = match site.address {
        ListenAddress::Tcp(_) => proxies(host).trusted.is_empty(),
        ListenAddress::Unix(_) => !proxies(host).trusted_unix,
    };
    if let ListenDocument::Table(ListenTableDocument { proxy_protocol: Some(proxy), .. }) = value
        && proxy.value
        && no_proxies
    {
        let help = match site.address {
            ListenAddress::Tcp(_) => "name who may say so: `[host.proxy]` with `trusted = [\"10.0.0.0/8\"]`",
            ListenAddress::Unix(_) => "say that it may: `[host.proxy]` with `trusted = [\"unix\"]`",
        };
        let headline = "whoever connects here says whose connection it is, and nobody is trusted";
        findings.error(&proxy.span, headline, "", help.to_owned());
    }
    Some(site)
}

fn only_a_socket_has_permissions(
    address: &ListenAddress,
    table: &ListenTableDocument,
    findings: &mut Findings,
) {
    if matches!(address, ListenAddress::Unix(_)) {
        return;
    }
    let (mode, group) = (table.mode.as_ref(), table.group.as_ref());
    for (key, span) in [("mode", mode.map(|mode| &mode.span)), ("group", group.map(|group| &group.span))] {
        let Some(span) = span else { continue };
        let headline = format!("`{key}` is of a Unix socket, and this address is none");
        findings.error(span, headline, "", "take it away: to TCP whoever has a route can connect".to_owned());
    }
}

fn addresses_are_there_once<T>(
    listen: &Spanned<Vec<Spanned<T>>>,
    address: impl Fn(&T) -> Option<&ListenAddress>,
    findings: &mut Findings,
) {
    let mut seen: HashMap<&ListenAddress, &Span> = HashMap::new();
    for Spanned { value, span } in &listen.value {
        let Some(address) = address(value) else { continue };
        let any_port = matches!(address, ListenAddress::Tcp(address) if address.port() == 0);
        if let Some(first) = seen.insert(address, span).filter(|_| !any_port) {
            let found = findings.source().diagnostic(
                span,
                "this address is there twice",
                "again",
                Some("take one away".into()),
            );
            findings.push(found.with_secondary(first, "here already"));
        }
    }
}

fn unused_certificates_are_told(host: &HostDocument, findings: &mut Findings) {
    let listeners = host.listen.iter().flat_map(|listen| &listen.value);
    let listeners = listeners.filter_map(|listener| match &listener.value {
        ListenDocument::Address(_) => None,
        ListenDocument::Table(table) => table.tls.as_ref(),
    });
    let admin = host.admin.iter().flat_map(|admin| &admin.value).filter_map(|admin| admin.value.tls());
    if let Some(tls) = &host.tls
        && findings.errors() == 0
        && !listeners.chain(admin).any(|tls| tls.value)
    {
        let help = "add a listener for it, as in `listen = [{ address = \"[::]:443\", tls = true }]`";
        let found = findings.source().diagnostic(&tls.span, "no listener uses TLS", "", None);
        findings.push(found.with_help(help).into_warning());
    }
}

/// Resolves `tls`.
pub(super) fn pairs(host: &HostDocument, findings: &Findings) -> Vec<(TlsSite, PairSpans)> {
    let folder = findings.source().folder();
    let pairs = host.tls.iter().flat_map(|tls| &tls.value).filter_map(|pair| {
        let (certificate, key) = (pair.certificate.as_ref()?, pair.key.as_ref()?);
        let spans = PairSpans { certificate: certificate.span.clone(), key: key.span.clone() };
        Some((TlsSite { certificate: folder.join(&certificate.value), key: folder.join(&key.value) }, spans))
    });
    pairs.collect()
}

/// Resolves `proxy`.
pub(super) fn proxies(host: &HostDocument) -> ProxySettings {
    let networks = trusted(host).iter().filter_map(|trusted| match trusted.value {
        TrustedDocument::Network(network) => Some(network),
        TrustedDocument::Unix => None,
    });
    let fields = host.proxy.as_ref().and_then(|proxy| proxy.fields.as_ref());
    let server_name = host.proxy.as_ref().and_then(|proxy| proxy.server_name.as_ref());
    ProxySettings {
        trusted: networks.collect(),
        trusted_unix: trusted(host).iter().any(|trusted| trusted.value == TrustedDocument::Unix),
        fields: fields.map(|fields| fields.value).unwrap_or_default(),
        server_name: server_name.map(|server_name| server_name.value).unwrap_or_default(),
    }
}

fn trusted(host: &HostDocument) -> &[Spanned<TrustedDocument>] {
    host.proxy.as_ref().and_then(|proxy| proxy.trusted.as_deref()).unwrap_or_default()
}

/// Resolves `probes`, whose address callers must not connect to.
pub(super) fn probes(host: &HostDocument, findings: &mut Findings) -> Option<std::net::SocketAddr> {
    let Spanned { value: probes, span } = host.probes.as_ref()?;
    let mut listen = host.listen.iter().flat_map(|listen| &listen.value);
    let taken = listen.find(|listener| listener.value.address() == Some(&ListenAddress::Tcp(*probes)));
    if let Some(taken) = taken.filter(|_| probes.port() != 0) {
        let found = findings.source().diagnostic(
            span,
            "the probes are at an address that callers connect to",
            "",
            Some("choose another port: probes and metrics are not for callers".into()),
        );
        findings.push(found.with_secondary(&taken.span, "callers connect here"));
    }
    Some(*probes)
}
