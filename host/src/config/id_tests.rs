//! The id of a document that was read from a site file: the settings that are part of it, and those that are not.

use std::path::Path;

use super::Site;

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
[[tenants.a.routes]]
path = "/"
plugin = "p"
compression = ["zstd", "gzip"]
"#;

/// The line of [`SITE`] with the grants.
const GRANTED: &str = r#"grants = { http = ["https://api.example", "https://pay.example"] }"#;

fn id_of(text: &str) -> String {
    let site = Site::parse(Path::new("/srv/site.toml"), text.to_owned());
    let site = site.unwrap_or_else(|found| panic!("{found}"));
    site.tenants.values().next().unwrap().document.id().to_string()
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
        (r#"["zstd", "gzip"]"#, r#"["gzip", "zstd"]"#),
        (r#"compression = ["zstd", "gzip"]"#, ""),
        // A streamed answer is bounded only if its limit is written.
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
