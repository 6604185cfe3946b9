//! From the document to the site: the checks between the parts of a site file.
//!
//! Owns the host's settings (except the HTTP `edge`), quotas, and the owners of hosts. `allowance` checks plugins
//! against their bounds, `routes` the references of routes, `secrets` those of plugins. Values arrive well-formed
//! from `read`.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;

use super::allowance::{Allowance, grants, origins};
use super::ceilings;
use super::document::{Entry, HostDocument, PluginDocument, QuotaDocument, SiteDocument, TenantDocument};
use super::edge;
use super::findings::Findings;
use super::limits::{CeilingsDocument, LimitsDocument};
use super::reuse;
use super::routes::{routes, unused_plugins_are_told};
use super::secrets::{Known, config, credentials, secrets, unused_secrets_are_told};
use super::site::{HostSettings, OutboundSettings, TenantSettings};
use super::source::Span;
use super::spans::{PluginSpans, Spans, TenantSpans};
use super::value::Spanned;
use super::visible::quoted;
use crate::document::{ComponentRef, PluginSpec, TenantDocument as ResolvedDocument};
use crate::limits::{IntakeLimits, Limit};
use crate::snapshot::HostPattern;
use crate::tenant::{Quota, Storage, TenantName};

/// The default of calls in flight of all tenants together.
pub const DEFAULT_CONCURRENCY: usize = 1000;

/// The default of open connections, and of those of one client, which is at most half of all.
const CONNECTIONS: usize = 10_000;
const CONNECTIONS_PER_CLIENT: usize = 1000;

/// The host's default ceiling of `memory`.
const MEMORY_CEILING_BYTES: u64 = 1 << 30;

/// Resolves the document. Faulty parts are reported and left out of the result.
pub(super) fn site(
    document: &SiteDocument,
    findings: &mut Findings,
) -> (HostSettings, BTreeMap<TenantName, TenantSettings>, Spans) {
    let no_host = HostDocument::default();
    let host = document.host.as_ref().unwrap_or(&no_host);
    let (settings, mut spans) = host_settings(host, findings);
    hosts_are_of_one_tenant(document, findings);
    let of_host = host_ceilings(host);
    let entries = document.tenants.0.iter();
    let tenants: BTreeMap<_, _> = entries
        .filter_map(|entry| {
            let (tenant, tenant_spans) = tenant(entry, &of_host, findings);
            let name = entry.name.clone()?;
            spans.tenants.insert(name.clone(), tenant_spans);
            Some((name, tenant))
        })
        .collect();
    // With an admin API, tenants come later.
    if document.tenants.0.is_empty() && settings.admin.is_empty() && findings.errors() == 0 {
        let help = "add a tenant, as in `[tenants.shop]` with `hosts = [\"shop.example.com\"]`";
        let found =
            findings.source().diagnostic(&(0..0), "no tenants: every request is answered 404", "", None);
        findings.push(found.with_help(help).into_warning());
    }
    (settings, tenants, spans)
}

/// Resolves `[host]`. Returns its settings, and their spans.
pub(super) fn host_settings(host: &HostDocument, findings: &mut Findings) -> (HostSettings, Spans) {
    let folder = findings.source().folder().to_owned();
    let connections = value(&host.connections).unwrap_or(CONNECTIONS);
    let (tls, tls_spans) = edge::pairs(host, findings).into_iter().unzip();
    let certificates = host.outbound.as_ref().and_then(|outbound| outbound.certificates.as_ref());
    let spans = Spans {
        tls: tls_spans,
        certificates: certificates.map_or(0..0, |path| path.span.clone()),
        tenants: BTreeMap::new(),
    };
    let settings = HostSettings {
        listen: edge::listeners(host, findings),
        tls,
        proxy: edge::proxies(host),
        probes: edge::probes(host, findings),
        admin: edge::admin_listeners(host, findings),
        state: folder.join(host.state.as_ref().map_or(".jackfield", |state| &state.value)),
        concurrency: value(&host.concurrency).unwrap_or(DEFAULT_CONCURRENCY),
        connections,
        connections_per_client: value(&host.connections_per_client)
            .unwrap_or_else(|| CONNECTIONS_PER_CLIENT.min(connections.div_euclid(2)).max(1)),
        timeouts: edge::resolved_timeouts(host),
        limits: host_ceilings(host).ceilings(),
        outbound: outbound_settings(host, findings),
        confinement: value(&host.confinement).unwrap_or_default(),
        intake: intake_settings(host),
    };
    (settings, spans)
}

fn intake_settings(host: &HostDocument) -> IntakeLimits {
    let default = IntakeLimits::default();
    let Some(intake) = &host.intake else { return default };
    IntakeLimits {
        artifact_bytes: value(&intake.artifact).map_or(default.artifact_bytes, |size| size.0),
        compile_time: value(&intake.compile_time).map_or(default.compile_time, |time| time.0),
        compile_memory_bytes: value(&intake.compile_memory)
            .map_or(default.compile_memory_bytes, |size| size.0),
    }
}

fn outbound_settings(host: &HostDocument, findings: &Findings) -> OutboundSettings {
    let Some(outbound) = &host.outbound else { return OutboundSettings::default() };
    let networks = outbound.allow.iter().flatten();
    let certificates = outbound.certificates.as_ref();
    OutboundSettings {
        allow: networks.map(|network| network.value).collect(),
        certificates: certificates.map(|path| findings.source().folder().join(&path.value)),
    }
}

fn value<T: Copy>(given: &Option<Spanned<T>>) -> Option<T> {
    given.as_ref().map(|given| given.value)
}

/// The host's ceilings, with the one that always exists. The span of that one is empty if the file does not name it.
fn host_ceilings(host: &HostDocument) -> LimitsDocument {
    let mut limits = host.limits.as_ref().map(|CeilingsDocument(limits)| limits.clone()).unwrap_or_default();
    limits.0.entry(Limit::Memory).or_insert(Spanned { value: MEMORY_CEILING_BYTES, span: 0..0 });
    limits
}

fn hosts_are_of_one_tenant(document: &SiteDocument, findings: &mut Findings) {
    let all = document.tenants.0.iter().flat_map(|tenant| {
        let hosts = tenant.value.hosts.iter().flat_map(|hosts| &hosts.value);
        hosts.map(move |host| (host, &tenant.key.value))
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(host, _)| host.span.start);
    let mut owners: HashMap<&HostPattern, (&Span, &str)> = HashMap::new();
    for (host, tenant) in all {
        let (first, owner) = *owners.entry(&host.value).or_insert((&host.span, tenant));
        if owner != tenant {
            let headline = format!(
                "the host {} is claimed by two tenants, {} and {}",
                quoted(&host.value.to_string()),
                quoted(owner),
                quoted(tenant)
            );
            let help = "a host belongs to one tenant: take it away from the other";
            let found =
                findings.source().diagnostic(&host.span, headline, "claimed again", Some(help.into()));
            findings.push(found.with_secondary(first, format!("claimed by {} here", quoted(owner))));
        }
    }
}

fn tenant(
    entry: &Entry<TenantName, TenantDocument>,
    host_ceilings: &LimitsDocument,
    findings: &mut Findings,
) -> (TenantSettings, TenantSpans) {
    let document = &entry.value;
    let no_quota = QuotaDocument::default();
    let quota = document.quota.as_ref().unwrap_or(&no_quota);
    let allowed_origins = quota.grants.iter().filter_map(|grants| grants.value.http.as_ref());
    let bounds = Allowance {
        tenant: &entry.key.value,
        host_ceilings,
        tenant_ceilings: quota.limits.as_ref().map(|CeilingsDocument(limits)| limits),
        allowed: quota.grants.as_ref(),
        origins: allowed_origins.flat_map(|origins| &origins.value).map(|origin| &origin.value).collect(),
    };
    if let Some(limits) = bounds.tenant_ceilings {
        ceilings::are_below_the_hosts(limits, host_ceilings, findings);
    }
    let whose = format!("the tenant {}", quoted(&entry.key.value));
    let (resolved, mut spans) = parts(document, &whose, &bounds, &Known::of(document), findings);
    unused_secrets_are_told(document, findings);
    let secrets = secrets(document, findings).into_iter();
    let (secrets, secret_spans) =
        secrets.map(|(name, (source, span))| ((name.clone(), source), (name, span))).unzip();
    let settings = TenantSettings {
        hosts: document.hosts.iter().flat_map(|hosts| &hosts.value).map(|host| host.value.clone()).collect(),
        quota: resolve_quota(quota),
        secrets,
        document: resolved,
    };
    spans.secrets = secret_spans;
    (settings, spans)
}

/// Resolves the document of a tenant file. Ceilings, allowed grants and secrets are the host's to check.
pub(super) fn tenant_file(
    document: &TenantDocument,
    findings: &mut Findings,
) -> (ResolvedDocument, TenantSpans) {
    let grants = document.plugins.0.iter().filter_map(|plugin| plugin.value.grants.as_ref());
    let named_origins = grants.filter_map(|grants| grants.http.as_ref()).flat_map(|origins| &origins.value);
    let bounds = Allowance {
        tenant: "",
        host_ceilings: &LimitsDocument::default(),
        tenant_ceilings: None,
        allowed: None,
        origins: named_origins.map(|origin| &origin.value).collect(),
    };
    let resolved = parts(document, "this tenant", &bounds, &Known::OnHost, findings);
    if document.plugins.0.is_empty() && document.routes.is_empty() && findings.errors() == 0 {
        let help =
            "add a plugin, as in `[plugins.hello]` with `component = \"hello.wasm\"`, and a route to it";
        let headline = "no plugins and no routes: every request is answered 404";
        let found = findings.source().diagnostic(&(0..0), headline, "", None);
        findings.push(found.with_help(help).into_warning());
    }
    resolved
}

/// Resolves the plugins and routes of a tenant, and their spans.
fn parts(
    document: &TenantDocument,
    whose: &str,
    bounds: &Allowance<'_>,
    secrets: &Known<'_>,
    findings: &mut Findings,
) -> (ResolvedDocument, TenantSpans) {
    let plugins = document.plugins.0.iter().filter_map(|plugin| {
        let resolved = resolve_plugin(&plugin.value, bounds, secrets, findings);
        let (name, (resolved, spans)) = (plugin.name.clone()?, resolved?);
        Some(((name.clone(), resolved), (name, spans)))
    });
    let (plugins, plugin_spans) = plugins.unzip();
    let (routes, route_spans) = routes(document, whose, findings).into_iter().unzip();
    unused_plugins_are_told(document, findings);
    let spans = TenantSpans { plugins: plugin_spans, secrets: BTreeMap::new(), routes: route_spans };
    (ResolvedDocument { plugins, routes }, spans)
}

fn resolve_quota(quota: &QuotaDocument) -> Quota {
    let default = Quota::default();
    let storage = quota.storage.as_ref();
    let bytes = storage.and_then(|storage| value(&storage.bytes)).map(|bytes| bytes.0);
    let keys = storage.and_then(|storage| value(&storage.keys));
    Quota {
        concurrency: value(&quota.concurrency).unwrap_or(default.concurrency),
        queue: value(&quota.queue).unwrap_or(default.queue),
        queue_wait: value(&quota.queue_wait).map_or(default.queue_wait, |wait| wait.0),
        cpu: value(&quota.cpu).map(|cpu| cpu.0),
        weight: value(&quota.weight).and_then(NonZeroU32::new).unwrap_or(default.weight),
        storage: Storage {
            bytes: bytes.unwrap_or(default.storage.bytes),
            keys: keys.unwrap_or(default.storage.keys),
        },
    }
}

fn resolve_plugin(
    plugin: &PluginDocument,
    bounds: &Allowance<'_>,
    secrets: &Known<'_>,
    findings: &mut Findings,
) -> Option<(PluginSpec, PluginSpans)> {
    let no_limits = LimitsDocument::default();
    let limits = ceilings::limits(plugin.limits.as_ref().unwrap_or(&no_limits), bounds, findings);
    let grants = grants(plugin.grants.as_ref(), bounds, findings);
    let http = origins(plugin.grants.as_ref(), bounds, findings);
    let credentials = credentials(plugin, &http, secrets, findings);
    let config = config(plugin, secrets, findings);
    let reuse = reuse::resolve(plugin, findings);
    let component = plugin.component.as_ref()?;
    let mounts = plugin.mounts.iter();
    let mounts =
        mounts.map(|(name, folder)| (name.value.clone(), findings.source().folder().join(&folder.value)));
    let mounts = mounts.collect();
    let spans = PluginSpans {
        name: plugin.place.clone(),
        component: component.span.clone(),
        mounts: plugin
            .mounts
            .iter()
            .map(|(name, folder)| (name.value.clone(), folder.span.clone()))
            .collect(),
    };
    // The reader lets no other digest pass, and none in a site file.
    let component = match component.value.parse() {
        Ok(ComponentRef::Artifact(digest)) => ComponentRef::Artifact(digest),
        _ => ComponentRef::File(findings.source().folder().join(&component.value)),
    };
    Some((PluginSpec { component, grants, http, credentials, config, mounts, limits, reuse }, spans))
}
