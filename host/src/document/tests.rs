use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::limits::{Limits, Reuse};

fn name(text: &str) -> PluginName {
    PluginName::parse(text).unwrap()
}

fn document(json: serde_json::Value) -> TenantDocument {
    serde_json::from_value(json).unwrap_or_else(|error| panic!("{error}"))
}

/// A document with a key of every kind.
fn whole() -> serde_json::Value {
    json!({
        "plugins": {
            "books": {
                "component": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "config": { "page-size": "20", "salt": { "secret": "salt" } },
                "grants": { "keyvalue": true, "http": ["http://b.example", "https://api.example"] },
                "limits": { "cpu": 20_000_000, "memory": 1 << 20, "streamed-response-body": 7 },
                "outbound": [{ "origin": "https://api.example", "header": "authorization", "secret": "token" }],
                "instances": "reused",
                "reuse": { "calls": 2, "idle": 1_000_000_000 },
            },
            "limit": { "component": "/srv/limit.wasm", "config": {}, "grants": { "limiter": true }, "limits": {} },
        },
        "routes": [
            {
                "path": "/api/{*rest}", "hosts": ["a.example"], "methods": ["PUT", "GET"],
                "headers": { "x-beta": "1" }, "filters": ["limit"], "plugin": "books",
                "compression": ["zstd", "gzip"],
            },
            { "path": "/", "plugin": "books" },
        ],
    })
}

#[test]
fn a_document_is_written_as_it_was_read() {
    let read = document(whole());
    assert_eq!(serde_json::to_value(&read).unwrap(), whole());
    let books = &read.plugins[&name("books")];
    assert_eq!(
        books.limits,
        Limits {
            cpu: Duration::from_millis(20),
            memory: 1 << 20,
            streamed_response_body: Some(7),
            ..Limits::default()
        }
    );
    assert_eq!(books.reuse, Some(Reuse { calls: 2, idle: Duration::from_secs(1), ..Reuse::default() }));
    assert_eq!(document(json!({})), TenantDocument::default());
}

#[test]
fn what_no_document_can_be_is_refused_with_its_reason() {
    let plugin = |entry: serde_json::Value| {
        let mut plugin = json!({ "component": "p.wasm" });
        plugin.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
        json!({ "plugins": { "p": plugin } })
    };
    let route = |key: &str, value: serde_json::Value| json!({ "routes": [{ "path": "/", "plugin": "p", key: value }] });
    for (written, says) in [
        (json!({ "hosts": [] }), "unknown field `hosts`"),
        (json!({ "plugins": { "P": { "component": "p" } } }), "`P` is not a name"),
        (json!({ "plugins": { "p": {} } }), "missing field `component`"),
        (plugin(json!({ "component": "sha256:12" })), "`sha256:12` is not a digest"),
        (plugin(json!({ "grants": { "network": true } })), "unknown field `network`"),
        (plugin(json!({ "grants": { "http": ["api.example"] } })), "an origin begins with its scheme"),
        (plugin(json!({ "limits": { "cpu": "20ms" } })), "invalid type: string"),
        (plugin(json!({ "limits": { "fuel": 1 } })), "`fuel` is not a limit"),
        (plugin(json!({ "config": { "key": 1 } })), "a value of `config` is a string"),
        (plugin(json!({ "reuse": { "calls": 2 } })), "`reuse` is for instances that are reused"),
        (route("methods", json!([])), "name at least one method"),
        (route("headers", json!({ "a b": "1" })), "`a b` is no header name"),
        (route("headers", json!({ "x-b": "1", "X-B": "1" })), "its name is there already"),
        (route("hosts", json!(["a..b"])), "`a..b`"),
        (route("compression", json!(["deflate"])), "`deflate`: there is no such coding"),
        (route("compression", json!(["br", "br"])), "a coding is there twice"),
    ] {
        let error = serde_json::from_value::<TenantDocument>(written.clone()).unwrap_err().to_string();
        assert!(error.contains(says), "{written}: {error}");
    }
}

#[test]
fn an_id_is_the_digest_of_the_rfc_8785_form() {
    let form = concat!(
        r#"{"plugins":{"p":{"component":"/p.wasm","config":{"b\n":"\u0001","😀":"x","ﬀ":"é"},"grants":{},"#,
        r#""limits":{"cpu":1000000}}},"routes":[{"methods":["GET","PUT"],"path":"/","plugin":"p"}]}"#
    );
    let read: TenantDocument = serde_json::from_str(form).unwrap();
    assert_eq!(String::from_utf8(canonical(&read)).unwrap(), form);
    assert_eq!(read.id(), Digest::of(form.as_bytes()));
    let reordered = form.replace(r#"["GET","PUT"]"#, r#"["PUT","GET"]"#);
    assert_eq!(serde_json::from_str::<TenantDocument>(&reordered).unwrap().id(), read.id());
}

#[test]
fn a_document_with_its_artifacts_names_no_file() {
    let digest = Digest::of(b"bytes");
    let read = document(whole());
    let resolved = read.with_artifacts(&BTreeMap::from([(name("limit"), digest)]));
    assert_eq!(resolved.plugins[&name("limit")].component, ComponentRef::Artifact(digest));
    assert_eq!(resolved.plugins[&name("books")], read.plugins[&name("books")]);
    assert_ne!(resolved.id(), read.id());
}

#[test]
fn a_diff_has_what_was_added_removed_and_changed_with_both_values() {
    let from = document(whole());
    let mut changed = whole();
    let plugins = changed["plugins"].as_object_mut().unwrap();
    let limit = plugins.remove("limit").unwrap();
    plugins.insert("other".into(), limit);
    plugins["books"]["limits"] = json!({ "cpu": 30_000_000, "memory": 1 << 20, "random": 1 });
    plugins["books"]["grants"] = json!({ "http": ["https://api.example"] });
    changed["routes"][0]["filters"] = json!(["other"]);
    changed["routes"][1]["path"] = json!("/new");
    let diff = from.diff(&document(changed.clone()));
    let told = serde_json::to_value(&diff).unwrap();
    let keys = |value: &serde_json::Value| {
        let entries = value.as_object().unwrap().iter();
        entries
            .map(|(key, value)| (key.clone(), value.as_object().unwrap().keys().next().unwrap().clone()))
            .collect::<Vec<_>>()
    };
    let entry = |key: &str, what: &str| (key.to_owned(), what.to_owned());
    assert_eq!(
        keys(&told["plugins"]),
        [entry("books", "changed"), entry("limit", "removed"), entry("other", "added")]
    );
    assert_eq!(
        told["limits"]["books"],
        json!({
            "cpu": { "changed": { "from": 20_000_000, "to": 30_000_000 } },
            "random": { "added": 1 },
            "streamed-response-body": { "removed": 7 },
        })
    );
    assert_eq!(
        told["grants"],
        json!({
            "books": {
                "keyvalue": { "removed": true },
                "http": {
                    "changed": { "from": ["http://b.example", "https://api.example"], "to": ["https://api.example"] },
                },
            },
            "limit": { "limiter": { "removed": true } },
            "other": { "limiter": { "added": true } },
        })
    );
    let routes: Vec<_> = diff
        .routes
        .iter()
        .map(|route| match route {
            Difference::Added(route) => format!("+{}", route.pattern),
            Difference::Removed(route) => format!("-{}", route.pattern),
            Difference::Changed { from, to } => {
                format!("{}: {:?} {:?}", from.pattern, from.filters, to.filters)
            }
        })
        .collect();
    assert_eq!(routes, ["/api/{*rest}: [limit] [other]", "-/", "+/new"]);
}

/// A document with any of the allowed values, and no two routes of one match.
fn any_document() -> impl Strategy<Value = serde_json::Value> {
    let config = prop::collection::btree_map(
        ".{0,3}",
        prop_oneof![".{0,4}".prop_map(|text| json!(text)), Just(json!({ "secret": "token" })),],
        0..3,
    );
    let component = prop_oneof![
        "/[a-z]{1,3}".prop_map(|path| json!(path)),
        any::<[u8; 32]>().prop_map(|sum| json!(Digest::from(sum).to_string())),
    ];
    let limits = prop::collection::btree_map(
        prop::sample::select(vec![
            "memory",
            "queue",
            "fields",
            "random",
            "log-bytes",
            "streamed-response-body",
        ]),
        65_536..1_000_000_u64,
        0..3,
    );
    let origins = prop::collection::btree_set(
        prop::sample::select(vec!["http://a.b", "https://a.b", "https://[::1]:8"]),
        0..3,
    );
    let grants = (any::<[bool; 3]>(), origins).prop_map(|([keyvalue, keyvalue_shared, limiter], http)| {
        json!({ "keyvalue": keyvalue, "keyvalue-shared": keyvalue_shared, "limiter": limiter, "http": http })
    });
    let reuse = prop::option::of((1..9_u32, 1..u64::from(u32::MAX)));
    let credentials = prop::collection::vec(("https?://[a-c]", "x-[a-c]"), 0..3);
    let plugin = (component, config, limits, grants, reuse, credentials).prop_map(
        |(component, config, limits, grants, reuse, credentials)| {
            let outbound: Vec<_> = credentials.into_iter().map(|(origin, header)| {
                json!({ "origin": origin, "header": header, "secret": "token" })
            }).collect();
            let mut plugin = json!({
                "component": component, "config": config, "limits": limits, "grants": grants, "outbound": outbound,
            });
            if let Some((calls, idle)) = reuse {
                plugin["instances"] = json!("reused");
                plugin["reuse"] = json!({ "calls": calls, "idle": idle });
            }
            plugin
        },
    );
    let route = (
        prop::sample::select(vec!["/", "/a", "/{b}", "/c/{*d}"]),
        prop::collection::btree_set("[ab]\\.example", 0..3),
        prop::option::of(prop::collection::btree_set("GET|PUT|X", 1..3)),
        prop::collection::btree_map("x-[ab]", "[a-z]{0,2}", 0..2),
        prop::collection::vec("[a-c]", 0..3),
        "[a-c]",
    );
    let route = route.prop_map(|(path, hosts, methods, headers, filters, plugin)| {
        let mut route = json!({
            "path": path, "hosts": hosts, "headers": headers, "filters": filters, "plugin": plugin,
        });
        if let Some(methods) = methods {
            route["methods"] = json!(methods);
        }
        route
    });
    let routes = prop::collection::vec(route, 0..5).prop_map(|mut routes| {
        let mut seen = std::collections::BTreeSet::new();
        routes.retain(|route| {
            let Some(mut taken) = route.as_object().cloned() else { return false };
            taken.retain(|key, _| key != "filters" && key != "plugin");
            seen.insert(serde_json::Value::from(taken).to_string())
        });
        routes
    });
    (prop::collection::btree_map("[a-c]", plugin, 0..3), routes)
        .prop_map(|(plugins, routes)| json!({ "plugins": plugins, "routes": routes }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_document_that_is_stored_and_read_back_is_the_same(written in any_document()) {
        let first = document(written);
        let text = serde_json::to_string(&first).unwrap();
        let again: TenantDocument = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&again, &first);
        prop_assert_eq!(again.id(), first.id());
        prop_assert!(first.diff(&again).is_empty());
    }

    #[test]
    fn an_id_does_not_depend_on_any_order(written in any_document()) {
        let first = document(written);
        let mut turned = first.clone();
        turned.routes.reverse();
        for route in &mut turned.routes {
            route.hosts.reverse();
            route.headers.reverse();
            if let Some(methods) = &mut route.methods {
                methods.reverse();
            }
        }
        turned.plugins.values_mut().for_each(|plugin| plugin.credentials.reverse());
        prop_assert_eq!(turned.id(), first.id());
        prop_assert!(turned.diff(&first).is_empty());
    }

    #[test]
    fn a_diff_is_empty_for_one_revision_alone(one in any_document(), other in any_document()) {
        let (one, other) = (document(one), document(other));
        prop_assert_eq!(one.diff(&other).is_empty(), one.id() == other.id());
    }
}
