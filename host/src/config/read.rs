//! From the text of a site file to the document: the keys, their types and their bounds.
//!
//! Owns the checks of a single value; those of a plugin are in `plugin`. Leaves checks between parts of the file
//! (references, ceilings, conflicts) to `resolve`.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use toml::de::DeTable;

use super::document::{
    Entry, HostDocument, IntakeDocument, Named, OutboundDocument, PluginDocument, QuotaDocument,
    RouteDocument, SiteDocument, StorageDocument, TenantDocument,
};
use super::edge;
use super::findings::Findings;
use super::forms::{
    certificates_path, coding, confinement, header_value, method, network, socket_address, state_path,
};
use super::limits::ceilings;
use super::lists::{each_is_there_once, networks};
use super::plugin::{grants, plugin, secret};
use super::source::{FileKind, Span};
use super::units::{ByteSize, CpuRate, MAX_BYTES, MAX_TIME, NO_BYTES, NO_TIME, TimeSpan};
use super::value::{
    Spanned, Table, Value, array, bytes, cpu_rate, duration, filled_array, integer, named, no_help, parsed,
    root, string, table,
};
use super::visible::quoted;
use crate::snapshot::{Coding, HostPattern, PatternError, RoutePattern};
use crate::tenant::{NameError, PluginName, SecretName, TenantName};

/// The most calls in flight of the host. Each takes a slot of address space, and 47 bits of address space hold about
/// this many.
const MAX_SLOTS: usize = 20_000;

/// The greatest count of single things: connections, calls in flight, waiting calls.
const MAX_COUNT: usize = 1_000_000;

/// The greatest weight of a tenant, relative to another's of 1.
const MAX_WEIGHT: u32 = 1000;

/// The most keys in a store.
const MAX_KEYS: u64 = 1_000_000_000_000;

/// The largest artifact that can be allowed: no compiler takes more.
const MAX_ARTIFACT: ByteSize = ByteSize(1 << 30);

/// The least compile time: less would not compile even an empty component.
const LEAST_COMPILE_TIME: TimeSpan = TimeSpan(Duration::from_secs(1));
const LEAST_COMPILE_MEMORY: ByteSize = ByteSize(512 << 20);

/// The most host patterns of one tenant or route.
pub const MAX_HOSTS: usize = 1000;

/// The most routes of one tenant.
pub const MAX_ROUTES: usize = 10_000;

/// The most methods of one route; also the most filters, and the most headers.
pub const MAX_PARTS: usize = 32;

/// The keys of a tenant that a tenant file does not have, and who has them instead.
const OPERATORS_KEYS: [(&str, &str); 3] = [
    ("hosts", "hosts are the operator's to give: `jackfield tenant set NAME --hosts shop.example.com`"),
    ("quota", "the quota is the operator's to set: `jackfield tenant set NAME --file quota.json`"),
    (
        "secrets",
        "a secret's value is kept on the host: `jackfield secret set NAME`; a plugin names it as `{ secret = \"NAME\" }`",
    ),
];

const SOME_CPU: RangeInclusive<CpuRate> =
    CpuRate(Duration::from_millis(1))..=CpuRate(Duration::from_secs(100_000));

/// Reads the whole text, even if parts of it are faulty.
pub(super) fn document(findings: &mut Findings) -> SiteDocument {
    let source = findings.source().clone();
    let (document, errors) = DeTable::parse_recoverable(source.text());
    syntax_errors(errors, findings);
    root(&document, findings, |table, findings| SiteDocument {
        host: table.optional("host", findings, host),
        tenants: table
            .optional(
                "tenants",
                findings,
                named(|key, value, findings| {
                    let tenant = tenant(value, findings).unwrap_or_default();
                    entry(key, TenantName::parse, "tenant", tenant, findings)
                }),
            )
            .map(Named)
            .unwrap_or_default(),
    })
}

/// Reads the whole text of a tenant file, even if parts of it are faulty.
pub(super) fn tenant_file(findings: &mut Findings) -> TenantDocument {
    let source = findings.source().clone();
    let (document, errors) = DeTable::parse_recoverable(source.text());
    syntax_errors(errors, findings);
    root(&document, findings, |table, findings| {
        for (key, help) in OPERATORS_KEYS {
            table.refuse(key, format!("a tenant file has no `{key}`"), help, findings);
        }
        TenantDocument {
            plugins: table.optional("plugins", findings, plugins).unwrap_or_default(),
            routes: table.optional("routes", findings, routes).unwrap_or_default(),
            ..TenantDocument::default()
        }
    })
}

fn syntax_errors(mut errors: Vec<toml::de::Error>, findings: &mut Findings) {
    let source = findings.source().clone();
    // The lexer and the parser each report their errors in order, one after the other.
    errors.sort_by_key(|error| error.span().map_or(usize::MAX, |span| span.start));
    let mut may_be_open = false;
    for error in &errors {
        let message = error.message();
        let span = error.span().unwrap_or(source.text().len()..source.text().len());
        let is_of_items =
            ["array element", "inline table", "key-value pairs"].iter().any(|of| message.contains(of));
        // One line often causes several errors, and an unclosed array causes one for each later line: the first is
        // the one to mend.
        let begins_its_line = source.text_before(span.start).trim().is_empty();
        let is_echo = may_be_open && is_of_items && begins_its_line;
        if !findings.mark_broken(span.start) || is_echo {
            continue;
        }
        may_be_open = is_of_items || message.contains("string, expected");
        let text = source.text().get(span.clone()).unwrap_or_default();
        let headline = format!("this is not TOML: {message}");
        findings.syntax_error(&span, headline, syntax_help(message, text));
    }
}

fn syntax_help(message: &str, text: &str) -> Option<String> {
    let has_unit = |text: &str| {
        text.len() < 40
            && text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(|c: char| c.is_ascii_alphabetic())
    };
    if message.contains("duplicate key") {
        Some("a key or a table may be there once: join the two, or take one away".to_owned())
    } else if message.starts_with("missing comma between array elements") {
        Some("or the array's end, `]`, is missing before this".to_owned())
    } else if has_unit(text) {
        Some(format!("sizes, durations and rates are written in quotes: \"{text}\""))
    } else {
        None
    }
}

fn host(value: &Value<'_>, findings: &mut Findings) -> Option<HostDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| HostDocument {
        listen: table.optional("listen", findings, edge::listen),
        tls: table.optional("tls", findings, edge::tls),
        proxy: table.optional("proxy", findings, edge::proxy),
        probes: table.optional(
            "probes",
            findings,
            parsed("an address", "127.0.0.1:8081", socket_address, no_help),
        ),
        admin: table.optional("admin", findings, edge::admin),
        state: table.optional("state", findings, parsed("a path", ".jackfield", state_path, no_help)),
        concurrency: table.optional("concurrency", findings, integer(1..=MAX_SLOTS)),
        connections: table.optional("connections", findings, integer(1..=MAX_COUNT)),
        connections_per_client: table.optional("connections-per-client", findings, integer(1..=MAX_COUNT)),
        timeouts: table.optional("timeouts", findings, edge::timeouts),
        limits: table.optional("limits", findings, ceilings),
        outbound: table.optional("outbound", findings, outbound),
        confinement: table.optional(
            "confinement",
            findings,
            parsed("a word", "best-effort", confinement, no_help),
        ),
        intake: table.optional("intake", findings, intake),
    });
    read(value, findings)
}

fn intake(value: &Value<'_>, findings: &mut Findings) -> Option<IntakeDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| IntakeDocument {
        artifact: table.optional("artifact", findings, bytes(NO_BYTES..=MAX_ARTIFACT)),
        compile_time: table.optional("compile-time", findings, duration(LEAST_COMPILE_TIME..=MAX_TIME)),
        compile_memory: table.optional("compile-memory", findings, bytes(LEAST_COMPILE_MEMORY..=MAX_BYTES)),
    });
    read(value, findings)
}

fn outbound(value: &Value<'_>, findings: &mut Findings) -> Option<OutboundDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| OutboundDocument {
        allow: table.optional(
            "allow",
            findings,
            networks(parsed("a network", "10.1.0.0/16", network, no_help)),
        ),
        certificates: table.optional(
            "certificates",
            findings,
            parsed("a path", "ca.pem", certificates_path, no_help),
        ),
    });
    read(value, findings)
}

fn tenant(value: &Value<'_>, findings: &mut Findings) -> Option<TenantDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| TenantDocument {
        hosts: table.required("hosts", "`hosts = [\"shop.example.com\"]`", findings, tenant_hosts),
        quota: table.optional("quota", findings, quota),
        plugins: table.optional("plugins", findings, plugins).unwrap_or_default(),
        secrets: table
            .optional(
                "secrets",
                findings,
                named(|key, value, findings| {
                    let secret = secret(key, value, findings).unwrap_or_default();
                    entry(key, SecretName::parse, "secret", secret, findings)
                }),
            )
            .map(Named)
            .unwrap_or_default(),
        routes: table.optional("routes", findings, routes).unwrap_or_default(),
    });
    read(value, findings)
}

fn plugins(value: &Value<'_>, findings: &mut Findings) -> Option<Named<PluginName, PluginDocument>> {
    let read = named(|key, value, findings| {
        let plugin = plugin(key, value, findings).unwrap_or_default();
        entry(key, PluginName::parse, "plugin", plugin, findings)
    });
    read(value, findings).map(Named)
}

/// An entry of a table of names. A faulty name does not hide other faults of the entry, or of references to it.
fn entry<N, T>(
    key: &Spanned<String>,
    parse: impl Fn(&str) -> Result<N, NameError>,
    of: &str,
    value: T,
    findings: &mut Findings,
) -> Option<Entry<N, T>> {
    let name = match parse(&key.value) {
        Ok(name) => Some(name),
        Err(_) => {
            let headline = format!("{} is not a name for a {of}", quoted(&key.value));
            let form = "use 1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit";
            let help = match name_like(&key.value) {
                Some(name) => format!("{form}: `{name}`"),
                None => form.to_owned(),
            };
            findings.error(&key.span, headline, "", help);
            None
        }
    };
    Some(Entry { key: key.clone(), name, value })
}

/// The valid name that a text comes closest to.
pub(super) fn name_like(text: &str) -> Option<String> {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String =
        text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).chars().take(63).map(letter).collect();
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

fn tenant_hosts(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<Vec<Spanned<HostPattern>>>> {
    hosts("name at least one host, or \"*\" for any", value, findings)
}

fn route_hosts(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<Vec<Spanned<HostPattern>>>> {
    hosts("name at least one host, or leave `hosts` out for all of the tenant's", value, findings)
}

fn hosts(
    if_empty: &'static str,
    value: &Value<'_>,
    findings: &mut Findings,
) -> Option<Spanned<Vec<Spanned<HostPattern>>>> {
    let read = filled_array(
        "an array of host patterns",
        if_empty,
        parsed("a host pattern", "shop.example.com", HostPattern::parse, pattern_help),
    );
    let hosts = read(value, findings)?;
    if hosts.value.len() > MAX_HOSTS {
        let headline = format!("`hosts` has more than {MAX_HOSTS} patterns");
        findings.error(
            &hosts.span,
            headline,
            "",
            "a wildcard stands for many: \"*.shop.example.com\"".to_owned(),
        );
        return None;
    }
    each_is_there_once("host", &hosts.value, findings);
    Some(hosts)
}

fn quota(value: &Value<'_>, findings: &mut Findings) -> Option<QuotaDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| QuotaDocument {
        concurrency: table.optional("concurrency", findings, integer(1..=MAX_COUNT)),
        queue: table.optional("queue", findings, integer(0..=MAX_COUNT)),
        queue_wait: table.optional("queue-wait", findings, duration(NO_TIME..=MAX_TIME)),
        cpu: table.optional("cpu", findings, cpu_rate(SOME_CPU)),
        weight: table.optional("weight", findings, integer(1..=MAX_WEIGHT)),
        storage: table.optional("storage", findings, storage),
        grants: table.optional("grants", findings, |value, findings| {
            grants(value, findings).map(|grants| Spanned { value: grants, span: value.span() })
        }),
        limits: table.optional("limits", findings, ceilings),
    });
    read(value, findings)
}

fn storage(value: &Value<'_>, findings: &mut Findings) -> Option<StorageDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| StorageDocument {
        bytes: table.optional("bytes", findings, bytes(NO_BYTES..=MAX_BYTES)),
        keys: table.optional("keys", findings, integer(0..=MAX_KEYS)),
    });
    read(value, findings)
}

fn routes(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<RouteDocument>> {
    let expected = match findings.source().kind() {
        FileKind::Site => "an array of routes, each begun by `[[tenants.NAME.routes]]`",
        FileKind::Tenant => "an array of routes, each begun by `[[routes]]`",
    };
    let routes = array(expected, route)(value, findings)?;
    if routes.value.len() > MAX_ROUTES {
        let headline = format!("a tenant may have at most {MAX_ROUTES} routes");
        findings.error(&routes.span, headline, "", "captures such as {id} stand for many paths".to_owned());
        return None;
    }
    Some(routes.value)
}

fn route(value: &Value<'_>, findings: &mut Findings) -> Option<RouteDocument> {
    let before = findings.errors();
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| RouteDocument {
        path: table.required(
            "path",
            "`path = \"/api/books/{id}\"`",
            findings,
            parsed("a path pattern", "/api/books/{id}", RoutePattern::parse, pattern_help),
        ),
        hosts: table.optional("hosts", findings, route_hosts),
        methods: table.optional("methods", findings, methods),
        headers: table.optional("headers", findings, headers).unwrap_or_default(),
        filters: table.optional("filters", findings, filters).unwrap_or_default(),
        plugin: table.required("plugin", "`plugin = \"NAME\"`", findings, string),
        compression: table.optional("compression", findings, compression),
        sound: true,
    });
    let route = read(value, findings)?;
    Some(RouteDocument { sound: findings.errors() == before, ..route })
}

fn filters(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<Spanned<String>>> {
    let filters = array("an array of plugin names", string)(value, findings)?;
    at_most(MAX_PARTS, "filters", filters.value.len(), &filters.span, findings).then_some(filters.value)
}

fn compression(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<Spanned<Coding>>> {
    let read = filled_array(
        "an array of codings",
        "name at least one of \"zstd\", \"br\" and \"gzip\", or leave `compression` out for none",
        parsed("a coding", "gzip", coding, no_help),
    );
    let codings = read(value, findings)?;
    each_is_there_once("coding", &codings.value, findings);
    Some(codings.value)
}

fn at_most(most: usize, what: &str, found: usize, span: &Span, findings: &mut Findings) -> bool {
    if found > most {
        findings.error(span, format!("a route may have at most {most} {what}"), "", None);
    }
    found <= most
}

fn methods(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<Vec<Spanned<Method>>>> {
    let read = filled_array(
        "an array of methods",
        "name at least one method, or leave `methods` out for every method",
        parsed("a method", "GET", method, no_help),
    );
    let methods = read(value, findings)?;
    if !at_most(MAX_PARTS, "methods", methods.value.len(), &methods.span, findings) {
        return None;
    }
    each_is_there_once("method", &methods.value, findings);
    Some(methods)
}

fn headers(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let read = named(|key, value, findings| {
        let name = HeaderName::from_bytes(key.value.as_bytes());
        if name.is_err() {
            let help = "use letters, digits and `-`, as in \"x-beta\"".to_owned();
            findings.error(&key.span, format!("{} is not a header name", quoted(&key.value)), "", help);
        }
        let value = parsed("a string", "1", header_value, no_help)(value, findings);
        Some((key.span.clone(), name.ok()?, value?.value))
    });
    let value_span = value.name_or_span();
    let mut headers = Vec::new();
    let mut seen: HashMap<HeaderName, Span> = HashMap::new();
    let mut read = read(value, findings)?;
    read.sort_by_key(|(span, ..)| span.start);
    for (span, name, value) in read {
        if let Some(first) = seen.insert(name.clone(), span.clone()) {
            let headline = format!("the header {} is there twice", quoted(name.as_str()));
            let help = "names of headers are the same in capitals: take one away";
            let found = findings.source().diagnostic(&span, headline, "again", Some(help.into()));
            findings.push(found.with_secondary(&first, "here already"));
        }
        headers.push((name, value));
    }
    at_most(MAX_PARTS, "headers", headers.len(), &value_span, findings).then_some(headers)
}

fn pattern_help(_: &str, error: &PatternError) -> (Option<Span>, Option<String>) {
    (error.at.clone(), None)
}
