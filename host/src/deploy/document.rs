//! The id of a revision: a digest of what a tenant runs, whatever its file looks like.
//!
//! RFC 8785 form: object keys sorted, no white space, numbers as integers. Components are digests, sizes
//! bytes, durations nanoseconds, defaults left out, secrets names; so the same document has the same id on every
//! host, whatever the values of its secrets are.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::{CredentialSite, PluginSite, RouteSite, TenantSite};
use crate::limits::Reuse;
use crate::sandbox::{Component, Digest};
use crate::tenant::PluginName;

/// The id of `tenant` with these components.
pub(super) fn id(tenant: &TenantSite, components: &BTreeMap<PluginName, Component>) -> Digest {
    let plugins = tenant.plugins.iter().map(|(name, plugin)| {
        let digest = components.get(name).map(Component::digest);
        (name.to_string(), self::plugin(plugin, digest))
    });
    let mut routes: Vec<Value> = tenant.routes.iter().map(route).collect();
    // The order of routes in the file never matters.
    routes.sort_by_cached_key(Value::to_string);
    let document = json!({ "plugins": Map::from_iter(plugins), "routes": routes });
    Digest::of(document.to_string().as_bytes())
}

fn plugin(plugin: &PluginSite, digest: Option<Digest>) -> Value {
    let mut grants = Map::new();
    for (name, granted) in [
        ("keyvalue", plugin.grants.keyvalue),
        ("keyvalue-shared", plugin.grants.keyvalue_shared),
        ("limiter", plugin.grants.limiter),
    ] {
        if granted {
            grants.insert(name.into(), true.into());
        }
    }
    if !plugin.http.is_empty() {
        grants.insert("http".into(), plugin.http.iter().map(ToString::to_string).collect());
    }
    let plain = plugin.config.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    let secret =
        plugin.config_secrets.iter().map(|(key, name)| (key.clone(), json!({ "secret": name.as_str() })));
    let mut document = json!({
        "component": digest.map(|digest| digest.to_string()),
        "config": Map::from_iter(plain.chain(secret)),
        "grants": grants,
        "limits": plugin.limits,
    });
    let mut add = |name: &str, value: Value| {
        if let Some(object) = document.as_object_mut() {
            object.insert(name.into(), value);
        }
    };
    if !plugin.credentials.is_empty() {
        add("outbound", credentials(&plugin.credentials));
    }
    if let Some(reuse) = &plugin.reuse {
        add("instances", "reused".into());
        let reuse = self::reuse(reuse);
        if !reuse.is_empty() {
            add("reuse", reuse.into());
        }
    }
    document
}

fn reuse(reuse: &Reuse) -> Map<String, Value> {
    let values = |Reuse { calls, age, idle }: &Reuse| {
        [("calls", Value::from(*calls)), ("age", nanos(*age)), ("idle", nanos(*idle))]
    };
    changed(values(reuse), values(&Reuse::default()))
}

/// Those that are not the default.
fn changed<const N: usize>(values: [(&str, Value); N], defaults: [(&str, Value); N]) -> Map<String, Value> {
    let changed = values.into_iter().filter(|value| !defaults.contains(value));
    changed.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn nanos(time: Duration) -> Value {
    Value::from(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn credentials(credentials: &[CredentialSite]) -> Value {
    let entries = credentials.iter().map(|CredentialSite { origin, header, secret }| {
        json!({ "origin": origin.to_string(), "header": header.as_str(), "secret": secret.as_str() })
    });
    let mut entries: Vec<Value> = entries.collect();
    // Each sets a header of its own, in whatever order.
    entries.sort_by_cached_key(Value::to_string);
    entries.into()
}

fn route(route: &RouteSite) -> Value {
    let RouteSite { pattern, hosts, methods, headers, filters, plugin, .. } = route;
    let mut document = json!({ "path": pattern.as_str(), "plugin": plugin.as_str() });
    let mut add = |name: &str, value: Value| {
        if let Some(object) = document.as_object_mut() {
            object.insert(name.into(), value);
        }
    };
    if !hosts.is_empty() {
        add("hosts", sorted(hosts.iter().map(ToString::to_string)));
    }
    if let Some(methods) = methods {
        add("methods", sorted(methods.iter().map(ToString::to_string)));
    }
    if !headers.is_empty() {
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()))));
        add("headers", Value::Object(Map::from_iter(pairs)));
    }
    if !filters.is_empty() {
        add("filters", filters.iter().map(PluginName::as_str).collect());
    }
    document
}

fn sorted(values: impl Iterator<Item = String>) -> Value {
    let mut values: Vec<String> = values.collect();
    values.sort();
    values.into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Site;

    const SITE: &str = r#"
[tenants.a]
hosts = ["*"]
quota.grants = { http = ["https://api.example", "https://pay.example", "http://b.example"] }
secrets = { token = { file = "token" }, other = { env = "OTHER" } }
[tenants.a.plugins.p]
component = "p.wasm"
grants = { http = ["https://api.example", "https://pay.example"] }
config = { key = { secret = "token" } }
instances = "reused"
limits = { stream = "1min", outbound = 3, outbound-bytes = "1MiB", response-body = "16MiB" }
[[tenants.a.plugins.p.outbound]]
origin = "https://api.example"
header = "authorization"
secret = "token"
[[tenants.a.plugins.p.outbound]]
origin = "https://pay.example"
header = "x-key"
secret = "other"
"#;

    /// A line of it.
    const GRANTED: &str = r#"grants = { http = ["https://api.example", "https://pay.example"] }"#;

    fn id_of(text: &str) -> Digest {
        let site = Site::parse(Path::new("/srv/site.toml"), text.to_owned());
        let site = site.unwrap_or_else(|found| panic!("{found}"));
        id(site.tenants.values().next().unwrap(), &BTreeMap::new())
    }

    #[test]
    fn an_id_has_what_a_plugin_may_reach_and_the_names_of_its_secrets() {
        for (from, to) in [
            (
                GRANTED,
                r#"grants = { http = ["https://api.example", "https://pay.example", "http://b.example"] }"#,
            ),
            (r#"key = { secret = "token" }"#, r#"key = { secret = "other" }"#),
            (r#"key = { secret = "token" }"#, r#"key = "token""#),
            (r#"header = "x-key""#, r#"header = "x-token""#),
            (r#"secret = "other""#, r#"secret = "token""#),
            (r#"stream = "1min""#, r#"stream = "2min""#),
            ("outbound = 3", "outbound = 4"),
            (r#"outbound-bytes = "1MiB""#, r#"outbound-bytes = "2MiB""#),
            (r#"response-body = "16MiB""#, r#"response-body = "1MiB""#),
            (r#"instances = "reused""#, ""),
            (r#"instances = "reused""#, "instances = \"reused\"\nreuse = { calls = 2 }"),
            (r#"instances = "reused""#, "instances = \"reused\"\nreuse = { age = \"1h\" }"),
            (r#"instances = "reused""#, "instances = \"reused\"\nreuse = { idle = \"1h\" }"),
            // A streamed answer is bounded only if it is written.
            (r#", response-body = "16MiB""#, ""),
        ] {
            let changed = SITE.replacen(from, to, 1);
            assert_ne!(changed, SITE, "{from}");
            assert_ne!(id_of(&changed), id_of(SITE), "{from} → {to}");
        }
    }

    #[test]
    fn an_id_has_not_where_secrets_are_nor_in_which_order_things_are_written() {
        for (from, to) in [
            (r#"file = "token""#, r#"env = "TOKEN""#),
            (GRANTED, r#"grants = { http = ["https://pay.example", "https://api.example"] }"#),
            ("x-key", "X-Key"),
            (r#"instances = "reused""#, "instances = \"reused\"\nreuse = { calls = 1000, age = \"10min\" }"),
        ] {
            let changed = SITE.replacen(from, to, 1);
            assert_ne!(changed, SITE, "{from}");
            assert_eq!(id_of(&changed), id_of(SITE), "{from} → {to}");
        }
        let mut entries: Vec<&str> = SITE.split("[[").collect();
        entries.swap(1, 2);
        assert_eq!(id_of(&entries.join("[[")), id_of(SITE));
    }
}
