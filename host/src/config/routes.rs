//! The routes of a tenant: the plugins and hosts that they name exist, and no two routes claim the same request.
//!
//! Owns references from routes to plugins and hosts. Leaves to `snapshot` which of two routes wins, and when two
//! routes clash.

use std::collections::{BTreeSet, HashMap};

use super::document::{RouteDocument, TenantDocument};
use super::findings::Findings;
use super::similar::did_you_mean;
use super::spans::RouteSpans;
use super::value::Spanned;
use super::visible::quoted;
use crate::document::RouteSpec;
use crate::snapshot::HostPattern;
use crate::tenant::PluginName;

/// Resolves the routes of a tenant; `whose` are the words for it in a message. Faulty routes are reported and left out
/// of the result.
pub(super) fn routes(
    tenant: &TenantDocument,
    whose: &str,
    findings: &mut Findings,
) -> Vec<(RouteSpec, RouteSpans)> {
    let plugins = &tenant.plugins.0;
    let by_key: HashMap<&str, &Option<PluginName>> =
        plugins.iter().map(|plugin| (plugin.key.value.as_str(), &plugin.name)).collect();
    let resolved = tenant.routes.iter().filter_map(|route| {
        if let (Some(mine), Some(all)) = (&route.hosts, &tenant.hosts) {
            hosts_are_the_tenants(&mine.value, &all.value, whose, findings);
        }
        let mut refer = |name: &Spanned<String>| plugin_named(name, &by_key, findings);
        let filters: Vec<_> = route.filters.iter().map(&mut refer).collect();
        let plugin = route.plugin.as_ref().and_then(&mut refer);
        resolve(route, filters.into_iter().collect::<Option<_>>()?, plugin?)
    });
    let resolved: Vec<_> = resolved.collect();
    routes_do_not_clash(&resolved, whose, findings);
    resolved
}

fn resolve(
    route: &RouteDocument,
    filters: Vec<PluginName>,
    plugin: PluginName,
) -> Option<(RouteSpec, RouteSpans)> {
    let pattern = route.path.as_ref().filter(|_| route.sound)?;
    let values = |hosts: &Spanned<Vec<Spanned<HostPattern>>>| {
        hosts.value.iter().map(|host| host.value.clone()).collect()
    };
    let resolved = RouteSpec {
        pattern: pattern.value.clone(),
        hosts: route.hosts.as_ref().map(values).unwrap_or_default(),
        methods: route
            .methods
            .as_ref()
            .map(|methods| methods.value.iter().map(|method| method.value.clone()).collect()),
        headers: route.headers.clone(),
        filters,
        plugin,
        compression: route.compression.iter().flatten().map(|coding| coding.value).collect(),
    };
    let spans = RouteSpans {
        path: pattern.span.clone(),
        filters: route.filters.iter().map(|filter| filter.span.clone()).collect(),
        plugin: route.plugin.as_ref().map_or(0..0, |plugin| plugin.span.clone()),
    };
    Some((resolved, spans))
}

fn hosts_are_the_tenants(
    mine: &[Spanned<HostPattern>],
    all: &[Spanned<HostPattern>],
    whose: &str,
    findings: &mut Findings,
) {
    for host in mine {
        if !all.iter().any(|known| known.value.covers(&host.value)) {
            // Once findings are only counted, a help is not needed, nor the names for it.
            let all = if findings.is_full() { &[] } else { all };
            let known: Vec<String> = all.iter().map(|known| known.value.to_string()).collect();
            let name = host.value.to_string();
            let help = did_you_mean(&name, &known, "its hosts are", findings);
            let headline = format!("{} is not a host of {whose}", quoted(&name));
            findings.error(&host.span, headline, "", help);
        }
    }
}

fn plugin_named(
    name: &Spanned<String>,
    known: &HashMap<&str, &Option<PluginName>>,
    findings: &mut Findings,
) -> Option<PluginName> {
    if let Some(found) = known.get(name.value.as_str()) {
        return (*found).clone();
    }
    let mut names: Vec<&str> = Vec::new();
    if !findings.is_full() {
        names.extend(known.keys());
        names.sort_unstable();
    }
    let help = did_you_mean(&name.value, &names, "the tenant's plugins are", findings).unwrap_or_else(|| {
        let prefix = findings.source().kind().prefix();
        format!("the tenant has no plugins: add one as `[{prefix}plugins.NAME]`")
    });
    findings.error(&name.span, format!("unknown plugin {}", quoted(&name.value)), "", help);
    None
}

fn routes_do_not_clash(routes: &[(RouteSpec, RouteSpans)], whose: &str, findings: &mut Findings) {
    let mut rules: Vec<_> = routes.iter().map(|(route, spans)| route.rule(&spans.path)).collect();
    // Patterns of one shape are neighbours in their order, and only patterns of one shape can clash.
    rules.sort_by(|a, b| a.pattern.cmp(&b.pattern).then(a.target.start.cmp(&b.target.start)));
    for group in rules.chunk_by(|a, b| a.pattern.conflicts_with(&b.pattern)) {
        let mut group: Vec<_> = group.iter().collect();
        group.sort_by_key(|rule| rule.target.start);
        for (index, rule) in group.iter().enumerate() {
            let Some(earlier) = group.iter().take(index).find(|earlier| earlier.clashes_with(rule)) else {
                continue;
            };
            let headline = format!("two routes of {whose} could take the same request");
            let help = if earlier.pattern == rule.pattern {
                "let them differ in methods, hosts or headers, or take one away"
            } else {
                "what captures are called makes no difference: let the routes differ in methods, hosts or headers, \
                 or take one away"
            };
            let found = findings.source().diagnostic(rule.target, headline, "this one", Some(help.into()));
            findings.push(found.with_secondary(earlier.target, "the other one"));
        }
    }
}

/// Warns of plugins that no route names.
pub(super) fn unused_plugins_are_told(tenant: &TenantDocument, findings: &mut Findings) {
    // If there are errors, the part that uses the plugin may be among them.
    if findings.errors() > 0 {
        return;
    }
    let named = tenant.routes.iter().flat_map(|route| route.filters.iter().chain(&route.plugin));
    let used: BTreeSet<&str> = named.map(|name| name.value.as_str()).collect();
    for plugin in tenant.plugins.0.iter().filter(|plugin| !used.contains(plugin.key.value.as_str())) {
        let headline = format!("no route uses the plugin {}", quoted(&plugin.key.value));
        let found = findings.source().diagnostic(
            &plugin.key.span,
            headline,
            "",
            Some("name it in a route's `plugin` or `filters`".into()),
        );
        findings.push(found.into_warning());
    }
}
