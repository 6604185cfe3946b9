//! The check of a document that comes through the admin API: its references lead somewhere, its routes do not clash, and
//! it asks for no more than its operator and its host allow. The site file's reader (`config`) checks the same of a
//! site, at places in the file.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::{MAX_CONFIG_BYTES, MAX_CREDENTIALS, MAX_HOSTS, MAX_ORIGINS, MAX_PARTS, MAX_ROUTES};
use crate::deploy::refusal::Fault;
use crate::document::{Place, PluginSpec, TenantDocument, TenantSpec};
use crate::limits::{Ceilings, Limit, Limits, Reuse};
use crate::observe::{FEW, few};
use crate::snapshot::HostPattern;
use crate::tenant::{PluginName, SecretName, TenantName};

/// The most plugins of a document.
const MAX_PLUGINS: usize = 1000;

/// The most routes of one path, and hosts of all routes together: each is compared with each other one.
const MAX_ROUTES_OF_A_PATH: usize = 1000;
const MAX_HOSTS_OF_ROUTES: usize = 10_000;

/// The most calls of one instance, and the longest time of one.
const MAX_CALLS: u32 = 1_000_000_000;
const MAX_AGE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The most faults that are told.
const MAX_FAULTS: usize = 100;

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
        // What has too many parts is not compared with anything: each comparison takes its time.
        let mut faults = too_many(document);
        if faults.is_empty() {
            for (name, plugin) in &document.plugins {
                faults.extend(self.grants(name, plugin));
                faults.extend(self.limits(name, plugin));
                faults.extend(self.references(name, plugin));
            }
            faults.extend(self.routes(document));
        }
        faults.truncate(MAX_FAULTS);
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
        let mut set = BTreeSet::new();
        for credential in &plugin.credentials {
            if !set.insert((&credential.origin, credential.header.as_str())) {
                let (header, origin) = (&credential.header, &credential.origin);
                let headline = format!(
                    "plugin `{name}`: the header `{header}` for the origin `{origin}` is there twice"
                );
                faults.push(Fault::new(at(), headline).id("twice").help("take one away".to_owned()));
            }
        }
        if let Some(Reuse { calls, age, idle }) = plugin.reuse
            && (calls == 0
                || calls > MAX_CALLS
                || [age, idle].iter().any(|time| time.is_zero() || *time > MAX_AGE))
        {
            let headline = format!("plugin `{name}`: `reuse` is out of bounds");
            let help = format!("write 1 to {MAX_CALLS} calls, and times of a nanosecond to a year");
            faults.push(Fault::new(at(), headline).id("out-of-bounds").help(help));
        }
        let bytes = plugin.config_texts().map(|(key, text)| key.len().saturating_add(text.len()));
        if bytes.fold(0, usize::saturating_add) > MAX_CONFIG_BYTES {
            let headline = format!("plugin `{name}`: `config` has more than 64KiB of keys and values");
            faults.push(Fault::new(at(), headline).id("too-large").help("write less".to_owned()));
        }
        faults
    }

    /// The faults of routes: plugins and hosts that are not the tenant's, and requests that two routes claim.
    fn routes(&self, document: &TenantDocument) -> Vec<Fault> {
        let mut faults = Vec::new();
        let known: Vec<_> = document.plugins.keys().map(PluginName::as_str).collect();
        let help = match known.is_empty() {
            true => "the document has no plugins".into(),
            false => format!("the document's plugins are {}", few(known, FEW)),
        };
        let mut named = |name: &PluginName, place: Place| {
            if !document.plugins.contains_key(name) && faults.len() < MAX_FAULTS {
                let fault = Fault::new(place, format!("unknown plugin `{name}`")).id("unknown-plugin");
                faults.push(fault.help(help.clone()));
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
        faults.extend(clashes(document));
        faults
    }
}

/// The faults of a document with too many parts. The bounds are the site file's.
fn too_many(document: &TenantDocument) -> Vec<Fault> {
    let TenantDocument { plugins, routes } = document;
    let mut faults = Vec::new();
    let mut most = |place: Place, what: &str, is: usize, most: usize| {
        if is > most && faults.len() < MAX_FAULTS {
            let help = format!("at most {most} may be there");
            faults.push(Fault::new(place, format!("there are {is} {what}")).id("too-many").help(help));
        }
    };
    most(Place::Document, "plugins", plugins.len(), MAX_PLUGINS);
    most(Place::Document, "routes", routes.len(), MAX_ROUTES);
    let hosts = routes.iter().map(|route| route.hosts.len()).fold(0, usize::saturating_add);
    most(Place::Document, "hosts of routes", hosts, MAX_HOSTS_OF_ROUTES);
    for (index, route) in routes.iter().enumerate() {
        most(Place::Route(index), "hosts", route.hosts.len(), MAX_HOSTS);
        most(Place::Route(index), "filters", route.filters.len(), MAX_PARTS);
        most(Place::Route(index), "methods", route.methods.as_ref().map_or(0, Vec::len), MAX_PARTS);
        most(Place::Route(index), "headers", route.headers.len(), MAX_PARTS);
    }
    for (name, plugin) in plugins {
        most(Place::Plugin(name.clone()), "origins", plugin.http.len(), MAX_ORIGINS);
        most(Place::Plugin(name.clone()), "credentials", plugin.credentials.len(), MAX_CREDENTIALS);
    }
    faults
}

/// The faults of routes that could take the same request as an earlier one.
fn clashes(document: &TenantDocument) -> Vec<Fault> {
    let mut rules: Vec<_> =
        document.routes.iter().enumerate().map(|(index, route)| route.rule(index)).collect();
    // Patterns of one shape are neighbours in their order, and only patterns of one shape can clash.
    rules.sort_by(|one, other| one.pattern.cmp(&other.pattern).then(one.target.cmp(&other.target)));
    let mut faults = Vec::new();
    for group in rules.chunk_by(|one, other| one.pattern.conflicts_with(&other.pattern)) {
        if let [first, _, ..] = group
            && group.len() > MAX_ROUTES_OF_A_PATH
        {
            let headline = format!("there are {} routes of the path `{}`", group.len(), first.pattern);
            let help = format!("at most {MAX_ROUTES_OF_A_PATH} may be there");
            faults.push(Fault::new(Place::Route(first.target), headline).id("too-many").help(help));
            continue;
        }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const COMPONENT: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// The kinds and places of the faults of a document.
    fn faults(document: Value) -> Vec<(&'static str, String)> {
        let spec = json!({
            "hosts": ["shop.example", "*.shop.example"],
            "quota": { "grants": { "keyvalue": true, "http": ["https://api.example"] }, "limits": { "memory": 1 << 20 } },
        });
        let allowance = Allowance {
            tenant: &TenantName::parse("shop").unwrap(),
            spec: &serde_json::from_value(spec).unwrap(),
            host: &Ceilings::from([(Limit::Cpu, 100_000_000)]),
            secrets: &[SecretName::parse("token").unwrap()].into(),
        };
        let document = serde_json::from_value(document).unwrap();
        let faults = allowance.faults(&document);
        faults.into_iter().map(|fault| (fault.id, fault.place.to_string())).collect()
    }

    fn with(plugin: Value) -> Value {
        let mut whole = json!({ "component": COMPONENT });
        whole.as_object_mut().unwrap().extend(plugin.as_object().unwrap().clone());
        json!({ "plugins": { "p": whole } })
    }

    #[test]
    fn a_document_may_have_what_its_operator_allows() {
        let allowed = json!({
            "grants": { "keyvalue": true, "http": ["https://api.example"] },
            "limits": { "memory": 1 << 20, "cpu": 100_000_000 },
            "config": { "key": { "secret": "token" } },
            "outbound": [{ "origin": "https://api.example", "header": "authorization", "secret": "token" }],
        });
        assert_eq!(faults(with(allowed)), []);
        // The default of `memory` is above the ceiling, and is lowered.
        assert_eq!(faults(with(json!({}))), []);
    }

    #[test]
    fn what_is_not_allowed_is_refused_at_its_place() {
        for (plugin, id, place) in [
            (json!({ "grants": { "limiter": true } }), "grant-not-allowed", "/plugins/p"),
            (json!({ "grants": { "http": ["https://b.example"] } }), "origin-not-allowed", "/plugins/p"),
            (json!({ "limits": { "memory": 2 << 20 } }), "above-ceiling", "/plugins/p"),
            (json!({ "limits": { "cpu": 100_000_001 } }), "above-ceiling", "/plugins/p"),
            (json!({ "config": { "key": { "secret": "salt" } } }), "unknown-secret", "/secrets/salt"),
            (json!({ "config": { "key": "x".repeat(64 << 10) } }), "too-large", "/plugins/p"),
            (json!({ "mounts": { "/": "/etc" } }), "mount-not-allowed", "/plugins/p/mounts/~1"),
            (
                json!({ "outbound": [{ "origin": "https://api.example", "header": "x", "secret": "token" }] }),
                "origin-not-granted",
                "/plugins/p",
            ),
        ] {
            assert_eq!(faults(with(plugin.clone())), [(id, place.to_owned())], "{plugin}");
        }
    }

    #[test]
    fn what_has_too_many_parts_is_refused_before_they_are_compared() {
        let routes = |routes: Vec<Value>| {
            let mut document = with(json!({}));
            document.as_object_mut().unwrap().insert("routes".into(), routes.into());
            document
        };
        let route = |more: Value| {
            let mut route = json!({ "path": "/", "plugin": "p" });
            route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            route
        };
        let hosts = |count: usize| (0..count).map(|host| format!("{host}.shop.example")).collect::<Vec<_>>();
        for (document, place) in [
            (routes(vec![route(json!({})); MAX_ROUTES + 1]), ""),
            (routes(vec![route(json!({})); MAX_ROUTES_OF_A_PATH + 1]), "/routes/0"),
            (routes(vec![route(json!({ "filters": vec!["p"; MAX_PARTS + 1] }))]), "/routes/0"),
            (routes(vec![route(json!({ "hosts": hosts(MAX_HOSTS + 1) }))]), "/routes/0"),
            (routes(vec![route(json!({ "hosts": hosts(MAX_HOSTS) })); 11]), ""),
        ] {
            assert_eq!(faults(document), [("too-many", place.to_owned())]);
        }
    }

    #[test]
    fn what_is_written_twice_or_out_of_bounds_is_refused() {
        let credential =
            json!({ "origin": "https://api.example", "header": "authorization", "secret": "token" });
        let twice =
            json!({ "grants": { "http": ["https://api.example"] }, "outbound": [credential, credential] });
        assert_eq!(faults(with(twice)), [("twice", "/plugins/p".to_owned())]);
        for reuse in [json!({ "calls": 0 }), json!({ "age": 0 }), json!({ "idle": u64::MAX })] {
            let reused = json!({ "instances": "reused", "reuse": reuse });
            assert_eq!(faults(with(reused)), [("out-of-bounds", "/plugins/p".to_owned())], "{reuse}");
        }
    }

    #[test]
    fn a_route_that_leads_nowhere_or_takes_anothers_requests_is_refused_at_its_place() {
        let routes = json!([
            { "path": "/a/{x}", "plugin": "p" },
            { "path": "/b", "plugin": "q", "filters": ["p", "r"] },
            { "path": "/a/{y}", "plugin": "p", "methods": ["GET"] },
            { "path": "/c", "plugin": "p", "hosts": ["a.shop.example", "other.example"] },
        ]);
        let mut document = with(json!({}));
        document.as_object_mut().unwrap().insert("routes".into(), routes);
        let expected = [
            ("unknown-plugin", "/routes/1/filters/1"),
            ("unknown-plugin", "/routes/1/plugin"),
            ("foreign-host", "/routes/3"),
            ("routes-clash", "/routes/2"),
        ];
        assert_eq!(faults(document), expected.map(|(id, place)| (id, place.to_owned())));
    }
}
