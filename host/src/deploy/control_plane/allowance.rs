//! The check of a document that comes through the admin API: its references lead somewhere, its routes do not clash, and
//! it asks for no more than its operator and its host allow. The site file's reader (`config`) checks the same of a
//! site, at places in the file.

use std::collections::BTreeSet;

use crate::deploy::refusal::Fault;
use crate::document::{Place, PluginSpec, RouteSpec, TenantDocument, TenantSpec};
use crate::limits::{Ceilings, Limit, Limits};
use crate::observe::{FEW, few};
use crate::snapshot::HostPattern;
use crate::tenant::{PluginName, SecretName, TenantName};

/// The most plugins and routes of a document, and bytes of one plugin's configuration: those of the site file.
const MOST_PLUGINS: usize = 1000;
const MOST_ROUTES: usize = 10_000;

/// The most filters, methods and headers of a route, and its most hosts: those of the site file.
const MOST_PARTS: usize = 32;
const MOST_HOSTS: usize = 1000;

/// The allowance of one tenant.
pub(super) struct Allowance<'a> {
    pub(super) tenant: &'a TenantName,
    pub(super) spec: &'a TenantSpec,
    /// The ceilings of the host.
    pub(super) host: &'a Ceilings,
    /// The secrets that the tenant has.
    pub(super) secrets: &'a BTreeSet<SecretName>,
}

impl Allowance<'_> {
    /// All faults of a document.
    pub(super) fn faults(&self, document: &TenantDocument) -> Vec<Fault> {
        let TenantDocument { plugins, routes } = document;
        let mut faults = Vec::new();
        if plugins.len() > MOST_PLUGINS || routes.len() > MOST_ROUTES {
            let found = format!("the document has {} plugins and {} routes", plugins.len(), routes.len());
            let help = format!("at most {MOST_PLUGINS} and {MOST_ROUTES} may be there");
            return vec![Fault::new(Place::Document, found).id("too-many").help(help)];
        }
        for (name, plugin) in plugins {
            faults.extend(self.grants(name, plugin));
            faults.extend(self.limits(name, plugin));
            faults.extend(self.references(name, plugin));
        }
        faults.extend(self.routes(document));
        faults
    }

    /// The faults of grants and origins that the operator does not allow.
    fn grants(&self, name: &PluginName, plugin: &PluginSpec) -> Vec<Fault> {
        let allowed = self.spec.quota.allowed.as_ref();
        let at = || Place::Plugin(name.clone());
        let grants = [
            ("keyvalue", plugin.grants.keyvalue, allowed.map(|allowed| allowed.keyvalue)),
            (
                "keyvalue-shared",
                plugin.grants.keyvalue_shared,
                allowed.map(|allowed| allowed.keyvalue_shared),
            ),
            ("limiter", plugin.grants.limiter, allowed.map(|allowed| allowed.limiter)),
        ];
        let refused = grants.into_iter().filter(|(_, wanted, allowed)| *wanted && *allowed == Some(false));
        let mut faults: Vec<_> = refused
            .map(|(grant, ..)| {
                let headline = format!("plugin `{name}`: the tenant {} may not grant `{grant}`", self.tenant);
                let help = format!("take it away, or let the operator allow `{grant}` in the tenant's quota");
                Fault::new(at(), headline).id("grant-not-allowed").help(help)
            })
            .collect();
        let is_allowed = |origin| allowed.is_some_and(|allowed| allowed.http.contains(origin));
        for origin in plugin.http.iter().filter(|origin| !is_allowed(origin)) {
            let headline =
                format!("plugin `{name}`: the tenant {} may not grant the origin `{origin}`", self.tenant);
            let help =
                "take it away, or let the operator add it to `http` of the grants in the tenant's quota";
            faults.push(Fault::new(at(), headline).id("origin-not-allowed").help(help.to_owned()));
        }
        faults
    }

    /// The faults of limits above a ceiling. A default that is above one is lowered when the revision runs.
    fn limits(&self, name: &PluginName, plugin: &PluginSpec) -> Vec<Fault> {
        let default = Limits::default();
        let above = Limit::ALL.iter().filter_map(|limit| {
            let is = plugin.limits.get(*limit);
            let of = |ceilings: &Ceilings| ceilings.get(limit).copied();
            let most = of(&self.spec.quota.ceilings).into_iter().chain(of(self.host)).min()?;
            (is > most && is != default.get(*limit)).then_some((limit, is, most))
        });
        above
            .map(|(limit, is, most)| {
                let headline =
                    format!("plugin `{name}`: its limit `{limit}` of {is} is above the ceiling, {most}");
                let help = format!("write at most {most}, or let the operator raise the ceiling");
                Fault::new(Place::Plugin(name.clone()), headline).id("above-ceiling").help(help)
            })
            .collect()
    }

    /// The faults of folders, secrets and credentials.
    fn references(&self, name: &PluginName, plugin: &PluginSpec) -> Vec<Fault> {
        let at = || Place::Plugin(name.clone());
        let mut faults = Vec::new();
        for mount in plugin.mounts.keys() {
            let headline =
                format!("plugin `{name}`: folders of the host are not mounted through the admin API");
            let help = "the operator mounts folders in the site file".to_owned();
            let place = Place::Mount(name.clone(), mount.clone());
            faults.push(Fault::new(place, headline).id("mount-not-allowed").help(help));
        }
        let sent = plugin.credentials.iter().map(|credential| &credential.secret);
        let read = plugin.config_secrets().map(|(_, secret)| secret);
        let unknown: BTreeSet<_> =
            sent.chain(read).filter(|secret| !self.secrets.contains(*secret)).collect();
        for secret in unknown {
            let known: Vec<_> = self.secrets.iter().map(SecretName::as_str).collect();
            let help = match known.is_empty() {
                true => "the tenant has no secrets: set it with `PUT …/secrets/NAME`".into(),
                false => format!("the tenant's secrets are {}", few(known, FEW)),
            };
            let headline = format!("plugin `{name}`: unknown secret `{secret}`");
            faults.push(Fault::new(Place::Secret(secret.clone()), headline).id("unknown-secret").help(help));
        }
        for credential in plugin.credentials.iter().filter(|known| !plugin.http.contains(&known.origin)) {
            let headline = format!("plugin `{name}` is not granted the origin `{}`", credential.origin);
            let help = "add it to `http` of the plugin's grants, or take the credential away".to_owned();
            faults.push(Fault::new(at(), headline).id("origin-not-granted").help(help));
        }
        let bytes = plugin.config_texts().map(|(key, text)| key.len().saturating_add(text.len()));
        if bytes.fold(0, usize::saturating_add) > crate::config::MAX_CONFIG_BYTES {
            let headline = format!("plugin `{name}`: `config` has more than 64KiB of keys and values");
            faults.push(Fault::new(at(), headline).id("too-large").help("write less".to_owned()));
        }
        faults
    }

    /// The faults of routes: plugins and hosts that are not the tenant's, and requests that two routes claim.
    fn routes(&self, document: &TenantDocument) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut named = |name: &PluginName, place: Place| {
            if !document.plugins.contains_key(name) {
                let known: Vec<_> = document.plugins.keys().map(PluginName::as_str).collect();
                let help = match known.is_empty() {
                    true => "the document has no plugins".into(),
                    false => format!("the document's plugins are {}", few(known, FEW)),
                };
                let fault = Fault::new(place, format!("unknown plugin `{name}`")).id("unknown-plugin");
                faults.push(fault.help(help));
            }
        };
        for (index, route) in document.routes.iter().enumerate() {
            for (filter, name) in route.filters.iter().enumerate() {
                named(name, Place::Filter { route: index, filter });
            }
            named(&route.plugin, Place::RoutePlugin(index));
        }
        for (index, route) in document.routes.iter().enumerate() {
            let is_covered = |host: &&HostPattern| !self.spec.hosts.iter().any(|known| known.covers(host));
            for host in route.hosts.iter().filter(is_covered) {
                let known: Vec<_> = self.spec.hosts.iter().map(ToString::to_string).collect();
                let headline = format!("`{host}` is not a host of the tenant {}", self.tenant);
                let help = format!("its hosts are {}", few(known.iter().map(String::as_str), FEW));
                faults.push(Fault::new(Place::Route(index), headline).id("foreign-host").help(help));
            }
        }
        let too_long: Vec<_> = document.routes.iter().enumerate().filter_map(too_many_parts).collect();
        // Every two routes of one pattern are compared: each is to be short.
        if too_long.is_empty() {
            faults.extend(clashes(document));
        }
        faults.extend(too_long);
        faults
    }
}

/// The fault of a route that has more of something than a route may have.
fn too_many_parts((index, route): (usize, &RouteSpec)) -> Option<Fault> {
    let parts = [
        ("filters", route.filters.len(), MOST_PARTS),
        ("methods", route.methods.as_ref().map_or(0, Vec::len), MOST_PARTS),
        ("headers", route.headers.len(), MOST_PARTS),
        ("hosts", route.hosts.len(), MOST_HOSTS),
    ];
    let (what, found, most) = parts.into_iter().find(|(_, found, most)| found > most)?;
    let headline = format!("a route has {found} {what}");
    let fault = Fault::new(Place::Route(index), headline).id("too-many");
    Some(fault.help(format!("at most {most} may be there")))
}

/// The faults of routes that could take the same request as an earlier one.
fn clashes(document: &TenantDocument) -> Vec<Fault> {
    let mut rules: Vec<_> =
        document.routes.iter().enumerate().map(|(index, route)| route.rule(index)).collect();
    // Patterns of one shape are neighbours in their order, and only patterns of one shape can clash.
    rules.sort_by(|one, other| one.pattern.cmp(&other.pattern).then(one.target.cmp(&other.target)));
    let mut faults = Vec::new();
    for group in rules.chunk_by(|one, other| one.pattern.conflicts_with(&other.pattern)) {
        for (place, rule) in group.iter().enumerate() {
            if let Some(earlier) = group.iter().take(place).find(|earlier| earlier.clashes_with(rule)) {
                let headline = format!(
                    "the routes {} and {} could take the same request: `{}`",
                    earlier.target, rule.target, rule.pattern
                );
                let help = "let them differ in methods, hosts or headers, or take one away".to_owned();
                faults.push(Fault::new(Place::Route(rule.target), headline).id("routes-clash").help(help));
            }
        }
    }
    faults
}
