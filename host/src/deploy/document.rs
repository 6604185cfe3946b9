//! The id of a revision: a digest of what a tenant runs, whatever its file looks like.
//!
//! RFC 8785 form: object keys sorted, no white space, numbers as integers. Components are digests, sizes
//! bytes, durations nanoseconds, defaults left out; so the same document has the same id on every host.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::{PluginSite, RouteSite, TenantSite};
use crate::sandbox::{Component, Digest};
use crate::tenant::{Limits, PluginName};

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
    let component = digest.map(|digest| digest.to_string());
    json!({ "component": component, "config": plugin.config, "grants": grants, "limits": limits(&plugin.limits) })
}

fn limits(limits: &Limits) -> Map<String, Value> {
    let values = |limits: &Limits| {
        let nanos =
            |time: std::time::Duration| Value::from(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let Limits {
            cpu,
            wall,
            memory,
            request_body,
            response_body,
            concurrency,
            queue,
            queue_wait,
            log_lines,
            log_bytes,
        } = limits;
        [
            ("cpu", nanos(*cpu)),
            ("wall", nanos(*wall)),
            ("memory", (*memory).into()),
            ("request-body", (*request_body).into()),
            ("response-body", (*response_body).into()),
            ("concurrency", (*concurrency).into()),
            ("queue", (*queue).into()),
            ("queue-wait", nanos(*queue_wait)),
            ("log-lines", (*log_lines).into()),
            ("log-bytes", (*log_bytes).into()),
        ]
    };
    let defaults = values(&Limits::default());
    let changed = values(limits).into_iter().filter(|value| !defaults.contains(value));
    changed.map(|(name, value)| (name.to_owned(), value)).collect()
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
