//! The operator's part of a tenant goes both ways, and what is out of bounds is refused with the bounds.

use serde_json::{Value, json};

use super::*;
use crate::limits::Limit;

fn read(json: Value) -> Result<TenantSpec, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

#[test]
fn a_spec_is_written_as_it_was_read_and_whole() {
    let whole = json!({
        "hosts": ["shop.example", "*.shop.example"],
        "approve": ["grants"],
        "quota": {
            "concurrency": 3, "queue": 0, "queue-wait": 5, "cpu": 500_000_000, "weight": 2,
            "storage": { "bytes": 1, "keys": 2 }, "artifacts": 4, "revisions": 2,
            "grants": { "keyvalue": true, "http": ["https://api.example"] },
            "limits": { "memory": 1 << 20 },
        },
    });
    let spec = read(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), whole);
    assert_eq!(spec.quota.ceilings, [(Limit::Memory, 1 << 20)].into());
}

#[test]
fn a_quota_that_is_left_out_is_the_default() {
    let spec = read(json!({ "hosts": ["*"] })).unwrap();
    assert_eq!(spec.quota, TenantQuota::default());
    let some = read(json!({ "hosts": ["*"], "quota": { "weight": 2, "storage": { "keys": 7 } } })).unwrap();
    assert_eq!((some.quota.quota.weight.get(), some.quota.quota.concurrency), (2, 256));
    assert_eq!((some.quota.quota.storage.keys, some.quota.quota.storage.bytes), (7, 64 << 20));
}

#[test]
fn what_is_out_of_bounds_is_refused_with_what_would_be_right() {
    for (spec, says) in [
        (json!({ "hosts": [] }), "`hosts` takes 1 to 1000 hosts"),
        (json!({ "hosts": ["a.example", "A.example"] }), "a host is there twice"),
        (json!({ "hosts": ["a b"] }), "a b"),
        (json!({ "hosts": ["*"], "plugins": {} }), "unknown field `plugins`"),
        (json!({ "hosts": ["*"], "approve": ["all"] }), "unknown variant `all`"),
        (json!({ "hosts": ["*"], "quota": { "weight": 0 } }), "`weight` is 0: write 1 to 1000"),
        (json!({ "hosts": ["*"], "quota": { "concurrency": 0 } }), "`concurrency` is 0: write 1 to 1000000"),
        (json!({ "hosts": ["*"], "quota": { "cpu": 0 } }), "leave it out for no quota"),
        (json!({ "hosts": ["*"], "quota": { "cpu": "500ms/s" } }), "invalid type: string"),
        (json!({ "hosts": ["*"], "quota": { "revisions": 1 } }), "`revisions` is 1: write 2 to"),
        (
            json!({ "hosts": ["*"], "quota": { "limits": { "cup": 1 } } }),
            "`cup` is not a limit: the limits are",
        ),
        (
            json!({ "hosts": ["*"], "quota": { "limits": { "handles": 1 } } }),
            "the limit `handles` is 1: write 16",
        ),
        (json!({ "hosts": ["*"], "quota": { "grants": { "file": true } } }), "unknown field `file`"),
    ] {
        let refused = read(spec).unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn a_document_widens_by_what_it_may_do_and_the_one_before_may_not() {
    let document =
        |plugins: Value| -> TenantDocument { serde_json::from_value(json!({ "plugins": plugins })).unwrap() };
    let component = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let plugin = |grants: Value| json!({ "component": component, "grants": grants });
    let before = document(json!({ "a": plugin(json!({ "limiter": true })) }));
    let after = document(json!({
        "a": plugin(json!({ "limiter": true, "keyvalue": true, "http": ["https://api.example"] })),
        "b": plugin(json!({ "limiter": true })),
    }));
    let imports = |of_a: &[&str]| {
        let names = of_a.iter().map(|name| (*name).to_owned()).collect();
        [(PluginName::parse("a").unwrap(), names)].into()
    };
    let widens = after.widens(&imports(&["x", "y"]), &before, &imports(&["x"]));
    let widens: Vec<_> =
        widens.iter().map(|one| (one.plugin.as_str(), one.kind, one.name.as_str())).collect();
    let expected = [
        ("a", WideningKind::Grant, "keyvalue"),
        ("a", WideningKind::Origin, "https://api.example"),
        ("a", WideningKind::Import, "y"),
        ("b", WideningKind::Grant, "limiter"),
    ];
    assert_eq!(widens, expected);
    assert_eq!(before.widens(&imports(&["x"]), &after, &imports(&["x", "y"])), []);
}
